#include "app/cli.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <limits>

#include "app/errors.hpp"

namespace raincell::app {

namespace po = boost::program_options;

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::optional<std::int64_t> scaled(const std::string& text,
                                   const std::vector<std::pair<std::string, double>>& units) {
  std::size_t split = text.find_first_not_of("0123456789.");
  if (split == std::string::npos) split = text.size();
  const auto number = parse_real(text.substr(0, split));
  const std::string unit = text.substr(split);
  if (!number) return std::nullopt;
  for (const auto& [name, factor] : units) {
    const double value = *number * factor;
    if (unit == name && value < 9e18) return static_cast<std::int64_t>(std::llround(value));
  }
  return std::nullopt;
}

std::vector<std::string> names_of(const CommandSpec& spec) {
  std::vector<std::string> names{"help"};
  for (const Option& option : spec.options) names.push_back(option.name);
  return names;
}

[[noreturn]] void unknown_option(const CommandSpec& spec, std::string given) {
  given.erase(0, given.find_first_not_of('-'));
  given = given.substr(0, given.find('='));
  const std::string near = nearest(given, names_of(spec));
  throw UsageError(fmt::format("raincell {}: there is no option '--{}'; {}see 'raincell help {}'", spec.name,
                               given, near.empty() ? "" : fmt::format("did you mean '--{}'? ", near),
                               spec.name));
}

void check_positional(const CommandSpec& spec, const Arguments& arguments) {
  const std::size_t count = arguments.positional.size();
  if (count < spec.positional_min) {
    throw UsageError(fmt::format("raincell {}: {} is missing; for example:\n{}", spec.name, spec.positional,
                                 spec.example));
  }
  if (count > spec.positional_max) {
    throw UsageError(fmt::format(
        "raincell {}: '{}' is one argument too many; {}; see 'raincell help {}'", spec.name,
        arguments.positional[spec.positional_max],
        spec.positional.empty() ? "the command takes options only" : "the command takes " + spec.positional,
        spec.name));
  }
  for (const std::string& name : spec.required) {
    if (!arguments.has(name)) {
      throw UsageError(
          fmt::format("raincell {}: --{} is missing; for example:\n{}", spec.name, name, spec.example));
    }
  }
}

po::options_description describe(const CommandSpec& spec) {
  po::options_description description;
  for (const Option& option : spec.options) {
    if (option.placeholder.empty()) {
      description.add_options()(option.name.c_str(), "");
    } else {
      description.add_options()(option.name.c_str(), po::value<std::string>(), "");
    }
  }
  return description;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const bool begins = word.size() >= 3 && candidate.compare(0, word.size(), word) == 0;
    const std::size_t distance = begins ? 1 : edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::optional<std::int64_t> parse_integer(const std::string& text) {
  const std::string digits = !text.empty() && text[0] == '-' ? text.substr(1) : text;
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_real(const std::string& text) {
  double value = 0.;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_bytes(const std::string& text) {
  return scaled(text, {{"", 1.},
                       {"B", 1.},
                       {"KiB", 1024.},
                       {"MiB", 1048576.},
                       {"GiB", 1073741824.},
                       {"TiB", 1099511627776.},
                       {"kB", 1e3},
                       {"MB", 1e6},
                       {"GB", 1e9},
                       {"TB", 1e12}});
}

std::optional<std::int64_t> parse_seconds(const std::string& text) {
  return scaled(text, {{"", 1.}, {"s", 1.}, {"min", 60.}, {"h", 3600.}, {"d", 86400.}});
}

std::optional<std::pair<std::int64_t, std::int64_t>> parse_grid_size(const std::string& text) {
  const std::size_t cross = text.find('x');
  if (cross == std::string::npos) return std::nullopt;
  const auto columns = parse_integer(text.substr(0, cross));
  const auto rows = parse_integer(text.substr(cross + 1));
  if (!columns || !rows || *columns < 1 || *rows < 1 || *columns > 65536 || *rows > 65536)
    return std::nullopt;
  return std::pair{*columns, *rows};
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second.back();
}

std::vector<std::string> Arguments::list(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

std::vector<std::string> Arguments::comma_list(const std::string& name) const {
  std::vector<std::string> items;
  std::string rest = text(name);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string item = rest.substr(0, comma);
    if (item.empty())
      throw UsageError(fmt::format("--{} {}: an item of the list is empty", name, text(name)));
    items.push_back(item);
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return items;
}

std::int64_t Arguments::integer(const std::string& name, std::int64_t otherwise, std::int64_t min,
                                std::int64_t max) const {
  if (!has(name)) return otherwise;
  const auto value = parse_integer(text(name));
  if (!value || *value < min || *value > max) {
    throw UsageError(
        fmt::format("--{} {}: expected a whole number from {} to {}", name, text(name), min, max));
  }
  return *value;
}

std::optional<io::TimePoint> Arguments::time(const std::string& name) const {
  if (!has(name)) return std::nullopt;
  const auto value = io::parse_time(text(name));
  if (!value) {
    throw UsageError(fmt::format(
        "--{} {}: this is no time; write ISO 8601 UTC, for example 2010-08-26T06:00Z", name, text(name)));
  }
  return value;
}

std::int64_t Arguments::seconds(const std::string& name, std::int64_t otherwise) const {
  if (!has(name)) return otherwise;
  const auto value = parse_seconds(text(name));
  if (!value || *value < 1) {
    throw UsageError(
        fmt::format("--{} {}: this is no duration; write for example 5min, 90s or 2h", name, text(name)));
  }
  return *value;
}

Arguments Arguments::with(const std::string& name, const std::string& value) const {
  Arguments changed = *this;
  changed.values_[name] = {value};
  return changed;
}

Arguments parse_arguments(const CommandSpec& spec, const std::vector<std::string>& words) {
  Arguments arguments;
  try {
    const po::options_description described = describe(spec);
    using style = po::command_line_style::style_t;
    const int manners = style::allow_long | style::long_allow_adjacent | style::long_allow_next;
    const auto parsed = po::command_line_parser(words).options(described).style(manners).run();
    for (const auto& option : parsed.options) {
      if (option.position_key >= 0) {
        arguments.positional.insert(arguments.positional.end(), option.value.begin(), option.value.end());
        continue;
      }
      auto& values = arguments.values_[option.string_key];
      const auto known = std::find_if(spec.options.begin(), spec.options.end(),
                                      [&](const Option& o) { return o.name == option.string_key; });
      if (known != spec.options.end() && !known->repeated && !values.empty()) {
        throw UsageError(
            fmt::format("raincell {}: --{} is given twice; keep one", spec.name, option.string_key));
      }
      values.push_back(option.value.empty() ? "" : option.value.back());
    }
  } catch (const po::unknown_option& error) {
    unknown_option(spec, error.get_option_name());
  } catch (const po::invalid_command_line_syntax& error) {
    throw UsageError(
        fmt::format("raincell {}: {}; see 'raincell help {}'", spec.name, error.what(), spec.name));
  }
  for (const std::string& word : arguments.positional) {
    if (word.size() > 1 && word[0] == '-') unknown_option(spec, word);
  }
  check_positional(spec, arguments);
  return arguments;
}

std::string help_text(const CommandSpec& spec) {
  std::string text = fmt::format("{}\n\n{}\n\nUsage: raincell {}{}{} [options]\n", spec.example, spec.summary,
                                 spec.name, spec.positional.empty() ? "" : " ", spec.positional);
  std::size_t width = 0;
  const auto left = [](const Option& o) {
    return "--" + o.name + (o.placeholder.empty() ? "" : " " + o.placeholder);
  };
  for (const Option& option : spec.options) width = std::max(width, left(option).size());
  text += "\nOptions:\n";
  for (const Option& option : spec.options) {
    text += fmt::format("  {:<{}}  {}\n", left(option), width, option.meaning);
  }
  text.pop_back();
  return text;
}

std::vector<Option> compute_options() {
  return {{"backend", "NAME", "auto (default), cpu, cuda or reference", false},
          {"threads", "N", "threads to compute with; default: all that the machine offers", false},
          {"memory", "SIZE", "host memory to stay within, e.g. 2GiB; default: what is free", false},
          {"deterministic", "", "same bytes for the same input, threads and backend", false},
          {"set", "KEY=VALUE", "changes a key of configs/README.md; may be repeated", true}};
}

}  // namespace raincell::app
