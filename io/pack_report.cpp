#include "io/pack_report.hpp"

#include <algorithm>
#include <cmath>

#include "io/cf_out.hpp"

namespace raincell::io {
namespace {

/// The code below or at which 99 % of the counted values lie.
std::int64_t percentile_code(std::span<const std::int64_t> counts, double share) {
  std::int64_t all = 0;
  for (const std::int64_t count : counts) all += count;
  const double wanted = share * static_cast<double>(all);
  std::int64_t seen = 0;
  for (std::size_t code = 0; code < counts.size(); ++code) {
    seen += counts[code];
    if (seen > 0 && static_cast<double>(seen) >= wanted) return static_cast<std::int64_t>(code);
  }
  return 0;
}

}  // namespace

float wet_threshold(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return 0.1F;
    case Quantity::reflectivity:
      return 7.F;  // about 0.1 mm/h
    case Quantity::vil:
    case Quantity::intensity:
      return 0.F;
  }
  return 0.F;
}

PackStatistics::PackStatistics(Quantity quantity, double scale, const Grid& grid)
    : scale_(scale),
      wet_code_(static_cast<std::int16_t>(std::max(1., std::ceil(wet_threshold(quantity) / scale - 1e-4)))),
      columns_(grid.columns),
      covered_(static_cast<std::size_t>(grid.pixels()), 0),
      wet_(static_cast<std::size_t>(grid.pixels()), 0) {}

std::pair<float, float> PackStatistics::add(TimePoint time, std::span<const std::int16_t> codes) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  Hour& hour = hours_[static_cast<std::size_t>(std::chrono::floor<std::chrono::hours>(time - day).count())];
  if (hour.counts.empty()) hour.counts.assign(kCodes, 0);
  std::int64_t covered = 0, wet = 0;
  double sum = 0.;
  std::int16_t largest = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::int16_t code = codes[i];
    if (code == Packing::kFill) continue;
    ++covered;
    ++covered_[i];
    ++hour.counts[static_cast<std::size_t>(std::max<std::int16_t>(code, 0))];
    if (code >= wet_code_) {
      ++wet;
      ++wet_[i];
    }
    sum += code;
    largest = std::max(largest, code);
  }
  ++hour.frames;
  hour.covered += covered;
  hour.wet += wet;
  hour.sum += sum * scale_;
  hour.max = std::max(hour.max, scale_ * largest);
  pixels_ += static_cast<std::int64_t>(codes.size());
  const double all = static_cast<double>(codes.size());
  return {static_cast<float>(static_cast<double>(covered) / all),
          covered == 0 ? 0.F : static_cast<float>(static_cast<double>(wet) / static_cast<double>(covered))};
}

void PackStatistics::finish(PackReport& report) const {
  std::vector<std::int64_t> counts(kCodes, 0);
  std::int64_t covered = 0, wet = 0, frames = 0;
  double sum = 0.;
  for (std::size_t h = 0; h < hours_.size(); ++h) {
    const Hour& hour = hours_[h];
    HourClimate& climate = report.hours[h];
    climate.frames = hour.frames;
    climate.covered = static_cast<double>(hour.covered);
    climate.wet = static_cast<double>(hour.wet);
    climate.max = hour.max;
    if (hour.covered > 0) {
      climate.mean = hour.sum / static_cast<double>(hour.covered);
      climate.p99 = scale_ * static_cast<double>(percentile_code(hour.counts, 0.99));
    }
    for (std::size_t code = 0; code < hour.counts.size(); ++code) counts[code] += hour.counts[code];
    covered += hour.covered;
    wet += hour.wet;
    frames += hour.frames;
    sum += hour.sum;
    report.max = std::max(report.max, hour.max);
  }
  if (covered == 0) return;
  report.covered_fraction = static_cast<double>(covered) / static_cast<double>(pixels_);
  report.wet_fraction = static_cast<double>(wet) / static_cast<double>(covered);
  report.mean = sum / static_cast<double>(covered);
  report.p99 = scale_ * static_cast<double>(percentile_code(counts, 0.99));
  for (std::size_t i = 0; i < wet_.size(); ++i) {
    if (covered_[i] < 24) continue;
    const double share = static_cast<double>(wet_[i]) / covered_[i];
    if (share <= 0.8 || share < 3. * report.wet_fraction) continue;
    ++report.clutter_pixels;
    report.clutter.push_back(
        {static_cast<std::int64_t>(i) / columns_, static_cast<std::int64_t>(i) % columns_, share});
  }
  std::stable_sort(report.clutter.begin(), report.clutter.end(),
                   [](const ClutterHint& a, const ClutterHint& b) { return a.wet_share > b.wet_share; });
  if (report.clutter.size() > 10) report.clutter.resize(10);
}

}  // namespace raincell::io
