// YAML text as a plain tree with line numbers: no aliases, tags, duplicate keys or surprises. The only
// yaml-cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace raincell::app {

struct YamlEntry;

struct YamlNode {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string text;     // of a scalar
  bool quoted = false;  // a quoted scalar is never a number
  int line = 0;         // 1 is the first; 0: not from a file
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // of a map, in order
};

struct YamlEntry {
  std::string key;
  YamlNode value;
};

struct YamlProblem {
  int line = 0;
  std::string key, reason;
};

inline constexpr std::size_t kLargestYaml = std::size_t{1} << 20;

/// The document; everything that was wrong is appended to `problems`, and the tree is then of no use.
YamlNode parse_yaml(const std::string& text, std::vector<YamlProblem>& problems);

}  // namespace raincell::app
