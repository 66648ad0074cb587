// Numbers in Prometheus' text format.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace raincell::app {

class Exposition {
 public:
  /// A sample of raincell_NAME; those of one name one after the other. NaN: left out.
  /// labels: {{"reason", "non_finite"}}.
  using Labels = std::vector<std::pair<std::string, std::string>>;
  void add(const std::string& name, const char* type, const char* help, double value,
           const Labels& labels = {});
  /// Cumulative: counts[i] at most bounds[i]; the last of counts has no bound.
  void histogram(const std::string& name, const char* help, const std::vector<double>& bounds,
                 const std::vector<std::int64_t>& counts, double sum, const Labels& labels);
  const std::string& text() const { return text_; }

 private:
  void head(const std::string& name, const char* type, const char* help);
  std::string text_, last_;
};

}  // namespace raincell::app
