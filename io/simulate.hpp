// Synthetic radar rain: moving, growing and decaying fields with a realistic spectrum.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct SimulationSpec {
  std::string kind = "rain";       // rain | moving-mnist
  std::string format = "odim";     // odim | cf
  std::int64_t frames = 120, columns = 128, rows = 128, step_s = 300;
  std::uint64_t seed = 1;
  TimePoint start{};               // default 2024-06-01T00:00Z
  std::vector<std::int64_t> gaps;  // indices of frames that are not written
  bool missing_region = true;      // a coverage circle and a blocked sector
  std::filesystem::path digits;    // idx or idx.gz file for moving-mnist
};

/// Frame `index`, a pure function of the spec.
Frame simulate_frame(const SimulationSpec&, std::int64_t index);
/// Writes all frames as files into the folder; returns their paths.
std::vector<std::filesystem::path> simulate(const SimulationSpec&, const std::filesystem::path& folder);

}  // namespace raincell::io
