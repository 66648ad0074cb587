// raincell verify: hindcasts over a range of times, every forecaster on the same cases and pixels.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/commands.hpp"
#include "app/forecasting.hpp"
#include "app/report.hpp"
#include "app/signals.hpp"
#include "app/stored_products.hpp"
#include "app/verify_output.hpp"
#include "app/verify_streamed.hpp"
#include "io/picture.hpp"
#include "io/publish.hpp"
#include "model/verification.hpp"

namespace raincell::app {

namespace {

using std::chrono::seconds;

model::Protocol protocol_of(const Arguments& arguments) {
  const std::string name = arguments.text("protocol", "default");
  const auto found = model::find_protocol(name);
  if (!found) {
    const std::string near = nearest(name, model::protocol_names());
    throw UsageError(fmt::format("--protocol {}: there is no such protocol; expected one of {}{}", name,
                                 fmt::join(model::protocol_names(), ", "),
                                 near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  model::Protocol protocol = *found;
  if (arguments.has("thresholds")) {
    protocol.thresholds.clear();
    for (const std::string& item : arguments.comma_list("thresholds")) {
      const auto value = parse_real(item);
      if (!value || *value <= 0. || (!protocol.thresholds.empty() && *value <= protocol.thresholds.back())) {
        throw UsageError(
            fmt::format("--thresholds {}: expected ascending numbers above 0, for example 0.1,1,5",
                        arguments.text("thresholds")));
      }
      protocol.thresholds.push_back(*value);
    }
  }
  if (arguments.has("support")) {
    const std::string support = arguments.text("support");
    if (support != "transported" && support != "observed") {
      throw UsageError(fmt::format("--support {}: expected transported or observed", support));
    }
    protocol.support = support == "observed" ? model::Support::observed : model::Support::transported;
  }
  return protocol;
}

/// Widths of the squares of the fractions skill score, pixels.
std::vector<std::int64_t> fss_scales_of(const Arguments& arguments) {
  std::vector<std::int64_t> scales;
  for (const std::string& item : arguments.comma_list("fss-scales")) {
    const auto value = parse_integer(item);
    if (!value || *value < 1 || *value > 100000 || (!scales.empty() && *value <= scales.back())) {
      throw UsageError(
          fmt::format("--fss-scales {}: expected ascending numbers of pixels, for example 4,16,64",
                      arguments.text("fss-scales")));
    }
    scales.push_back(*value);
  }
  return scales;
}

/// First frames of all cases whose inputs and truths all lie in the range, without gaps.
std::vector<std::vector<std::int64_t>> find_cases(const FrameSeries& series, io::TimePoint from,
                                                  io::TimePoint to, std::int64_t frames) {
  std::vector<std::vector<std::int64_t>> cases;
  const seconds step(series.step_s());
  for (std::int64_t first = 0; first < series.frames() && step.count() > 0; ++first) {
    const io::TimePoint start = series.time(first);
    if (start < from || start + (frames - 1) * step > to) continue;
    std::vector<std::int64_t> indices{first};
    for (std::int64_t i = 1; i < frames; ++i) {
      const auto next = series.at(start + i * step);
      if (!next) break;
      indices.push_back(*next);
    }
    if (static_cast<std::int64_t>(indices.size()) == frames) cases.push_back(indices);
  }
  return cases;
}

/// --products NAME=DIR, each a forecaster. Names of raincell's own are not free, whether they are listed or
/// not: scores under them would be taken for its own.
std::vector<std::unique_ptr<StoredProducts>> stored_products(const Arguments& arguments, Log& log) {
  std::vector<std::unique_ptr<StoredProducts>> all;
  std::vector<std::string> taken = {"persistence", "advection", "convlstm", "blend"};
  for (const std::string& text : arguments.list("products")) {
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
    });
    if (equals == std::string::npos || !is_name)
      throw UsageError(fmt::format(
          "--products {}: expected NAME=DIR, a name for the table and a folder of product files", text));
    if (std::find(taken.begin(), taken.end(), name) != taken.end())
      throw UsageError(
          fmt::format("--products {}: there is a forecaster {} already; give another name", text, name));
    taken.push_back(name);
    all.push_back(std::make_unique<StoredProducts>(name, text.substr(equals + 1), log));
  }
  return all;
}

/// Leaves the cases that every folder of products has a forecast for. Throws DataError when there is none.
void keep_forecast(std::vector<std::vector<std::int64_t>>& cases, std::int64_t past,
                   const FrameSeries& series, std::span<StoredProducts* const> products, Log& log) {
  for (const StoredProducts* of : products) {
    const std::size_t before = cases.size();
    std::erase_if(cases, [&](const std::vector<std::int64_t>& indices) {
      return !of->has(series.time(indices[static_cast<std::size_t>(past - 1)]));
    });
    const std::string held = fmt::format("--products {}: {}", of->name(), of->describe());
    if (cases.empty())
      throw io::DataError(fmt::format(
          "{}; none begins at the latest frame of a case; check --past and the reference times", held));
    log.info(fmt::format("{}; {} of {} cases have one", held, cases.size(), before));
  }
}

std::int64_t leads_of(const Arguments& arguments, const Forecasting& forecasting, std::int64_t step_s) {
  if (!arguments.has("horizon")) return forecasting.leads();
  const std::int64_t horizon = arguments.seconds("horizon", 0);
  if (step_s <= 0 || horizon % step_s != 0 || horizon / step_s > 512) {
    throw UsageError(fmt::format("--horizon {}: expected a multiple of the step of the frames, {}",
                                 arguments.text("horizon"), format_duration(static_cast<double>(step_s))));
  }
  return horizon / step_s;
}

/// Truth and forecasts of one case, side by side, at half and at the whole of the horizon.
void add_pictures(VerifyReport& report, model::PastStream& past,
                  const std::function<std::span<const float>(std::int64_t)>& truth, const io::Grid& grid,
                  const std::vector<model::Forecaster*>& forecasters, std::int64_t leads,
                  io::TimePoint reference, std::int64_t step_s) {
  struct Map {
    std::int64_t lead;
    std::string name;
    std::vector<std::uint8_t> png;
  };
  std::vector<Map> maps;
  const auto draw = [&](std::int64_t lead, const std::string& name, std::span<const float> values) {
    const std::string when = io::format_time(reference + seconds(lead * step_s));
    maps.push_back({lead, name, io::draw_map(grid, values, {name, "valid " + when})});
  };
  const std::int64_t half = (leads + 1) / 2;
  for (const std::int64_t lead : {half, leads}) {
    draw(lead, "truth", truth(lead - 1));
    if (leads == 1) break;
  }
  for (model::Forecaster* forecaster : forecasters) {
    forecaster->stream(past, leads,
                       [&](std::int64_t lead, std::span<const float> values, std::span<const float>) {
                         if (lead + 1 == half || lead + 1 == leads)
                           draw(lead + 1, forecaster->name(), values);
                       });
  }
  std::stable_sort(maps.begin(), maps.end(), [](const Map& a, const Map& b) { return a.lead < b.lead; });
  for (Map& map : maps)
    report.pictures.push_back({fmt::format("+{} min", map.lead * step_s / 60), map.name, std::move(map.png)});
}

/// All that can forecast the series: weights that are not named must be for its quantity and step.
std::vector<std::string> usual_forecasters(const Arguments& arguments, const FrameSeries& series) {
  std::vector<std::string> names = {"persistence", "advection"};
  std::optional<std::filesystem::path> weights = shipped_weights();
  const bool named = arguments.has("model");
  if (named) weights = arguments.text("model");
  if (!weights) return names;
  const WeightsInfo info = read_weights_info(*weights);
  if (!named && !info.fits(series.quantity(0), series.step_s())) return names;
  names.emplace_back("convlstm");
  if (info.spec.thresholds.empty()) names.emplace_back("blend");
  return names;
}

int run(const Arguments& arguments, Log& log) {
  const auto begin = std::chrono::steady_clock::now();
  const Config config =
      config_from_settings(arguments.list("set"), {"source.", "advection.", "precision"}, "verify");
  const io::TimePoint from = *arguments.time("from"), to = *arguments.time("to");
  if (to <= from) throw UsageError("--to must be later than --from");
  model::VerificationSpec spec;
  spec.protocol = protocol_of(arguments);
  if (arguments.has("fss-scales")) spec.fss_scales = fss_scales_of(arguments);
  FrameSeries series(arguments.text("input"), config.source, 1, log);
  std::vector<std::string> names = arguments.comma_list("forecasters");
  if (names.empty()) names = usual_forecasters(arguments, series);
  Forecasting forecasting(arguments, config.precision, log, names, config.guide.motion, "verify");
  std::vector<StoredProducts*> products;
  for (auto& stored : stored_products(arguments, log)) {
    products.push_back(stored.get());
    forecasting.add(std::move(stored));
  }
  const std::int64_t past = arguments.integer("past", forecasting.past(), forecasting.least_past(), 512);

  forecasting.require_fit(series, log);
  const std::int64_t leads = leads_of(arguments, forecasting, series.step_s());
  series.keep(static_cast<std::size_t>(past + leads) + 1);  // cases overlap: each frame is read once
  auto cases = find_cases(series, from, to, past + leads);
  if (cases.empty()) {
    throw io::DataError(fmt::format(
        "{}: no case of {} + {} consecutive frames every {} lies between {} and {}; the folder "
        "has {} frames from {} to {}; widen --from and --to",
        arguments.text("input"), past, leads, format_duration(static_cast<double>(series.step_s())),
        io::format_time(from), io::format_time(to), series.frames(), io::format_time(series.time(0)),
        io::format_time(series.time(series.frames() - 1))));
  }
  keep_forecast(cases, past, series, products, log);
  const auto begin_case = [&](std::int64_t k) {
    const std::int64_t latest = cases[static_cast<std::size_t>(k)][static_cast<std::size_t>(past - 1)];
    for (StoredProducts* of : products)
      of->choose(series.time(latest), series.grid(latest), series.quantity(latest), series.step_s());
  };
  spec.step_minutes = static_cast<double>(series.step_s()) / 60.;
  spec.bootstrap.block = past + leads;  // cases that overlap are drawn together
  spec.threads = arguments.integer("threads", std::max(1U, std::thread::hardware_concurrency()), 1, 4096);
  const bool streamed =
      forecasting.fit_scoring(series.grid(cases.front().back()), past + leads, leads, spec.threads, log)
          .streamed;
  if (streamed) series.keep(1);

  std::vector<float> block;  // [past + leads, rows, columns]
  const auto read_case = [&](std::int64_t k) -> std::optional<model::VerificationCase> {
    begin_case(k);
    const auto& indices = cases[static_cast<std::size_t>(k)];
    block = stack_frames(series, indices);
    const io::Grid& grid = series.grid(indices.front());
    const auto split = static_cast<std::size_t>(past * grid.pixels());
    return model::VerificationCase{{past, grid.rows, grid.columns, std::span(block).first(split)},
                                   std::span<const float>(block).subspan(split),
                                   leads};
  };
  model::Advection support(config.guide.motion);
  std::vector<model::Forecaster*> forecasters = forecasting.all();
  model::VerificationResult result;
  {
    Progress progress(log, "verifying", static_cast<std::int64_t>(cases.size()), "cases");
    const auto on = [&](std::int64_t done) {
      stop_if_asked();
      progress.update(done);
      return true;
    };
    result = streamed ? verify_streamed(spec, cases, past, series, forecasting, support, begin_case, on)
                      : model::verify(spec, static_cast<std::int64_t>(cases.size()), read_case, forecasters,
                                      support, on);
  }
  if (arguments.has("report")) {
    const std::int64_t middle = static_cast<std::int64_t>(cases.size()) / 2;
    const auto& indices = cases[static_cast<std::size_t>(middle)];
    begin_case(middle);
    const io::Grid& grid = series.grid(indices.front());
    VerifyReport report = report_of(result, grid);
    report.title = "Verification of nowcasts";
    report.subtitle =
        fmt::format("{}, {} to {}", arguments.text("input"), io::format_time(from), io::format_time(to));
    if (const WeightsInfo* weights = forecasting.weights()) {
      report.facts.emplace_back("model",
                                fmt::format("{} ({} parameters)", weights->name, weights->parameters));
      report.facts.emplace_back("weights", forecasting.model_path());
    }
    report.facts.emplace_back("grid", io::describe(grid));
    report.facts.emplace_back("input frames", fmt::format("{}", past));
    const io::TimePoint reference = series.time(indices[static_cast<std::size_t>(past - 1)]);
    PastStore frames(series, {indices.begin(), indices.begin() + past}, forecasting.scratch_for_frames());
    const auto truth = [&](std::int64_t lead) {
      return series.values(indices[static_cast<std::size_t>(past + lead)]);
    };
    add_pictures(report, frames, truth, grid, forecasters, leads, reference, series.step_s());
    io::publish(arguments.text("report"), verify_report(report));
  }
  const std::string json = verification_json(result);
  if (arguments.has("json")) {
    if (arguments.text("json") == "-") {
      log.result(json);
    } else {
      io::publish(arguments.text("json"), json + "\n");
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  log.info(fmt::format("peak memory {}, {}", format_bytes(static_cast<double>(peak_resident_bytes())),
                       format_duration(took.count())));
  if (arguments.text("json") != "-") log.result(verification_table(result));
  return kOk;
}

}  // namespace

Command verify_command() {
  std::vector<Option> options = {
      {"input", "DIR", "folder of radar files", false},
      {"from", "TIME", "first frame that a case may use", false},
      {"to", "TIME", "last frame that a case may use", false},
      {"model", "FILE", "weights; default: the shipped ones", false},
      {"forecasters", "LIST",
       "of persistence, advection, convlstm, blend; default: all; with shipped weights where they are for "
       "such frames",
       false},
      {"products", "NAME=DIR",
       "scores the product files of a folder beside them, by that name; may be repeated", true},
      {"protocol", "NAME",
       fmt::format("thresholds, pooling and averaging: {}", fmt::join(model::protocol_names(), ", ")), false},
      {"thresholds", "LIST", "mm/h; default 0.1,0.5,1,2,5,10,30", false},
      {"fss-scales", "LIST", "widths of the squares of the fractions skill score, pixels; default 4,16,64",
       false},
      {"support", "NAME",
       "transported (default): where advection brings observed pixels; observed: all observed pixels", false},
      {"past", "N", "frames a case starts from; default: as the model was trained, or 5", false},
      {"horizon", "DURATION", "how far to score; default: as the model was trained, or 12 frames", false},
      {"scratch", "DIR", "for what memory is too small for; default: where the system keeps temporary files",
       false},
      {"json", "FILE", "all scores; - for stdout", false},
      {"report", "FILE", "one self-contained HTML page", false}};
  for (const Option& option : compute_options()) options.push_back(option);
  return {{"verify",
           "Hindcasts over a range of times and scores every forecaster on the same cases and pixels.",
           "  raincell verify --model run/best.safetensors --input radar --from 2024-06-01T08:00Z --to "
           "2024-06-01T09:55Z \\\n"
           "    --forecasters persistence,advection,convlstm,blend --json scores.json --report scores.html",
           "",
           0,
           0,
           options,
           {"input", "from", "to"}},
          run};
}

}  // namespace raincell::app
