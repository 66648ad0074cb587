// raincell nowcast: the latest frames of a folder -> a product file and maps.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/forecasting.hpp"
#include "app/signals.hpp"
#include "app/version.hpp"
#include "io/picture.hpp"
#include "io/product.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr int kAnimationMilliseconds = 300;

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

/// All but its leads.
io::Product product_of(FrameSeries& series, const Input& input, const Forecasting& forecasting,
                       const std::string& forecaster, std::int64_t leads, std::span<const float> last) {
  io::Product product;
  const std::int64_t latest = input.frames.back();
  product.grid = series.grid(latest);
  product.quantity = series.quantity(latest);
  product.reference_time = series.time(latest);
  for (std::int64_t l = 1; l <= leads; ++l) product.lead_s.push_back(l * series.step_s());
  product.observed_mask.resize(last.size());
  for (std::size_t i = 0; i < last.size(); ++i) product.observed_mask[i] = std::isnan(last[i]) ? 0 : 1;
  product.forecaster = forecaster;
  if (const WeightsInfo* weights = forecasting.weights()) {
    product.probability_thresholds = weights->spec.thresholds;
    product.model_name = weights->name;
    product.model_hash = weights->hash;
    product.transform = weights->transform.text();
  }
  product.status = "OK";
  product.version = version();
  // The time of the data, not of the clock: the same input gives the same bytes.
  product.attributes["history"] = fmt::format("{} raincell {} nowcast --forecaster {}",
                                              io::format_time(product.reference_time), version(), forecaster);
  for (const std::int64_t frame : input.frames) product.frames_used.push_back(series.time(frame));
  product.input_age_s = input.age_s;
  product.zr = series.zr();
  return product;
}

/// One map a lead, and an animation that starts with the observed frames. Returns the files.
std::vector<std::string> draw(const io::Product& product, model::PastStream& past, model::Floats& forecast,
                              const std::filesystem::path& folder, Log& log) {
  io::make_folder(folder);
  std::vector<std::string> files;
  std::vector<io::MapText> titles;
  const auto pixels = static_cast<std::size_t>(product.grid.pixels());
  const std::size_t observed = product.frames_used.size();
  const auto frame = [&](std::size_t i) {
    forecast.drop();
    return i < observed ? past.frame(static_cast<std::int64_t>(i))
                        : std::span<const float>(forecast.values()).subspan((i - observed) * pixels, pixels);
  };
  for (std::size_t i = 0; i < observed; ++i) {
    titles.push_back({"raincell · observed", "valid " + io::format_time(product.frames_used[i])});
  }
  const std::size_t leads = product.lead_s.size();
  Progress progress(log, "drawing", static_cast<std::int64_t>(leads) + 1, "pictures");
  for (std::size_t l = 0; l < leads; ++l) {
    stop_if_asked();
    titles.push_back({"raincell nowcast · " + product.forecaster,
                      fmt::format("valid {} · +{} min",
                                  io::format_time(product.reference_time + seconds(product.lead_s[l])),
                                  product.lead_s[l] / 60)});
    const auto file = folder / fmt::format("lead_{:03}min.png", product.lead_s[l] / 60);
    const std::vector<std::uint8_t> png = io::draw_map(product.grid, frame(observed + l), titles.back());
    io::publish(file, std::as_bytes(std::span(png)));
    files.push_back(file.string());
    progress.update(static_cast<std::int64_t>(l) + 1);
  }
  const std::vector<std::uint8_t> webp =
      io::draw_animation(product.grid, frame, titles, kAnimationMilliseconds);
  files.push_back((folder / "animation.webp").string());
  io::publish(files.back(), std::as_bytes(std::span(webp)));
  return files;
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
  const io::Product product = product_of(series, input, forecasting, name, leads, last);
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
  if (arguments.has("png")) pictures = draw(product, past, drawn, arguments.text("png"), log);
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
