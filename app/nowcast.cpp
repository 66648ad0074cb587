// raincell nowcast: the latest frames of a folder -> a product file and maps.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/forecasting.hpp"
#include "app/nowcast_product.hpp"
#include "app/signals.hpp"
#include "io/product.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

/// The frames a forecast starts from, and why they are these.
struct Input {
  std::vector<std::int64_t> frames;  // oldest first
  std::int64_t age_s = 0;            // of the latest, against --at
};

std::string minutes(std::int64_t s) {
  return format_duration(static_cast<double>(s));
}

/// The latest frame not after --at (or of all), not older than allowed. Throws Withheld.
std::int64_t latest_frame(const FrameSeries& series, const Arguments& arguments, Input& input) {
  const auto at = arguments.time("at");
  const io::TimePoint moment = at.value_or(series.time(series.frames() - 1));
  const auto latest = series.latest_until(moment);
  if (!latest) {
    throw Withheld(
        fmt::format("nowcast withheld: {} has no frame until {} (the first is of {}); give a later --at",
                    arguments.text("input"), io::format_time(moment), io::format_time(series.time(0))));
  }
  input.age_s = (moment - series.time(*latest)).count();
  const std::int64_t oldest = arguments.seconds("max-age", 2 * std::max<std::int64_t>(series.step_s(), 1));
  if (input.age_s > oldest) {
    throw Withheld(
        fmt::format("nowcast withheld: the latest frame until {} is of {}, {} old, and {} is allowed; wait "
                    "for newer frames, or allow more with --max-age",
                    io::format_time(moment), io::format_time(series.time(*latest)), minutes(input.age_s),
                    minutes(oldest)));
  }
  return *latest;
}

/// `wanted` consecutive frames that end with the latest; at least `needed`, or Withheld.
Input choose_input(const FrameSeries& series, const Arguments& arguments, std::int64_t needed,
                   std::int64_t wanted) {
  Input input;
  const std::int64_t latest = latest_frame(series, arguments, input);
  const seconds step(series.step_s());
  io::TimePoint time = series.time(latest);
  input.frames.push_back(latest);
  while (static_cast<std::int64_t>(input.frames.size()) < wanted && step.count() > 0) {
    time -= step;
    const auto frame = series.at(time);
    if (!frame) break;
    input.frames.push_back(*frame);
  }
  std::reverse(input.frames.begin(), input.frames.end());
  const auto found = static_cast<std::int64_t>(input.frames.size());
  if (found < needed) {
    const std::string why = step.count() == 0 ? "the folder holds one frame"
                                              : fmt::format("there is none at {}", io::format_time(time));
    throw Withheld(fmt::format(
        "nowcast withheld: {} consecutive frames until {} are needed, {} are there ({}); wait for "
        "more, or use --forecaster persistence, which needs one",
        needed, io::format_time(series.time(latest)), found, why));
  }
  return input;
}

/// --accumulate, in seconds.
std::vector<std::int64_t> sums_of(const Arguments& arguments) {
  std::vector<std::int64_t> ends;
  for (const std::string& text : arguments.comma_list("accumulate")) {
    const auto end = parse_seconds(text);
    if (!end || *end < 1)
      throw UsageError(fmt::format("--accumulate {}: expected durations such as 30min,60min",
                                   arguments.text("accumulate")));
    ends.push_back(*end);
  }
  return ends;
}

/// Leads from --horizon, or as many as the model was trained for.
std::int64_t leads_of(const Arguments& arguments, const Forecasting& forecasting, std::int64_t step_s) {
  if (!arguments.has("horizon")) return forecasting.leads();
  const std::int64_t horizon = arguments.seconds("horizon", 0);
  if (step_s <= 0 || horizon % step_s != 0 || horizon / step_s > 512) {
    throw UsageError(
        fmt::format("--horizon {}: expected a multiple of the step of the frames, {}, at most 512 of them",
                    arguments.text("horizon"), minutes(step_s)));
  }
  return horizon / step_s;
}

Json summary_of(const io::Product& product, const Forecasting& forecasting, const std::string& output,
                float max, const std::vector<std::string>& pictures) {
  Json times = Json::array(), leads = Json::array();
  for (const io::TimePoint t : product.frames_used) times.push_back(io::format_time(t));
  for (const std::int64_t s : product.lead_s) leads.push_back(static_cast<double>(s) / 60.);
  return {{"product", output},
          {"status", product.status},
          {"forecaster", product.forecaster},
          {"model", forecasting.weights() ? Json(forecasting.model_path()) : Json(nullptr)},
          {"model_hash", forecasting.weights() ? Json(product.model_hash) : Json(nullptr)},
          {"reference_time", io::format_time(product.reference_time)},
          {"lead_minutes", leads},
          {"frames_used", times},
          {"input_age_minutes", static_cast<double>(product.input_age_s) / 60.},
          {"max", std::isfinite(max) ? Json(max) : Json(nullptr)},
          {"unit", io::unit_of(product.quantity)},
          {"pictures", pictures}};
}

int run(const Arguments& arguments, Log& log) {
  const auto begin = std::chrono::steady_clock::now();
  const Config config =
      config_from_settings(arguments.list("set"), {"source.", "advection.", "precision"}, "nowcast");
  (void)arguments.time("at");  // a wrong time is said before any work
  const std::string name = arguments.text("forecaster", "convlstm");
  Forecasting forecasting(arguments, config.precision, log, {name}, config.guide.motion, "nowcast");
  model::Forecaster& forecaster = forecasting[0];
  const std::int64_t wanted =
      std::max(forecaster.frames_needed(), name == "advection" ? config.guide.motion.frames : 1);
  FrameSeries series(arguments.text("input"), config.source, 1, log);
  forecasting.require_fit(series, log);
  const Input input = choose_input(series, arguments, forecaster.frames_needed(), wanted);
  const std::int64_t leads = leads_of(arguments, forecasting, series.step_s());
  if (series.step_s() == 0) {
    throw Withheld("nowcast withheld: one frame says no step between frames; at least two are needed");
  }

  const io::Grid grid = series.grid(input.frames.back());
  forecasting.fit(grid, static_cast<std::int64_t>(input.frames.size()), leads, arguments.has("png"), log);
  PastStore past(series, input.frames, forecasting.scratch_for_frames());
  const auto last = past.frame(past.frames() - 1);
  if (std::all_of(last.begin(), last.end(), [](float v) { return std::isnan(v); })) {
    throw Withheld(
        fmt::format("nowcast withheld: the latest frame, {}, has no observed pixel; wait for the next",
                    series.file(input.frames.back())));
  }
  series.keep(0);
  std::vector<io::TimePoint> used;
  for (const std::int64_t frame : input.frames) used.push_back(series.time(frame));
  const NowcastInput origin{grid,
                            series.quantity(input.frames.back()),
                            std::chrono::seconds(series.step_s()),
                            used,
                            0,
                            input.age_s,
                            series.zr()};
  io::Product product = describe_product(origin, forecasting.weights(), name, leads, last, "nowcast");
  product.accumulations = accumulations_to(product, sums_of(arguments), "--accumulate");
  const std::string output = arguments.text("output");
  const auto pixels = static_cast<std::size_t>(grid.pixels());
  model::Floats drawn;
  if (arguments.has("png"))
    drawn = {pixels * static_cast<std::size_t>(leads), forecasting.scratch_for_frames(), "maps"};
  float max = -INFINITY;
  {
    io::ProductWriter writer(product, output);
    forecaster.stream(past, leads,
                      [&](std::int64_t lead, std::span<const float> values, std::span<const float> chances) {
                        stop_if_asked();
                        writer.put(values, chances);
                        accumulate_lead(product, lead, values);
                        for (const float v : values) {
                          if (v > max) max = v;
                        }
                        if (drawn.values().empty()) return;
                        std::copy(values.begin(), values.end(),
                                  drawn.values().begin() + static_cast<std::ptrdiff_t>(pixels) * lead);
                        drawn.drop();
                      });
    stop_if_asked();
    writer.finish();
  }
  std::vector<std::string> pictures;
  if (arguments.has("png")) {
    Progress progress(log, "drawing", leads + 1, "pictures");
    const auto lead = [&](std::size_t l) {
      drawn.drop();
      return std::span<const float>(drawn.values()).subspan(l * pixels, pixels);
    };
    pictures = draw_product(product, past, lead, arguments.text("png"), [&](std::int64_t done) {
      stop_if_asked();
      progress.update(done);
    });
  }
  const Json summary = summary_of(product, forecasting, output, max, pictures);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  log.info(fmt::format("peak memory {}, {}", format_bytes(static_cast<double>(peak_resident_bytes())),
                       format_duration(took.count())));
  if (arguments.has("json")) {
    log.result(json_text(summary));
    return kOk;
  }
  log.result(fmt::format(
      "{}: {} from {}, {} leads to {}, maximum {} {}{}", output, name,
      io::format_time(product.reference_time), leads, minutes(product.lead_s.back()),
      summary["max"].is_null() ? "none" : fmt::format("{:.3g}", summary["max"].get<double>()),
      io::unit_of(product.quantity), forecasting.weights() ? ", weights " + forecasting.model_path() : ""));
  for (const std::string& picture : pictures) log.result(picture);
  return kOk;
}

}  // namespace

Command nowcast_command() {
  std::vector<Option> options = {
      {"input", "DIR", "folder of radar files", false},
      {"output", "FILE", "product file, CF NetCDF", false},
      {"at", "TIME", "forecast from the latest frame until then; default: the latest of all", false},
      {"model", "FILE", "weights; default: the shipped ones", false},
      {"forecaster", "NAME", "convlstm (default), blend, advection or persistence", false},
      {"horizon", "DURATION", "how far to forecast; default: as the model was trained, or 12 frames", false},
      {"max-age", "DURATION", "oldest latest frame, against --at; default: two steps", false},
      {"accumulate", "LIST", "sums of rain from the latest frame on, for example 30min,60min", false},
      {"png", "DIR", "one map a lead time, and animation.webp", false},
      {"scratch", "DIR", "for what memory is too small for; default: the folder of the output", false},
      {"json", "", "what was made, as one JSON object on stdout", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"nowcast",
           "Forecasts the next frames from the latest ones of a folder.",
           "  raincell nowcast --input radar --output nowcast.nc --png maps\n"
           "  raincell nowcast --model run/best.safetensors --input radar --at 2024-06-01T08:55Z --output "
           "nowcast.nc",
           "",
           0,
           0,
           options,
           {"input", "output"}},
          run};
}

}  // namespace raincell::app
