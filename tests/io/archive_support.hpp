// Small archives for tests: simulated rain, or frames of which every pixel is known.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "io/archive_writer.hpp"
#include "io/simulate.hpp"

namespace raincell::io {

inline const TimePoint kStart = std::chrono::sys_days{std::chrono::year{2024} / 6 / 1};

/// A frame of `value` everywhere, five minutes a step after kStart.
inline Frame flat_frame(std::int64_t step, float value, std::int64_t rows = 16, std::int64_t columns = 24) {
  Frame frame;
  frame.grid = {"+proj=laea +lat_0=52 +lon_0=10 +ellps=WGS84", columns, rows, -12000., 8000., 1000., 1000.};
  frame.valid_time = kStart + std::chrono::seconds{300 * step};
  frame.values.assign(static_cast<std::size_t>(rows * columns), value);
  frame.states.assign(frame.values.size(), std::isnan(value) ? PixelState::missing
                                           : value > 0.F     ? PixelState::valued
                                                             : PixelState::dry);
  return frame;
}

/// Packs frames of flat rain; the value is the step + 1 in mm/h, so that a reader knows which frame it got.
inline std::filesystem::path pack_steps(const std::filesystem::path& target,
                                        const std::vector<std::int64_t>& steps, ArchiveOptions options = {}) {
  ArchiveWriter writer(target, std::move(options));
  for (const std::int64_t step : steps) {
    writer.add(flat_frame(step, static_cast<float>(step + 1)), "step" + std::to_string(step));
  }
  writer.finish();
  return target;
}

inline std::filesystem::path pack_simulation(const std::filesystem::path& target, const SimulationSpec& spec,
                                             ArchiveOptions options = {}) {
  const Simulator simulator(spec);
  ArchiveWriter writer(target, std::move(options));
  for (std::int64_t i = 0; i < spec.frames; ++i) writer.add(simulator.frame(i), "frame" + std::to_string(i));
  writer.finish();
  return target;
}

}  // namespace raincell::io
