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
      covered_(static_cast<std::size_t>(grid.pixels()), 0),
      wet_(static_cast<std::size_t>(grid.pixels()), 0),
      sum_(static_cast<std::size_t>(grid.pixels()), 0) {}

std::pair<float, float> PackStatistics::add(TimePoint time, std::span<const std::int16_t> codes) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const auto hour = static_cast<std::size_t>(std::chrono::floor<std::chrono::hours>(time - day).count());
  const auto month = static_cast<unsigned>(std::chrono::year_month_day(day).month()) - 1U;
  for (Counts* counts : {&hours_[hour], &months_[month]}) {
    if (counts->empty()) counts->assign(kCodes, 0);
  }
  Counts &of_hour = hours_[hour], &of_month = months_[month];
  std::int64_t covered = 0, wet = 0, sum = 0;
  std::int16_t largest = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {  // vectorised: no branch
    const std::int16_t code = codes[i];
    const std::uint32_t is_covered = code != Packing::kFill ? 1U : 0U, is_wet = code >= wet_code_ ? 1U : 0U,
                        amount = static_cast<std::uint32_t>(std::max<std::int16_t>(code, 0));
    covered_[i] += is_covered;
    wet_[i] += is_wet;
    sum_[i] += amount;
    covered += is_covered;
    wet += is_wet;
    sum += amount;
    largest = std::max(largest, code);
  }
  std::int64_t above = 0;
  for (const std::int16_t code : codes) {
    if (code <= 0) continue;
    ++above;
    ++of_hour[static_cast<std::size_t>(code)];
    ++of_month[static_cast<std::size_t>(code)];
  }
  of_hour[0] += covered - above;
  of_month[0] += covered - above;
  ++frames_;
  sums_[month][hour].add({1, covered, wet, sum, largest});
  const double all = static_cast<double>(codes.size());
  return {static_cast<float>(static_cast<double>(covered) / all),
          covered == 0 ? 0.F : static_cast<float>(static_cast<double>(wet) / static_cast<double>(covered))};
}

PackMap PackStatistics::map_of(const std::vector<std::uint32_t>& of, const std::vector<std::uint32_t>& among,
                               double factor) const {
  constexpr std::int64_t kSide = 1024;
  const std::int64_t step = (std::max(grid_.rows, grid_.columns) + kSide - 1) / kSide;
  PackMap map;
  map.grid = grid_;
  map.grid.rows = (grid_.rows + step - 1) / step;
  map.grid.columns = (grid_.columns + step - 1) / step;
  map.grid.dx *= static_cast<double>(step);
  map.grid.dy *= static_cast<double>(step);
  map.values.assign(static_cast<std::size_t>(map.grid.pixels()), kMissing);
  for (std::int64_t row = 0; row < map.grid.rows; ++row) {
    for (std::int64_t column = 0; column < map.grid.columns; ++column) {
      double sum = 0., count = 0.;
      for (std::int64_t y = row * step; y < std::min(grid_.rows, (row + 1) * step); ++y) {
        for (std::int64_t x = column * step; x < std::min(grid_.columns, (column + 1) * step); ++x) {
          const auto pixel = static_cast<std::size_t>(y * grid_.columns + x);
          sum += of[pixel];
          count += among.empty() ? static_cast<double>(frames_) : among[pixel];
        }
      }
      if (count > 0.)
        map.values[static_cast<std::size_t>(row * map.grid.columns + column)] =
            static_cast<float>(factor * sum / count);
    }
  }
  return map;
}

void PackStatistics::finish(PackReport& report) const {
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
  report.cover_map = map_of(covered_, {}, 1.);
  report.mean_map = map_of(sum_, covered_, scale_);
  report.wet_map = map_of(wet_, covered_, 1.);
  if (all.covered == 0) return;
  const Climate climate = all.climate(scale_);
  report.max = climate.max;
  report.covered_fraction =
      climate.covered / (static_cast<double>(frames_) * static_cast<double>(grid_.pixels()));
  report.wet_fraction = climate.wet / climate.covered;
  report.mean = climate.mean;
  report.p99 = p99(counts);
  for (std::size_t i = 0; i < wet_.size(); ++i) {
    if (covered_[i] < 24) continue;
    const double share = static_cast<double>(wet_[i]) / covered_[i];
    if (share <= 0.8 || share < 3. * report.wet_fraction) continue;
    ++report.clutter_pixels;
    report.clutter.push_back(
        {static_cast<std::int64_t>(i) / grid_.columns, static_cast<std::int64_t>(i) % grid_.columns, share});
  }
  std::stable_sort(report.clutter.begin(), report.clutter.end(),
                   [](const ClutterHint& a, const ClutterHint& b) { return a.wet_share > b.wet_share; });
  if (report.clutter.size() > 10) report.clutter.resize(10);
}

}  // namespace raincell::io
