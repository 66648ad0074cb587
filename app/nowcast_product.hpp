// What nowcast and watch publish alike: the product of a forecast, and its pictures.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "app/weights.hpp"
#include "io/product.hpp"
#include "model/forecasters.hpp"

namespace raincell::app {

/// What a forecast starts from.
struct NowcastInput {
  io::Grid grid;
  io::Quantity quantity = io::Quantity::rain_rate;
  std::chrono::seconds step{0};
  std::vector<io::TimePoint> frames;  // oldest first; reference time is that of the last
  std::int64_t filled = 0;            // further ones that were missing between them
  std::int64_t age_s = 0;             // of the last, against the moment that was asked for
  std::string zr;
};

/// All but its leads, with status OK. last: the latest frame [rows, columns]. weights: null without a
/// network.
io::Product describe_product(const NowcastInput&, const WeightsInfo* weights, const std::string& forecaster,
                             std::int64_t leads, std::span<const float> last, const std::string& command);

/// Sums of rain from the reference time on, to leads in seconds, that are to be filled lead by lead. Throws
/// UsageError for what is no lead, or no rain; `option` names where they were asked for.
std::vector<io::Accumulation> accumulations_to(const io::Product&, const std::vector<std::int64_t>& ends_s,
                                               const std::string& option);
/// Adds a lead, from 0, to the sums of a product.
void accumulate_lead(io::Product&, std::int64_t lead, std::span<const float> values);

/// Lead l from 0, [rows, columns], until the next one is asked for.
using ForecastLeads = std::function<std::span<const float>(std::size_t lead)>;
/// One map a lead, and an animation that starts with the observed frames. Returns the files. `drawn` is
/// called after each picture with their number, and may throw.
std::vector<std::string> draw_product(const io::Product&, model::PastStream& past, const ForecastLeads&,
                                      const std::filesystem::path& folder,
                                      const std::function<void(std::int64_t)>& drawn);

}  // namespace raincell::app
