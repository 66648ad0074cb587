#include "model/lead_score.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace raincell::model {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("lead score: ") + what);
}

}  // namespace

void find_support(std::span<const float> truth, std::span<const float> latest,
                  std::span<const float> advected, LeadSupport& support) {
  const std::size_t pixels = truth.size();
  require(latest.size() == pixels && (advected.empty() || advected.size() == pixels),
          "truth, latest and advected frame differ in size");
  support.mask.resize(pixels);
  support.truth.resize(pixels);
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    const bool counts = !std::isnan(truth[pixel]) && !std::isnan(latest[pixel]) &&
                        !(!advected.empty() && std::isnan(advected[pixel]));
    support.mask[pixel] = counts ? 1 : 0;
    support.truth[pixel] = counts ? truth[pixel] : 0.F;
  }
}

LeadScore& LeadScore::operator+=(const LeadScore& other) {
  if (tables.empty()) tables.resize(other.tables.size());
  require(tables.size() == other.tables.size(), "scores of other thresholds");
  for (std::size_t k = 0; k < tables.size(); ++k) tables[k] += other.tables[k];
  sums += other.sums;
  filled_pixels += other.filled_pixels;
  return *this;
}

LeadScore score_lead(const LeadSupport& support, std::span<const float> values,
                     std::span<const float> stand_in, std::span<const double> thresholds,
                     std::vector<float>& field) {
  const std::size_t pixels = support.mask.size();
  require(values.size() == pixels && (stand_in.empty() || stand_in.size() == pixels),
          "the forecast does not fit the truth");
  LeadScore score;
  field.resize(pixels);
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    float value = 0;
    if (support.mask[pixel] != 0) {
      value = values[pixel];
      if (std::isnan(value)) {
        value = stand_in.empty() ? 0.F : stand_in[pixel];
        ++score.filled_pixels;
      }
    }
    field[pixel] = value;
  }
  score.tables.resize(thresholds.size());
  add_contingency(field, support.truth, support.mask, thresholds, score.tables);
  add_continuous(field, support.truth, support.mask, score.sums);
  return score;
}

}  // namespace raincell::model
