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

struct BlockSummary {
  std::size_t missing = 0;
  std::int16_t largest = Packing::kFill;
};

/// Of at most 32767 codes: counted in numbers as wide as the codes, so that vectors of them are counted.
template <std::size_t kSize>
BlockSummary summary_of(std::span<const std::int16_t, kSize> codes) {
  std::int16_t missing = 0, largest = Packing::kFill;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    missing = static_cast<std::int16_t>(missing + static_cast<std::int16_t>(codes[i] == Packing::kFill));
    largest = std::max(largest, codes[i]);
  }
  return {static_cast<std::size_t>(missing), largest};
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

std::optional<PackSplit> suggest_split(std::span<const PackMoment> moments) {
  constexpr std::chrono::hours kApart{2};
  const std::size_t block = moments.size() / 5, step = std::max<std::size_t>(1, moments.size() / 40);
  if (block < 10 || moments.back().time - moments.front().time < 5 * kApart) return std::nullopt;
  const auto mean_wet = [](std::span<const PackMoment> part) {
    double sum = 0.;
    for (const PackMoment& moment : part) sum += moment.wet;
    return part.empty() ? 0. : sum / static_cast<double>(part.size());
  };
  const double all = mean_wet(moments);
  std::size_t best = 0;
  double least = INFINITY;
  for (std::size_t first = 0; first + block <= moments.size(); first += step) {
    const double away = std::abs(mean_wet(moments.subspan(first, block)) - all);
    if (away < least) least = away, best = first;
  }
  PackSplit split;
  split.test = {moments[best].time, moments[best + block - 1].time};
  split.wet_test = mean_wet(moments.subspan(best, block));
  std::vector<PackMoment> train;
  for (const bool before : {true, false}) {
    std::optional<TimePoint> first, last;
    for (const PackMoment& moment : moments) {
      if (before ? moment.time + kApart > split.test.first : moment.time < split.test.second + kApart)
        continue;
      if (!first) first = moment.time;
      last = moment.time;
      train.push_back(moment);
    }
    if (first) split.train.emplace_back(*first, *last);
  }
  split.wet_train = mean_wet(train);
  return split;
}

void PackStatistics::Sums::add(const Sums& other) {
  frames += other.frames;
  covered += other.covered;
  wet += other.wet;
  sum += other.sum;
  max = std::max(max, other.max);
}

Climate PackStatistics::Sums::climate(double scale) const {
  Climate climate;
  climate.frames = frames;
  climate.covered = static_cast<double>(covered);
  climate.wet = static_cast<double>(wet);
  climate.max = scale * static_cast<double>(max);
  if (covered > 0) climate.mean = scale * static_cast<double>(sum) / static_cast<double>(covered);
  return climate;
}

PackStatistics::PackStatistics(Quantity quantity, double scale, const Grid& grid)
    : scale_(scale),
      wet_code_(static_cast<std::int16_t>(std::max(1., std::ceil(wet_threshold(quantity) / scale - 1e-4)))),
      grid_(grid),
      covered_blocks_((static_cast<std::size_t>(grid.pixels()) + kBlock - 1) / kBlock, 0),
      places_(covered_blocks_.size(), 0) {}

PackStatistics::Block& PackStatistics::block_of(std::size_t block) {
  if (places_[block] == 0) {
    blocks_.emplace_back();
    places_[block] = static_cast<std::uint32_t>(blocks_.size());
  }
  return blocks_[places_[block] - 1];
}

PackStatistics::PixelCounts PackStatistics::counts_of(std::size_t pixel) const {
  PixelCounts counts{covered_blocks_[pixel / kBlock]};
  if (const std::uint32_t place = places_[pixel / kBlock]; place > 0) {
    const Block& block = blocks_[place - 1];
    counts.covered += block.covered[pixel % kBlock];
    counts.wet = block.wet[pixel % kBlock];
    counts.sum = block.sum[pixel % kBlock];
  }
  return counts;
}

std::pair<float, float> PackStatistics::add(TimePoint time, std::span<const std::int16_t> codes) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const auto hour = static_cast<std::size_t>(std::chrono::floor<std::chrono::hours>(time - day).count());
  const auto month = static_cast<unsigned>(std::chrono::year_month_day(day).month()) - 1U;
  for (Counts* counts : {&hours_[hour], &months_[month]}) {
    if (counts->empty()) counts->assign(kCodes, 0);
  }
  Counts &of_hour = hours_[hour], &of_month = months_[month];
  Sums frame{1};
  std::int64_t above = 0;
  // Most of a radar's picture is dry or out of its sight: pixels are gone through one by one in the blocks
  // alone where they differ.
  for (std::size_t begin = 0; begin < codes.size(); begin += kBlock) {
    const std::span<const std::int16_t> pixels = codes.subspan(begin, std::min(kBlock, codes.size() - begin));
    const auto [missing, largest] =
        pixels.size() == kBlock ? summary_of(pixels.first<kBlock>()) : summary_of(pixels);
    if (missing == pixels.size()) continue;
    frame.covered += static_cast<std::int64_t>(pixels.size() - missing);
    if (missing == 0) ++covered_blocks_[begin / kBlock];
    if (missing == 0 && largest <= 0) continue;
    Block& block = block_of(begin / kBlock);
    if (missing > 0) {
      for (std::size_t i = 0; i < pixels.size(); ++i)
        block.covered[i] += pixels[i] != Packing::kFill ? 1U : 0U;
    }
    if (largest <= 0) continue;
    frame.max = std::max<std::int64_t>(frame.max, largest);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::int16_t code = pixels[i];
      if (code <= 0) continue;
      const bool is_wet = code >= wet_code_;
      block.wet[i] += is_wet ? 1U : 0U;
      block.sum[i] += static_cast<std::uint32_t>(code);
      frame.wet += is_wet ? 1 : 0;
      frame.sum += code;
      ++above;
      ++of_hour[static_cast<std::size_t>(code)];
      ++of_month[static_cast<std::size_t>(code)];
    }
  }
  of_hour[0] += frame.covered - above;
  of_month[0] += frame.covered - above;
  ++frames_;
  sums_[month][hour].add(frame);
  const auto covered = static_cast<double>(frame.covered), wet = static_cast<double>(frame.wet);
  return {static_cast<float>(covered / static_cast<double>(codes.size())),
          frame.covered == 0 ? 0.F : static_cast<float>(wet / covered)};
}

void PackStatistics::draw_maps(PackReport& report) const {
  constexpr std::int64_t kSide = 1024;
  const std::int64_t step = (std::max(grid_.rows, grid_.columns) + kSide - 1) / kSide;
  PackMap empty;
  empty.grid = grid_;
  empty.grid.rows = (grid_.rows + step - 1) / step;
  empty.grid.columns = (grid_.columns + step - 1) / step;
  empty.grid.dx *= static_cast<double>(step);
  empty.grid.dy *= static_cast<double>(step);
  empty.values.assign(static_cast<std::size_t>(empty.grid.pixels()), kMissing);
  report.cover_map = report.mean_map = report.wet_map = empty;
  for (std::int64_t row = 0; row < empty.grid.rows; ++row) {
    for (std::int64_t column = 0; column < empty.grid.columns; ++column) {
      std::uint64_t covered = 0, wet = 0, sum = 0, seen = 0;
      for (std::int64_t y = row * step; y < std::min(grid_.rows, (row + 1) * step); ++y) {
        for (std::int64_t x = column * step; x < std::min(grid_.columns, (column + 1) * step); ++x) {
          const PixelCounts counts = counts_of(static_cast<std::size_t>(y * grid_.columns + x));
          covered += counts.covered;
          wet += counts.wet;
          sum += counts.sum;
          seen += static_cast<std::uint64_t>(frames_);
        }
      }
      const auto pixel = static_cast<std::size_t>(row * empty.grid.columns + column);
      const auto share = [](std::uint64_t of, std::uint64_t among, double factor) {
        return static_cast<float>(factor * static_cast<double>(of) / static_cast<double>(among));
      };
      if (seen > 0) report.cover_map.values[pixel] = share(covered, seen, 1.);
      if (covered == 0) continue;
      report.mean_map.values[pixel] = share(sum, covered, scale_);
      report.wet_map.values[pixel] = share(wet, covered, 1.);
    }
  }
}

void PackStatistics::finish(PackReport& report, bool maps) const {
  const auto p99 = [&](const Counts& counts) {
    return counts.empty() ? 0. : scale_ * static_cast<double>(percentile_code(counts, 0.99));
  };
  Counts counts(kCodes, 0);
  Sums all;
  std::array<Sums, 24> hours{};
  for (std::size_t m = 0; m < sums_.size(); ++m) {
    Sums month;
    for (std::size_t h = 0; h < hours.size(); ++h) {
      report.month_hours[m][h] = sums_[m][h].climate(scale_);
      month.add(sums_[m][h]);
      hours[h].add(sums_[m][h]);
    }
    report.months[m] = month.climate(scale_);
    report.months[m].p99 = p99(months_[m]);
    all.add(month);
    for (std::size_t code = 0; code < months_[m].size(); ++code) counts[code] += months_[m][code];
  }
  for (std::size_t h = 0; h < hours.size(); ++h) {
    report.hours[h] = hours[h].climate(scale_);
    report.hours[h].p99 = p99(hours_[h]);
  }
  if (maps) draw_maps(report);
  if (all.covered == 0) return;
  const Climate climate = all.climate(scale_);
  report.max = climate.max;
  report.covered_fraction =
      climate.covered / (static_cast<double>(frames_) * static_cast<double>(grid_.pixels()));
  report.wet_fraction = climate.wet / climate.covered;
  report.mean = climate.mean;
  report.p99 = p99(counts);
  for (std::size_t block = 0; block < places_.size(); ++block) {
    if (places_[block] == 0) continue;  // never wet
    const std::size_t end = std::min((block + 1) * kBlock, static_cast<std::size_t>(grid_.pixels()));
    for (std::size_t pixel = block * kBlock; pixel < end; ++pixel) {
      const PixelCounts of = counts_of(pixel);
      if (of.covered < 24) continue;
      const double share = static_cast<double>(of.wet) / of.covered;
      if (share <= 0.8 || share < 3. * report.wet_fraction) continue;
      ++report.clutter_pixels;
      const auto i = static_cast<std::int64_t>(pixel);
      report.clutter.push_back({i / grid_.columns, i % grid_.columns, share});
    }
  }
  std::stable_sort(report.clutter.begin(), report.clutter.end(),
                   [](const ClutterHint& a, const ClutterHint& b) { return a.wet_share > b.wet_share; });
  if (report.clutter.size() > 10) report.clutter.resize(10);
}

}  // namespace raincell::io
