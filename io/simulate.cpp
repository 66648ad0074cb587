#include "io/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>

#include "io/cf_out.hpp"
#include "io/moving_mnist.hpp"
#include "io/odim_out.hpp"
#include "io/publish.hpp"
#include "io/rain_field.hpp"

namespace raincell::io {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kPixel_m = 1000.;
constexpr double kStep_mm_h = 0.01;    // of the written codes
constexpr double kWeakest_mm_h = 0.1;  // at the edge of an area
constexpr double kStrongest_mm_h = 150.;
constexpr std::int64_t kLargestField = 2048;  // pixels; larger grids repeat it

/// What the wind does at a time: displacement of the whole, and the turn and shear about the centre.
struct Flow {
  double x = 0., y = 0.;  // pixels
  double a = 1., b = 0., c = 0., d = 1.;
};

/// A slow oscillation with a phase of its own.
double swing(std::uint64_t seed, std::uint64_t which, double seconds, double hours) {
  return std::sin(2. * kPi * (seconds / (3600. * hours) + random_unit(seed, 10, which)));
}

Flow flow_at(const RainRegime& regime, std::uint64_t seed, double seconds) {
  const double speed_m_s = regime.speed_m_s + regime.more_speed_m_s * random_unit(seed, 11);
  const double direction = 2. * kPi * random_unit(seed, 12);
  const double metres_a_swing = 8000.;  // 2.3 m/s at a period of 6 h
  Flow flow;
  flow.x =
      (speed_m_s * std::cos(direction) * seconds + metres_a_swing * swing(seed, 1, seconds, 6.)) / kPixel_m;
  flow.y =
      (speed_m_s * std::sin(direction) * seconds + metres_a_swing * swing(seed, 2, seconds, 7.)) / kPixel_m;
  const double turn = 0.3 * swing(seed, 3, seconds, 8.), shear = 0.2 * swing(seed, 4, seconds, 9.);
  flow.a = std::cos(turn);
  flow.b = -std::sin(turn) + shear * std::cos(turn);
  flow.c = std::sin(turn);
  flow.d = std::cos(turn) + shear * std::sin(turn);
  return flow;
}

/// Weights of the four points of a cubic (Catmull-Rom) interpolation.
std::array<float, 4> cubic(float f) {
  return {((-0.5F * f + 1.F) * f - 0.5F) * f, (1.5F * f - 2.5F) * f * f + 1.F,
          ((-1.5F * f + 2.F) * f + 0.5F) * f, (0.5F * f - 0.5F) * f * f};
}

std::complex<float> sample(const std::vector<std::complex<float>>& field, std::int64_t size, double x,
                           double y) {
  const double x0 = std::floor(x), y0 = std::floor(y);
  const std::array<float, 4> wx = cubic(static_cast<float>(x - x0)), wy = cubic(static_cast<float>(y - y0));
  const auto column = static_cast<std::int64_t>(x0), row = static_cast<std::int64_t>(y0);
  std::complex<float> sum = 0.F;
  for (std::int64_t j = 0; j < 4; ++j) {
    const std::int64_t r = (row + j - 1) & (size - 1);
    std::complex<float> line = 0.F;
    for (std::int64_t i = 0; i < 4; ++i) {
      line += wx[static_cast<std::size_t>(i)] *
              field[static_cast<std::size_t>(r * size + ((column + i - 1) & (size - 1)))];
    }
    sum += wy[static_cast<std::size_t>(j)] * line;
  }
  return sum;
}

/// Rain rate from the two fields: `area` says where and how much, `contrast` how peaked.
double rain_mm_h(double area, double contrast, double threshold, double usual_steepness) {
  const double excess = area - threshold;
  if (excess <= 0.) return 0.;
  const double steepness = usual_steepness + 0.35 * std::clamp(contrast, -2., 2.);
  return std::min(kStrongest_mm_h, kWeakest_mm_h * std::exp(steepness * excess));
}

/// A standing echo comes and goes.
double clutter_mm_h(std::uint64_t seed, std::uint64_t pixel, std::int64_t index) {
  const double strength = random_unit(seed, 22, pixel, static_cast<std::uint64_t>(index));
  return strength < 0.3 ? 0. : kWeakest_mm_h * std::exp(5. * strength);
}

Grid grid_of(const SimulationSpec& spec) {
  Grid grid;
  grid.projection = "+proj=laea +lat_0=52 +lon_0=10 +x_0=0 +y_0=0 +ellps=WGS84 +units=m";
  grid.columns = spec.columns;
  grid.rows = spec.rows;
  grid.dx = grid.dy = kPixel_m;
  grid.x0 = -0.5 * static_cast<double>(spec.columns) * kPixel_m;
  grid.y0 = 0.5 * static_cast<double>(spec.rows) * kPixel_m;
  return grid;
}

/// 1 where the radar sees: a circle about the centre, less a narrow sector behind an obstacle.
std::vector<std::uint8_t> coverage_of(const SimulationSpec& spec) {
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(spec.rows * spec.columns), 1);
  if (!spec.missing_region) return seen;
  const double reach = 0.56 * static_cast<double>(std::max(spec.rows, spec.columns));
  const double blocked = 2. * kPi * random_unit(spec.seed, 20), half_width = 0.06;
  for (std::int64_t r = 0; r < spec.rows; ++r) {
    for (std::int64_t c = 0; c < spec.columns; ++c) {
      const double y = static_cast<double>(r) + 0.5 - 0.5 * static_cast<double>(spec.rows);
      const double x = static_cast<double>(c) + 0.5 - 0.5 * static_cast<double>(spec.columns);
      const double distance = std::hypot(x, y);
      const double turn = std::remainder(std::atan2(y, x) - blocked, 2. * kPi);
      const bool behind = distance > 0.35 * reach && std::abs(turn) < half_width;
      if (distance > reach || behind) seen[static_cast<std::size_t>(r * spec.columns + c)] = 0;
    }
  }
  return seen;
}

void check(const SimulationSpec& spec) {
  const auto refuse = [](const std::string& why) { throw DataError("simulate: " + why); };
  if (spec.kind != "rain" && spec.kind != "moving-mnist") {
    refuse("kind \"" + spec.kind + "\" is unknown; rain or moving-mnist");
  }
  if (spec.format != "odim" && spec.format != "cf")
    refuse("format \"" + spec.format + "\" is unknown; odim or cf");
  if (spec.frames < 1) refuse(fmt::format("{} frames; at least 1", spec.frames));
  if (spec.columns < 8 || spec.rows < 8 || spec.columns > 16384 || spec.rows > 16384) {
    refuse(fmt::format("size {}x{}; 8 to 16384 columns and rows", spec.columns, spec.rows));
  }
  if (spec.step_s < 1) refuse(fmt::format("a step of {} s; at least 1 s", spec.step_s));
}

/// Counts that say what a file holds, as a reader would find them.
void summarise(Frame& frame, const char* quantity) {
  frame.source.format = "simulate";
  frame.source.quantity = quantity;
  frame.source.unit = unit_of(frame.quantity);
  frame.source.pixels = frame.grid.pixels();
  for (std::size_t i = 0; i < frame.values.size(); ++i) {
    switch (frame.states[i]) {
      case PixelState::missing:
        ++frame.source.missing;
        break;
      case PixelState::dry:
        ++frame.source.dry;
        break;
      case PixelState::valued:
        ++frame.source.valued;
        frame.source.max = std::max(frame.source.max, static_cast<double>(frame.values[i]));
        frame.source.sum += frame.values[i];
        break;
    }
  }
}

std::string file_name(TimePoint when, const char* extension) {
  std::string text = format_time(when);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return "raincell_" + text + extension;
}

}  // namespace

struct Simulator::State {
  SimulationSpec spec;
  RainRegime regime;
  std::vector<std::uint8_t> seen;
  std::unique_ptr<RainField> field;
  std::unique_ptr<MovingMnist> mnist;
};

Simulator::Simulator(SimulationSpec spec) : state_(std::make_unique<State>()) {
  check(spec);
  if (spec.kind == "moving-mnist") {
    state_->mnist = std::make_unique<MovingMnist>(spec.digits, spec.rows, spec.columns, spec.seed);
  } else {
    state_->seen = coverage_of(spec);
    const auto wanted = static_cast<std::uint64_t>(std::max(spec.rows, spec.columns) * 5 / 4);
    const auto size =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::bit_ceil(wanted)), 128, kLargestField);
    state_->regime = rain_regime(spec.regime, spec.seed);
    state_->field = std::make_unique<RainField>(size, state_->regime, spec.seed);
  }
  state_->spec = std::move(spec);
}

Simulator::Simulator(Simulator&&) noexcept = default;
Simulator::~Simulator() = default;

Frame Simulator::frame(std::int64_t index) const {
  const SimulationSpec& spec = state_->spec;
  Frame frame;
  const auto pixels = static_cast<std::size_t>(spec.rows * spec.columns);
  frame.values.assign(pixels, 0.F);
  frame.states.assign(pixels, PixelState::dry);
  if (state_->mnist) {
    const std::int64_t sequence = index / kMnistSequence;
    frame.quantity = Quantity::intensity;
    frame.grid = Grid{"", spec.columns, spec.rows, 0., static_cast<double>(spec.rows), 1., 1.};
    frame.valid_time = spec.start + std::chrono::seconds{(index + sequence) * spec.step_s};
    state_->mnist->draw(sequence, index % kMnistSequence, frame.values);
    for (std::size_t i = 0; i < pixels; ++i) {
      if (frame.values[i] > 0.F) frame.states[i] = PixelState::valued;
    }
    summarise(frame, "intensity");
    return frame;
  }
  frame.grid = grid_of(spec);
  frame.valid_time = spec.start + std::chrono::seconds{index * spec.step_s};
  const double seconds = static_cast<double>(index * spec.step_s);
  const RainRegime& regime = state_->regime;
  const Flow flow = flow_at(regime, spec.seed, seconds);
  const auto field = state_->field->at(seconds, flow.x, flow.y);
  const double threshold = regime.threshold - regime.growth * swing(spec.seed, 5, seconds, 5.);
  for (std::int64_t r = 0; r < spec.rows; ++r) {
    for (std::int64_t c = 0; c < spec.columns; ++c) {
      const auto i = static_cast<std::size_t>(r * spec.columns + c);
      if (state_->seen[i] == 0) {
        frame.values[i] = kMissing;
        frame.states[i] = PixelState::missing;
        continue;
      }
      const double x = static_cast<double>(c) - 0.5 * static_cast<double>(spec.columns);
      const double y = static_cast<double>(r) - 0.5 * static_cast<double>(spec.rows);
      const auto both =
          sample(field, state_->field->size(), flow.a * x + flow.b * y, flow.c * x + flow.d * y);
      double rate = rain_mm_h(both.real(), both.imag(), threshold, regime.steepness);
      if (regime.clutter > 0. && random_unit(spec.seed, 21, i) < regime.clutter)
        rate = std::max(rate, clutter_mm_h(spec.seed, i, index));
      if (rate <= 0.) continue;
      frame.values[i] = static_cast<float>(kStep_mm_h * std::nearbyint(rate / kStep_mm_h));
      frame.states[i] = PixelState::valued;
    }
  }
  summarise(frame, "rain_rate");
  return frame;
}

Frame simulate_frame(const SimulationSpec& spec, std::int64_t index) {
  return Simulator(spec).frame(index);
}

std::vector<std::filesystem::path> simulate(const SimulationSpec& spec, const std::filesystem::path& folder,
                                            const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const Simulator simulator(spec);
  make_folder(folder);
  std::vector<std::filesystem::path> written;
  std::vector<Frame> together;  // of one file
  const std::int64_t frames_a_file = spec.kind == "moving-mnist" ? kMnistSequence : 1;
  for (std::int64_t index = 0; index < spec.frames; ++index) {
    if (std::find(spec.gaps.begin(), spec.gaps.end(), index) == spec.gaps.end()) {
      together.push_back(simulator.frame(index));
    }
    const bool last = (index + 1) % frames_a_file == 0 || index + 1 == spec.frames;
    if (last && !together.empty()) {
      const bool odim = spec.format == "odim" && spec.kind == "rain";
      const auto path = folder / file_name(together.front().valid_time, odim ? ".h5" : ".nc");
      publish(path, odim ? odim_bytes(together.front()) : cf_bytes(together));
      written.push_back(path);
      together.clear();
    }
    if (progress) progress(index + 1, spec.frames);
  }
  return written;
}

}  // namespace raincell::io
