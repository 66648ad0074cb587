// The table of configuration keys: name, type, default, range, meaning, and where the value lives.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/config_yaml.hpp"

namespace raincell::app {

/// Collects everything that is wrong before anything is thrown.
class Problems {
 public:
  void add(const std::string& file, int line, const std::string& key, const std::string& reason);
  void unknown(const std::string& file, int line, const std::string& key,
               const std::vector<std::string>& keys);
  /// Throws ConfigError when there is one.
  void raise() const;

 private:
  std::vector<std::string> lines_;
};

struct Place {
  const std::string& file;
  const std::string& key;
  Problems& problems;
};

/// One key of a record (the config, a stage, a convolution).
template <class Record>
struct Field {
  std::string key, type, allowed, meaning;
  std::function<void(Record&, const YamlNode&, const Place&)> read;
  std::function<std::string(const Record&)> write;  // YAML, flow style
};

const std::vector<Field<Config>>& config_fields();

template <class Record>
std::vector<std::string> keys_of(const std::vector<Field<Record>>& fields) {
  std::vector<std::string> keys;
  for (const auto& field : fields) keys.push_back(field.key);
  return keys;
}

/// A row of configs/README.md.
struct KeyRow {
  std::string key, type, standard, allowed, meaning;
};
std::vector<KeyRow> key_rows();
std::vector<KeyRow> stage_key_rows();
std::vector<KeyRow> convolution_key_rows();

}  // namespace raincell::app
