// The command line: options, help, suggestions. The only code that knows Boost.Program_options.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/log.hpp"
#include "io/frame.hpp"

namespace raincell::app {

struct Option {
  std::string name;         // without dashes
  std::string placeholder;  // "DIR"; empty: a switch
  std::string meaning;
  bool repeated = false;
};

struct CommandSpec {
  std::string name, summary;
  std::string example;     // a line or several that can be pasted
  std::string positional;  // "FILE...", "CONFIG", empty: none
  std::size_t positional_min = 0, positional_max = 0;
  std::vector<Option> options;
  std::vector<std::string> required;  // names of options that must be there
};

/// What was given; getters throw UsageError that names the option, the value and what is allowed.
class Arguments {
 public:
  std::vector<std::string> positional;

  bool has(const std::string& name) const { return values_.count(name) > 0; }
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  std::vector<std::string> list(const std::string& name) const;  // of a repeated option
  std::vector<std::string> comma_list(const std::string& name) const;
  std::int64_t integer(const std::string& name, std::int64_t otherwise, std::int64_t min,
                       std::int64_t max) const;
  std::optional<io::TimePoint> time(const std::string& name) const;
  std::int64_t seconds(const std::string& name, std::int64_t otherwise) const;
  /// The same with another value for an option.
  Arguments with(const std::string& name, const std::string& value) const;

 private:
  friend Arguments parse_arguments(const CommandSpec&, const std::vector<std::string>&);
  std::map<std::string, std::vector<std::string>> values_;
};

/// Throws UsageError with a suggestion.
Arguments parse_arguments(const CommandSpec&, const std::vector<std::string>&);
/// Starts with an example; then options, aligned.
std::string help_text(const CommandSpec&);
/// --backend --threads --memory --deterministic --set, shared by the commands that compute.
std::vector<Option> compute_options();

/// The nearest of the candidates by edit distance, or empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
/// "2GiB", "512MiB", "1000000": bytes. Empty when it is not a size.
std::optional<std::int64_t> parse_bytes(const std::string&);
/// "5min", "90s", "2h", "300": seconds. Empty when it is not a duration.
std::optional<std::int64_t> parse_seconds(const std::string&);
/// "700x765": columns and rows. Empty when it is not a size.
std::optional<std::pair<std::int64_t, std::int64_t>> parse_grid_size(const std::string&);
/// Whole text as a number; decimal, finite. Empty otherwise (leading zeros are refused: they read as octal
/// elsewhere).
std::optional<std::int64_t> parse_integer(const std::string&);
std::optional<double> parse_real(const std::string&);

/// A command as main knows it.
struct Command {
  CommandSpec spec;
  int (*run)(const Arguments&, Log&);
};

}  // namespace raincell::app
