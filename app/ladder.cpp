#include "app/ladder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "app/errors.hpp"
#include "app/signals.hpp"
#include "kernels/backend.hpp"

namespace raincell::app {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{4};  // for a forecast that is under way when the end is asked for

/// What the model's thread leaves behind, also when nobody waits for it any more.
struct Answer {
  std::optional<model::ForecastFrames> forecast;
  std::exception_ptr error;
};

/// Halfway, and missing where one of them is.
void fill_between(std::span<const float> before, std::span<const float> after, std::span<float> to) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = 0.5F * (before[i] + after[i]);
}

/// Gaps by advection of the frames before, as far as these are two; and where advection knows nothing, by
/// what lies between the neighbours.
std::vector<float> fill_gaps(const LadderInput& input, const model::MotionSpec& motion) {
  const auto pixels = static_cast<std::size_t>(input.grid.pixels());
  std::vector<float> past(input.frames.size() * pixels);
  const auto frame = [&](std::size_t i) { return std::span(past).subspan(i * pixels, pixels); };
  for (std::size_t i = 0; i < input.frames.size(); ++i) {
    if (const io::Frame* const there = input.frames[i]) {
      std::copy(there->values.begin(), there->values.end(), frame(i).begin());
      continue;
    }
    const auto next = std::find_if(input.frames.begin() + static_cast<std::ptrdiff_t>(i), input.frames.end(),
                                   [](const io::Frame* f) { return f != nullptr; });
    fill_between(frame(i - 1), (*next)->values, frame(i));
    if (i < 2) continue;
    const model::PastFrames before{static_cast<std::int64_t>(i), input.grid.rows, input.grid.columns,
                                   std::span<const float>(past).first(i * pixels)};
    const model::ForecastFrames carried = model::Advection(motion).forecast(before, 1);
    for (std::size_t p = 0; p < pixels; ++p)
      if (!std::isnan(carried.values[p])) frame(i)[p] = carried.values[p];
  }
  return past;
}

constexpr float kMostRain = 327.67F;  // mm/h: what a product holds, and more than any radar sees

/// What is no forecast of rain: less than none, or more than there is.
void keep_possible(LadderResult& result) {
  for (float& value : result.forecast.values) {
    if (value < 0.F) ++result.raised;
    if (value > kMostRain) ++result.lowered;
    if (!std::isnan(value)) value = std::clamp(value, 0.F, kMostRain);
  }
}

}  // namespace

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string LadderResult::rung_text() const {
  return rung == Rung::shorter ? forecaster + ", shorter history" : forecaster;
}

std::span<const float> LadderResult::latest() const {
  return std::span(input->past).last(static_cast<std::size_t>(input->grid.pixels()));
}

Ladder::Ladder(const WatchConfig& config, std::shared_ptr<RollingModel> model)
    : config_(config), model_(std::move(model)) {}

/// Fills forecast and forecaster, or says why not.
void Ladder::ask_model(LadderResult& result, std::int64_t leads, Clock::time_point deadline) {
  const std::string& name = config_.forecaster;
  if (!worker_.idle()) {
    result.lacks.push_back(name + " is still at work on an earlier nowcast");
    return;
  }
  const Clock::time_point begin = Clock::now();
  const auto answer = std::make_shared<Answer>();  // shared: it outlives a wait that is given up
  worker_.start([model = model_, input = result.input, answer, leads] {
    try {
      answer->forecast = model->forecast(*input, leads);
    } catch (...) {
      answer->error = std::current_exception();
    }
  });
  bool done = false;
  std::optional<Clock::time_point> asked;  // to end
  while (!done && Clock::now() < deadline) {
    done = worker_.wait_until(std::min(deadline, Clock::now() + std::chrono::milliseconds(100)));
    if (done || pending_signal() == 0) continue;
    if (!asked) asked = Clock::now();
    if (Clock::now() - *asked > kGrace) stop_if_asked();
  }
  result.model_s = seconds_since(begin);
  if (!done) {
    result.lacks.push_back(
        fmt::format("{} was not done in {}", name, format_duration(std::round(result.model_s))));
    return;
  }
  try {
    if (answer->error) std::rethrow_exception(answer->error);
    result.forecaster = name;
    result.forecast = std::move(*answer->forecast);
  } catch (const kernels::OutOfMemory& error) {
    result.lacks.emplace_back(error.what());
  } catch (const kernels::DeviceError&) {
    throw;
  } catch (const std::exception& error) {
    result.lacks.emplace_back(error.what());
  }
}

LadderResult Ladder::climb(const LadderInput& input, Clock::time_point deadline) {
  const Clock::time_point begin = Clock::now();
  LadderResult result;
  const io::Frame& latest = *input.frames.back();
  if (std::all_of(latest.values.begin(), latest.values.end(), [](float v) { return std::isnan(v); }))
    throw Withheld(
        fmt::format("the newest frame, of {}, has no observed pixel", io::format_time(latest.valid_time)));
  const auto frames = static_cast<std::int64_t>(input.frames.size());
  result.input = std::make_shared<const RollingInput>(
      RollingInput{input.grid, input.quantity, input.step, frames, fill_gaps(input, motion())});
  result.origin = {input.grid, input.quantity, input.step, {}, 0, 0, latest.zr};
  for (const io::Frame* frame : input.frames) {
    result.filled.push_back(frame == nullptr);
    if (frame == nullptr) {
      ++result.origin.filled;
    } else {
      result.origin.frames.push_back(frame->valid_time);
    }
  }
  const std::int64_t leads = model_->leads(input.step), wanted = model_->wanted();
  const model::PastFrames past = result.input->view();
  if (frames >= 2) result.advected = model::Advection(motion()).forecast(past, leads);
  result.prepare_s = seconds_since(begin);

  const std::string& first = config_.forecaster;
  if (frames < wanted)
    result.lacks.push_back(fmt::format("{} frames in a row are there of {}", frames, wanted));
  if ((first == "convlstm" || first == "blend") && frames >= 2) {
    result.rung = frames < wanted ? Rung::shorter : Rung::model;
    ask_model(result, leads, deadline);
  }
  if (result.forecaster.empty()) {
    const bool advect = frames >= 2 && first != "persistence";
    result.rung = advect ? Rung::advection : Rung::persistence;
    result.forecaster = advect ? "advection" : "persistence";
    result.forecast = advect ? result.advected : model::Persistence().forecast(past, leads);
  }
  if (input.quantity == io::Quantity::rain_rate) keep_possible(result);
  return result;
}

}  // namespace raincell::app
