// A synthetic radar archive: rain that moves, turns, grows and decays, as correlated fields with a realistic
// spectrum.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct SimulationSpec {
  std::string kind = "rain";         // rain | moving-mnist
  std::string regime = "temperate";  // of rain: rain_regime.hpp
  std::string format = "odim";       // odim | cf (moving-mnist: always cf, a file a sequence)
  std::int64_t frames = 120, columns = 128, rows = 128, step_s = 300;
  std::uint64_t seed = 1;
  TimePoint start = std::chrono::sys_days{std::chrono::year{2024} / 6 / 1};
  std::vector<std::int64_t> gaps;  // indices of frames that are not written
  bool missing_region = true;      // a coverage circle and a blocked sector
  std::filesystem::path digits;    // idx or idx.gz file for moving-mnist
};

/// Moving MNIST: frames of one sequence; sequences are a step further apart than frames, so that no window
/// spans two.
inline constexpr std::int64_t kMnistSequence = 20;

/// Draws frames of one spec; keeps what does not depend on the time. Pixels are 1 km. Any thread, one at a
/// time.
class Simulator {
 public:
  /// Throws DataError when the spec asks for the impossible.
  explicit Simulator(SimulationSpec);
  Simulator(Simulator&&) noexcept;
  ~Simulator();
  /// Frame `index`, a pure function of (spec, index): rain_rate in steps of 0.01 mm/h, or intensity in steps
  /// of 1/255.
  Frame frame(std::int64_t index) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Frame simulate_frame(const SimulationSpec&, std::int64_t index);
/// Writes all frames as files into the folder; returns their paths. `progress` may be empty. Throws
/// WriteError.
std::vector<std::filesystem::path> simulate(
    const SimulationSpec&, const std::filesystem::path& folder,
    const std::function<void(std::int64_t done, std::int64_t all)>& progress = {});

}  // namespace raincell::io
