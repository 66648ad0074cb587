#include "io/rain_map.hpp"

#include <algorithm>
#include <cmath>

#include "io/cf_out.hpp"

namespace raincell::io {
namespace {

constexpr std::int64_t kTilesACrop = 4;

/// Rain that counts, from a value of the archive: 10 mm/h (40 dBZ) is as good as more.
double drawing_power(float value, Quantity quantity) {
  if (!(value > 0.F)) return 0.;  // dry or missing
  const double cap = quantity == Quantity::reflectivity ? 40. : 10.;
  return std::min(static_cast<double>(value), cap);
}

}  // namespace

RainMap::RainMap(const Archive& archive, std::int64_t frame, std::int64_t crop_rows,
                 std::int64_t crop_columns)
    : rows_(archive.grid().rows),
      columns_(archive.grid().columns),
      crop_rows_(crop_rows),
      crop_columns_(crop_columns) {
  tile_ = std::max<std::int64_t>(1, std::min(crop_rows, crop_columns) / kTilesACrop);
  const std::int64_t down = (rows_ + tile_ - 1) / tile_, across = (columns_ + tile_ - 1) / tile_;
  // sums[r][c]: rain of the tiles above and left of (r, c)
  std::vector<double> sums(static_cast<std::size_t>((down + 1) * (across + 1)), 0.);
  const auto sum_at = [&](std::int64_t r, std::int64_t c) -> double& {
    return sums[static_cast<std::size_t>(r * (across + 1) + c)];
  };
  std::vector<std::int16_t> codes(static_cast<std::size_t>(rows_ * columns_));
  try {
    archive.read_codes(frame, codes);
  } catch (const UnreadableFrame&) {  // whoever reads its windows says so
    std::fill(codes.begin(), codes.end(), Packing::kFill);
  }
  std::vector<double> power(std::size_t{1} << 15);  // of a code; negative ones are dry or missing
  for (std::size_t code = 0; code < power.size(); ++code)
    power[code] =
        drawing_power(unpack_value(static_cast<std::int16_t>(code), archive.scale()), archive.quantity());
  const std::int16_t* code = codes.data();
  for (std::int64_t r = 0; r < down; ++r) {
    std::vector<double> line(static_cast<std::size_t>(across), 0.);
    for (std::int64_t row = r * tile_; row < std::min(rows_, (r + 1) * tile_); ++row) {
      for (std::int64_t c = 0; c < across; ++c) {
        double sum = line[static_cast<std::size_t>(c)];
        const std::int16_t* const end = code + std::min(tile_, columns_ - c * tile_);
        for (; code < end; ++code) sum += *code > 0 ? power[static_cast<std::size_t>(*code)] : 0.;
        line[static_cast<std::size_t>(c)] = sum;
      }
    }
    double left = 0.;
    for (std::int64_t c = 0; c < across; ++c) {
      left += line[static_cast<std::size_t>(c)];
      sum_at(r + 1, c + 1) = sum_at(r, c + 1) + left;
    }
  }
  positions_down_ = (rows_ - crop_rows) / tile_ + 1;
  positions_across_ = (columns_ - crop_columns) / tile_ + 1;
  weights_.resize(static_cast<std::size_t>(positions_down_ * positions_across_));
  for (std::int64_t r = 0; r < positions_down_; ++r) {
    for (std::int64_t c = 0; c < positions_across_; ++c) {
      const std::int64_t bottom = std::min(down, r + crop_rows / tile_),
                         right = std::min(across, c + crop_columns / tile_);
      const double rain = sum_at(bottom, right) - sum_at(r, right) - sum_at(bottom, c) + sum_at(r, c);
      weights_[static_cast<std::size_t>(r * positions_across_ + c)] = static_cast<float>(std::max(rain, 0.));
    }
  }
  for (const float weight : weights_) total_ += weight;
}

Crop RainMap::choose(double share, double shift_row, double shift_column) const {
  const double wanted = share * total_;
  double sum = 0.;
  std::size_t at = 0, last_wet = 0;
  for (; at < weights_.size(); ++at) {
    sum += weights_[at];
    if (weights_[at] > 0.F) last_wet = at;
    if (sum > wanted) break;
  }
  at = std::min(at, weights_.size() - 1);
  if (!(sum > wanted)) at = last_wet;  // rounding at the very end
  const auto position = static_cast<std::int64_t>(at);
  const auto moved = [&](std::int64_t start, double shift, std::int64_t largest) {
    const auto by = static_cast<std::int64_t>(std::floor((shift - 0.5) * static_cast<double>(tile_)));
    return std::clamp<std::int64_t>(start * tile_ + by, 0, largest);
  };
  return {moved(position / positions_across_, shift_row, rows_ - crop_rows_),
          moved(position % positions_across_, shift_column, columns_ - crop_columns_), crop_rows_,
          crop_columns_};
}

}  // namespace raincell::io
