#include "app/exposition.hpp"

#include <fmt/format.h>

#include <cmath>

namespace raincell::app {

namespace {

std::string text_of(const Exposition::Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += fmt::format("{}{}=\"", text.empty() ? "{" : ",", name);
    for (const char c : value) {
      if (c == '\n') {
        text += "\\n";
        continue;
      }
      if (c == '"' || c == '\\') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text.empty() ? text : text + "}";
}

}  // namespace

void Exposition::head(const std::string& name, const char* type, const char* help) {
  if (name != last_)
    text_ += fmt::format("# HELP raincell_{0} {1}\n# TYPE raincell_{0} {2}\n", name, help, type);
  last_ = name;
}

void Exposition::add(const std::string& name, const char* type, const char* help, double value,
                     const Labels& labels) {
  if (std::isnan(value)) return;
  head(name, type, help);
  text_ += fmt::format("raincell_{}{} {}\n", name, text_of(labels), value);
}

void Exposition::histogram(const std::string& name, const char* help, const std::vector<double>& bounds,
                           const std::vector<std::int64_t>& counts, double sum, const Labels& labels) {
  head(name, "histogram", help);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    Labels bounded = labels;
    bounded.emplace_back("le", i < bounds.size() ? fmt::format("{}", bounds[i]) : "+Inf");
    text_ += fmt::format("raincell_{}_bucket{} {}\n", name, text_of(bounded), total);
  }
  text_ += fmt::format("raincell_{}_sum{} {}\n", name, text_of(labels), sum);
  text_ += fmt::format("raincell_{}_count{} {}\n", name, text_of(labels), total);
}

}  // namespace raincell::app
