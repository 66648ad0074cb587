// Deterministic scores with their support: yes/no events, errors, spatial agreement. A score without support
// is NaN.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace raincell::model {

/// Counts of one threshold. An event is a value at or above the threshold.
struct ContingencyTable {
  std::int64_t hits = 0, misses = 0, false_alarms = 0, correct_negatives = 0;

  std::int64_t pixels() const { return hits + misses + false_alarms + correct_negatives; }
  double csi() const;   // hits / (hits + misses + false alarms)
  double pod() const;   // hits / (hits + misses)
  double far() const;   // false alarms / (hits + false alarms): a ratio of forecasts, not of dry pixels
  double hss() const;   // Heidke: share of correct pixels beyond chance, 2 ets / (1 + ets)
  double ets() const;   // Gilbert: CSI with the hits of chance taken out
  double bias() const;  // (hits + false alarms) / (hits + misses)

  ContingencyTable& operator+=(const ContingencyTable&);
  bool operator==(const ContingencyTable&) const = default;
};

/// Counts for all thresholds in one pass; thresholds ascend. Pixels with mask 0 are left out.
/// forecast, truth, mask: [pixels]; tables: [thresholds], added to.
/// Throws std::invalid_argument for unequal sizes, unordered thresholds or more than 255 of them.
void add_contingency(std::span<const float> forecast, std::span<const float> truth,
                     std::span<const std::uint8_t> mask, std::span<const double> thresholds,
                     std::span<ContingencyTable> tables);

/// Sums from which errors and correlation follow; units of the field and their squares.
struct ContinuousSums {
  std::int64_t pixels = 0;
  double error = 0, absolute_error = 0, squared_error = 0;  // error = forecast - truth
  double forecast = 0, truth = 0, forecast_squared = 0, truth_squared = 0, product = 0;

  double mse() const;
  double mae() const;
  double me() const;
  double rmse() const;
  double correlation() const;            // Pearson
  double uncentred_correlation() const;  // sum(p t) / sqrt(sum p^2 sum t^2), as in Shi et al. 2015
  ContinuousSums& operator+=(const ContinuousSums&);
};

/// Adds the pixels whose mask is not 0. Throws std::invalid_argument for unequal sizes.
void add_continuous(std::span<const float> forecast, std::span<const float> truth,
                    std::span<const std::uint8_t> mask, ContinuousSums& sums);

/// Fractions skill score of one threshold and scale, pooled over fields.
struct FractionSums {
  double forecast_squared = 0, truth_squared = 0, product = 0;
  double score() const;
  FractionSums& operator+=(const FractionSums&);
};

/// Adds one pair of event fields (0 or 1, [rows, columns]) at every scale; windows are scale x scale pixels,
/// zero outside the field, an even window reaching one pixel further up and left (scipy's uniform_filter).
/// sums: [scales]. Throws std::invalid_argument for unequal sizes or scales below 1.
void add_fractions(std::span<const std::uint8_t> forecast_events, std::span<const std::uint8_t> truth_events,
                   std::int64_t rows, std::int64_t columns, std::span<const std::int64_t> scales,
                   std::span<FractionSums> sums);

/// Structural similarity as scikit-image 0.19 computes it by default: 7x7 uniform window, sample covariance,
/// a border of 3 pixels left out. NaN for fields smaller than the window.
double structural_similarity(std::span<const float> forecast, std::span<const float> truth, std::int64_t rows,
                             std::int64_t columns, double data_range);

/// A confidence interval, NaN where there is none.
struct Interval {
  double low = 0, high = 0;
};

/// Percentile bootstrap over cases. Draws `cases` indices with replacement in runs of `block` consecutive
/// cases (circular), calls the statistic on how often each case was drawn, and takes the central `level` of
/// the finite results. A pure function of its arguments. NaN for fewer than two blocks of cases (one block
/// says nothing of the spread) or no finite result.
struct BootstrapSpec {
  std::int64_t resamples = 1000;
  std::int64_t block = 1;
  double level = 0.95;
  std::uint64_t seed = 1;
};
/// Multiplicities of every resample, [resamples, cases]; empty for fewer than two blocks of cases.
std::vector<std::int32_t> bootstrap_weights(std::int64_t cases, const BootstrapSpec&);
Interval bootstrap_interval(std::span<const std::int32_t> weights, std::int64_t cases, double level,
                            const std::function<double(std::span<const std::int32_t>)>& statistic);

}  // namespace raincell::model
