// Small archives for tests: simulated rain, or frames of which every pixel is known.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/archive.hpp"
#include "io/archive_part.hpp"
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

inline SimulationSpec rain(std::int64_t frames = 6) {
  SimulationSpec spec;
  spec.frames = frames;
  spec.columns = 70;
  spec.rows = 50;
  return spec;
}

inline std::filesystem::path pack_simulation(const std::filesystem::path& target, const SimulationSpec& spec,
                                             ArchiveOptions options = {}) {
  const Simulator simulator(spec);
  ArchiveWriter writer(target, std::move(options));
  for (std::int64_t i = 0; i < spec.frames; ++i) writer.add(simulator.frame(i), "frame" + std::to_string(i));
  writer.finish();
  return target;
}

inline bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || a == b;
}

inline std::vector<float> whole(const Archive& archive, std::int64_t frame) {
  std::vector<float> values(static_cast<std::size_t>(archive.grid().pixels()));
  archive.read(frame, {0, 0, archive.grid().rows, archive.grid().columns}, values);
  return values;
}

/// Changes one bit in the middle of a frame's bytes in an archive of one part.
inline void damage_frame(const std::filesystem::path& archive, std::size_t frame) {
  const auto part = ArchivePart::open(archive);
  const PackedFrame& place = part->frames()[frame];
  std::fstream file(archive, std::ios::in | std::ios::out | std::ios::binary);
  const auto at = static_cast<std::streamoff>(place.offset + place.bytes / 2);
  file.seekg(at);
  const auto byte = static_cast<char>(file.get() ^ 4);
  file.seekp(at);
  file.put(byte);
}

}  // namespace raincell::io
