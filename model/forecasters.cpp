#include "model/forecasters.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::model {

void Forecaster::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  const auto pixels = static_cast<std::size_t>(past.pixels());
  std::span<const float> values = past.all();
  std::vector<float> block;
  if (values.empty()) {
    block.reserve(pixels * static_cast<std::size_t>(past.frames()));
    for (std::int64_t i = 0; i < past.frames(); ++i) {
      const auto frame = past.frame(i);
      block.insert(block.end(), frame.begin(), frame.end());
    }
    values = block;
  }
  const ForecastFrames made = forecast({past.frames(), past.rows(), past.columns(), values}, leads);
  const std::size_t classes = made.values.empty() ? 0 : made.probabilities.size() / made.values.size();
  std::vector<float> probabilities(classes * pixels);
  for (std::size_t lead = 0; lead < static_cast<std::size_t>(leads); ++lead) {
    for (std::size_t k = 0; k < classes; ++k) {
      const auto from = std::span(made.probabilities)
                            .subspan((k * static_cast<std::size_t>(leads) + lead) * pixels, pixels);
      std::copy(from.begin(), from.end(), probabilities.begin() + static_cast<std::ptrdiff_t>(k * pixels));
    }
    sink(static_cast<std::int64_t>(lead), std::span(made.values).subspan(lead * pixels, pixels),
         probabilities);
  }
}

void Persistence::stream(PastStream& past, std::int64_t leads, const LeadSink& sink) {
  if (past.frames() < 1) throw std::invalid_argument("persistence needs one past frame");
  for (std::int64_t lead = 0; lead < leads; ++lead) sink(lead, past.frame(past.frames() - 1), {});
}

ForecastFrames Persistence::forecast(const PastFrames& past, std::int64_t leads) {
  if (past.frames < 1) throw std::invalid_argument("persistence needs one past frame");
  ForecastFrames out{.leads = leads,
                     .rows = past.rows,
                     .columns = past.columns,
                     .values = {},
                     .thresholds = {},
                     .probabilities = {}};
  const auto pixels = static_cast<std::size_t>(past.rows * past.columns);
  const auto last = past.values.last(pixels);
  out.values.resize(pixels * static_cast<std::size_t>(leads));
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    std::copy(last.begin(), last.end(), out.values.begin() + static_cast<std::ptrdiff_t>(pixels) * lead);
  }
  return out;
}

}  // namespace raincell::model
