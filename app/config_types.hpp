// How a value of each type is read from YAML, checked and written back. Used by the table of keys alone.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "app/cli.hpp"
#include "app/config_fields.hpp"

namespace raincell::app {

using NodeKind = YamlNode::Kind;

/// What a node looks like in a message.
std::string seen(const YamlNode&);
std::string quote(const std::string&);

template <class Record, class Access>
using ValueOf = std::remove_reference_t<std::invoke_result_t<Access, Record&>>;

/// Reads one scalar; false and a problem when it does not fit.
bool read_integer(const YamlNode&, const Place&, std::int64_t min, std::int64_t max, std::int64_t& value);
bool read_real(const YamlNode&, const Place&, double min, double max, double& value);
bool read_text(const YamlNode&, const Place&, std::string& value);
bool read_boolean(const YamlNode&, const Place&, bool& value);

template <class Record, class Access>
Field<Record> integer(std::string key, Access at, std::int64_t min, std::int64_t max, std::string meaning) {
  return {std::move(key),
          "integer",
          fmt::format("{} to {}", min, max),
          std::move(meaning),
          [=](Record& record, const YamlNode& node, const Place& place) {
            std::int64_t value = 0;
            if (read_integer(node, place, min, max, value))
              at(record) = static_cast<ValueOf<Record, Access>>(value);
          },
          [=](const Record& record) { return fmt::format("{}", at(const_cast<Record&>(record))); }};
}

template <class Record, class Access>
Field<Record> real(std::string key, Access at, double min, double max, std::string meaning) {
  return {std::move(key),
          "number",
          fmt::format("{} to {}", min, max),
          std::move(meaning),
          [=](Record& record, const YamlNode& node, const Place& place) {
            double value = 0.;
            if (read_real(node, place, min, max, value))
              at(record) = static_cast<ValueOf<Record, Access>>(value);
          },
          [=](const Record& record) { return fmt::format("{}", at(const_cast<Record&>(record))); }};
}

template <class Record, class Access>
Field<Record> boolean(std::string key, Access at, std::string meaning) {
  return {std::move(key),
          "boolean",
          "true, false",
          std::move(meaning),
          [=](Record& record, const YamlNode& node, const Place& place) {
            read_boolean(node, place, at(record));
          },
          [=](const Record& record) { return at(const_cast<Record&>(record)) ? "true" : "false"; }};
}

template <class Record, class Access>
Field<Record> text(std::string key, Access at, std::string meaning) {
  return {
      std::move(key),
      "text",
      "",
      std::move(meaning),
      [=](Record& record, const YamlNode& node, const Place& place) { read_text(node, place, at(record)); },
      [=](const Record& record) { return quote(at(const_cast<Record&>(record))); }};
}

template <class Record, class Access, class Value = ValueOf<Record, Access>>
Field<Record> choice(std::string key, Access at, std::vector<std::pair<std::string, Value>> choices,
                     std::string meaning) {
  std::string allowed;
  for (const auto& [name, value] : choices) allowed += (allowed.empty() ? "" : ", ") + name;
  return {std::move(key),
          "choice",
          allowed,
          std::move(meaning),
          [=](Record& record, const YamlNode& node, const Place& place) {
            std::vector<std::string> names;
            for (const auto& [name, value] : choices) {
              if (node.kind == NodeKind::scalar && node.text == name) {
                at(record) = value;
                return;
              }
              names.push_back(name);
            }
            const std::string near = node.kind == NodeKind::scalar ? nearest(node.text, names) : "";
            place.problems.add(place.file, node.line, place.key,
                               fmt::format("{}; expected one of {}{}", seen(node), allowed,
                                           near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
          },
          [=](const Record& record) {
            for (const auto& [name, value] : choices) {
              if (at(const_cast<Record&>(record)) == value) return quote(name);
            }
            return std::string("\"\"");
          }};
}

template <class Record, class Access>
Field<Record> reals(std::string key, Access at, double min, double max, std::string meaning) {
  return {std::move(key),
          "list of numbers",
          fmt::format("{} to {}", min, max),
          std::move(meaning),
          [=](Record& record, const YamlNode& node, const Place& place) {
            std::vector<double> values;
            if (node.kind != NodeKind::list) {
              place.problems.add(place.file, node.line, place.key,
                                 seen(node) + "; expected a list [a, b, ...]");
              return;
            }
            for (const YamlNode& item : node.items) {
              double value = 0.;
              if (!read_real(item, place, min, max, value)) return;
              values.push_back(value);
            }
            at(record) = values;
          },
          [=](const Record& record) {
            std::string list;
            for (const double value : at(const_cast<Record&>(record))) {
              list += (list.empty() ? "" : ", ") + fmt::format("{}", value);
            }
            return "[" + list + "]";
          }};
}

/// Reads the entries of a map into a record by its own table.
template <class Record>
void read_record(Record& record, const std::vector<Field<Record>>& fields, const YamlNode& node,
                 const Place& place) {
  if (node.kind != NodeKind::map) {
    place.problems.add(place.file, node.line, place.key, seen(node) + "; expected keys and values");
    return;
  }
  for (const YamlEntry& entry : node.entries) {
    const std::string& name = entry.key;
    const YamlNode& value = entry.value;
    const std::string key = place.key + "." + name;
    const auto field =
        std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.key == name; });
    if (field != fields.end()) {
      field->read(record, value, Place{place.file, key, place.problems});
    } else {
      place.problems.unknown(place.file, value.line, key, [&] {
        std::vector<std::string> keys = keys_of(fields);
        for (std::string& k : keys) k.insert(0, place.key + ".");
        return keys;
      }());
    }
  }
}

template <class Record>
std::string write_record(const Record& record, const std::vector<Field<Record>>& fields) {
  std::string text;
  for (const auto& field : fields) {
    const std::string value = field.write(record);
    if (!value.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", field.key, value);
  }
  return "{" + text + "}";
}

template <class Record, class Item, class Access>
Field<Record> records(std::string key, Access at, const std::vector<Field<Item>>& fields,
                      std::string meaning) {
  return {std::move(key),
          "list",
          "",
          std::move(meaning),
          [=, &fields](Record& record, const YamlNode& node, const Place& place) {
            if (node.kind != NodeKind::list) {
              place.problems.add(place.file, node.line, place.key,
                                 seen(node) + "; expected a list (- key: value)");
              return;
            }
            at(record).clear();
            for (std::size_t i = 0; i < node.items.size(); ++i) {
              const std::string item_key = fmt::format("{}[{}]", place.key, i);
              Item item;
              read_record(item, fields, node.items[i], Place{place.file, item_key, place.problems});
              at(record).push_back(item);
            }
          },
          [=, &fields](const Record& record) {
            std::string list;
            for (const Item& item : at(const_cast<Record&>(record))) {
              list += (list.empty() ? "" : ", ") + write_record(item, fields);
            }
            return "[" + list + "]";
          }};
}

template <class Record, class Item, class Access>
Field<Record> optional_record(std::string key, Access at, const std::vector<Field<Item>>& fields,
                              std::string meaning) {
  return {std::move(key),
          "section",
          "",
          std::move(meaning),
          [=, &fields](Record& record, const YamlNode& node, const Place& place) {
            Item item;
            read_record(item, fields, node, place);
            at(record) = item;
          },
          [=, &fields](const Record& record) {
            const auto& item = at(const_cast<Record&>(record));
            return item ? write_record(*item, fields) : std::string();
          }};
}

}  // namespace raincell::app
