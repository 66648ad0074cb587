#include "app/config_types.hpp"

namespace raincell::app {

namespace {

bool fail(const YamlNode& node, const Place& place, const std::string& expected) {
  place.problems.add(place.file, node.line, place.key, seen(node) + "; expected " + expected);
  return false;
}

}  // namespace

std::string seen(const YamlNode& node) {
  switch (node.kind) {
    case NodeKind::null:
      return "no value";
    case NodeKind::list:
      return "a list";
    case NodeKind::map:
      return "keys and values";
    case NodeKind::scalar:
      break;
  }
  return fmt::format("'{}'", node.text.size() > 60 ? node.text.substr(0, 60) + "..." : node.text);
}

std::string quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

bool read_integer(const YamlNode& node, const Place& place, std::int64_t min, std::int64_t max,
                  std::int64_t& value) {
  const auto number = node.kind == NodeKind::scalar && !node.quoted ? parse_integer(node.text) : std::nullopt;
  if (!number || *number < min || *number > max) {
    return fail(node, place, fmt::format("a whole number from {} to {}", min, max));
  }
  value = *number;
  return true;
}

bool read_real(const YamlNode& node, const Place& place, double min, double max, double& value) {
  const auto number = node.kind == NodeKind::scalar && !node.quoted ? parse_real(node.text) : std::nullopt;
  if (!number || *number < min || *number > max) {
    return fail(node, place, fmt::format("a number from {} to {}", min, max));
  }
  value = *number;
  return true;
}

bool read_text(const YamlNode& node, const Place& place, std::string& value) {
  if (node.kind != NodeKind::scalar) return fail(node, place, "a text");
  value = node.text;
  return true;
}

bool read_boolean(const YamlNode& node, const Place& place, bool& value) {
  if (node.kind != NodeKind::scalar || node.quoted || (node.text != "true" && node.text != "false")) {
    return fail(node, place, "true or false");
  }
  value = node.text == "true";
  return true;
}

}  // namespace raincell::app
