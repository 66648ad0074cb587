// How one lead of one case is scored: which pixels count, and what stands in for missing output. The same for
// a verification and for forecasts that were issued.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/skill.hpp"

namespace raincell::model {

/// The pixels of a lead that count, whoever forecast it.
struct LeadSupport {
  std::vector<std::uint8_t> mask;  // [pixels], 1 where one counts
  std::vector<float> truth;        // [pixels], 0 where it does not
};

/// Pixels count where truth, latest frame and advected frame are all valid. advected: empty where nothing
/// that is brought bounds the support. Throws std::invalid_argument for sizes that differ.
void find_support(std::span<const float> truth, std::span<const float> latest,
                  std::span<const float> advected, LeadSupport&);

/// One forecast against the truth of its lead.
struct LeadScore {
  std::vector<ContingencyTable> tables;  // [thresholds]
  ContinuousSums sums;
  std::int64_t filled_pixels = 0;  // scored by what stood in

  /// Adds a score of the same thresholds; to an empty one, of any.
  LeadScore& operator+=(const LeadScore&);
};

/// values: the forecast [pixels]. stand_in: what is scored where it is missing, the latest frame; empty:
/// zero. field: the forecast as it was scored, 0 where pixels do not count. Throws std::invalid_argument for
/// sizes that differ, and as add_contingency.
LeadScore score_lead(const LeadSupport&, std::span<const float> values, std::span<const float> stand_in,
                     std::span<const double> thresholds, std::vector<float>& field);

}  // namespace raincell::model
