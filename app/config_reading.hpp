// A configuration read by its table of keys, whichever record it fills, and written back.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "app/config_fields.hpp"

namespace raincell::app {

/// Reads the entries of `node` below `prefix` into the record.
template <class Record>
void read_map(Record& record, const std::vector<Field<Record>>& fields, const YamlNode& node,
              const std::string& prefix, const std::string& file, Problems& problems) {
  using Kind = YamlNode::Kind;
  for (const auto& [name, value] : node.entries) {
    const std::string key = prefix + name;
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.key == key; });
    if (field != fields.end()) {
      field->read(record, value, Place{file, key, problems});
      continue;
    }
    const bool section = std::any_of(fields.begin(), fields.end(),
                                     [&](const auto& f) { return f.key.rfind(key + ".", 0) == 0; });
    if (section && value.kind == Kind::map) {
      read_map(record, fields, value, key + ".", file, problems);
    } else if (section) {
      if (value.kind != Kind::null)
        problems.add(file, value.line, key, "is a section; expected keys below it");
    } else {
      problems.unknown(file, value.line, key, keys_of(fields));
    }
  }
}

template <class Record>
void read_document(Record& record, const std::vector<Field<Record>>& fields, const std::string& text,
                   const std::string& file, Problems& problems) {
  std::vector<YamlProblem> wrong;
  const YamlNode root = parse_yaml(text, wrong);
  for (const YamlProblem& p : wrong) problems.add(file, p.line, p.key, p.reason);
  if (!wrong.empty()) return;
  if (root.kind != YamlNode::Kind::map && root.kind != YamlNode::Kind::null)
    problems.add(file, root.line, "", "expected keys and values");
  read_map(record, fields, root, "", file, problems);
}

/// "key=value" of --set.
template <class Record>
void apply_settings(Record& record, const std::vector<Field<Record>>& fields,
                    const std::vector<std::string>& settings, Problems& problems) {
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    if (equals == std::string::npos || key.empty()) {
      problems.add("--set " + setting, 0, "", "expected KEY=VALUE, for example training.batch=4");
      continue;
    }
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.key == key; });
    if (field == fields.end()) {
      problems.unknown("--set", 0, key, keys_of(fields));
      continue;
    }
    std::vector<YamlProblem> wrong;
    YamlNode value = parse_yaml(setting.substr(equals + 1), wrong);
    for (const YamlProblem& p : wrong) problems.add("--set", 0, key, p.reason);
    value.line = 0;
    if (wrong.empty()) field->read(record, value, Place{"--set", key, problems});
  }
}

/// Every key with its value, section by section.
template <class Record>
std::string yaml_of(const Record& record, const std::vector<Field<Record>>& fields) {
  std::string text, section;
  for (const auto& field : fields) {
    const std::size_t dot = field.key.find('.');
    const std::string head = dot == std::string::npos ? "" : field.key.substr(0, dot);
    if (head != section && !head.empty()) text += head + ":\n";
    section = head;
    text += fmt::format("{}{}: {}\n", head.empty() ? "" : "  ", field.key.substr(head.empty() ? 0 : dot + 1),
                        field.write(record));
  }
  return text;
}

template <class Record>
std::vector<KeyRow> rows_of(const std::vector<Field<Record>>& fields, const Record& standard) {
  std::vector<KeyRow> rows;
  for (const auto& field : fields)
    rows.push_back({field.key, field.type, field.write(standard), field.allowed, field.meaning});
  return rows;
}

}  // namespace raincell::app
