#include "app/noise_batch.hpp"

#include <algorithm>

#include "model/random.hpp"

namespace raincell::app {

NoiseBatch::NoiseBatch(const model::ModelSpec& spec, std::int64_t batch, std::int64_t rows,
                       std::int64_t columns, bool training) {
  const auto frames = [&](std::int64_t steps, std::int64_t channels, std::uint64_t stream) {
    std::vector<float> values(static_cast<std::size_t>(batch * steps * channels * rows * columns));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(model::uniform(1, stream, i));
    return values;
  };
  past_ = frames(spec.past, spec.channels, 1);
  if (training) future_ = frames(spec.future, spec.channels, 2);
  if (spec.feed == model::Feed::advection) guide_ = frames(spec.future, spec.channels, 3);
  if (spec.tendency) tendency_ = frames(spec.future, spec.channels, 4);
  ones_.assign(std::max({past_.size(), future_.size(), guide_.size()}), 1.F);
  thresholds_.assign(spec.thresholds.begin(), spec.thresholds.end());
}

model::HostBatch NoiseBatch::view() const {
  const auto full = [&](const std::vector<float>& like) { return std::span(ones_).first(like.size()); };
  return {past_, full(past_), future_, full(future_), guide_, full(guide_), tendency_, thresholds_};
}

}  // namespace raincell::app
