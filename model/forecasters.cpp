#include "model/forecasters.hpp"

#include <algorithm>
#include <stdexcept>

namespace raincell::model {

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
