// The product file (CF-1.11 NetCDF-4), built in memory, verified, published by rename.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct Product {
  Grid grid;
  Quantity quantity = Quantity::rain_rate;
  TimePoint reference_time;                    // valid time of the latest frame
  std::vector<std::int64_t> lead_s;            // [T']
  std::vector<float> values;                   // [T', rows, columns], kMissing where there is no forecast
  std::vector<std::uint8_t> observed_mask;     // [rows, columns], 1 where the latest frame was observed
  std::vector<double> probability_thresholds;  // mm/h, optional
  std::vector<float> probabilities;            // [thresholds, T', rows, columns]
  // provenance, written as attributes
  std::string forecaster, model_name, model_hash, status, version;
  std::vector<TimePoint> frames_used;
  std::int64_t frames_filled = 0;
  std::map<std::string, std::string> attributes;  // title, institution, history, ...
};

/// Throws WriteError; the target is either complete or as it was.
void write_product(const Product&, const std::filesystem::path&);
Product read_product(const std::filesystem::path&);

}  // namespace raincell::io
