// raincell check: is every backend of this build right on this machine, forward and backward?
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "app/compute.hpp"
#include "app/errors.hpp"
#include "app/signals.hpp"
#include "model/network.hpp"

namespace raincell::app {

namespace {

using Json = nlohmann::ordered_json;

/// Largest difference over the tensor's largest entry that is still rounding: every layer and step rounds
/// anew.
double tolerance_of(kernels::Precision precision) {
  return precision == kernels::Precision::bf16 ? 0.15 : precision == kernels::Precision::tf32 ? 1e-2 : 2e-4;
}

/// One comparison with the reference.
struct Outcome {
  std::string name, what;  // "fed with advected frames", "gradient of encoder.0.layer.state.weight"
  double difference = 0.;  // relative to the largest entry
};

/// A number in [-1, 1) from a counter, the same for every backend.
float noise(std::uint64_t& counter) {
  std::uint64_t x = (counter += 0x9e3779b97f4a7c15ULL);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<float>((x ^ (x >> 31)) >> 40) / static_cast<float>(1 << 23) - 1.F;
}

struct NetworkCase {
  std::string name;
  model::ModelSpec spec;
  std::int64_t height = 12, width = 20;
};

model::Stage stage(std::int64_t hidden, std::int64_t kernel) {
  model::Stage stage;
  stage.layer = {hidden, kernel, kernel};
  return stage;
}

model::Stage sampled(std::int64_t hidden, std::int64_t channels) {
  model::Stage result = stage(hidden, 3);
  result.down = model::SamplingConv{channels, 3, 2, 1, true};
  return result;
}

/// Small networks that together use every layer, odd sizes among them.
std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> cases(6);
  for (NetworkCase& c : cases) c.spec.past = c.spec.future = 3;
  cases[0].name = "convlstm, mirrored, fed with advected frames";
  cases[0].spec.stages = {sampled(8, 4), sampled(12, 6)};
  cases[0].spec.feed = model::Feed::advection;
  cases[0].spec.head_skip = cases[0].spec.tendency = true;
  cases[0].spec.head = {model::SamplingConv{4, 3, 1, 1, true}};
  cases[1].name = "convlstm, peepholes, patches, head over all states";
  cases[1].spec.stages = {stage(16, 5), stage(8, 3)};
  cases[1].spec.peephole = kernels::Peephole::per_channel;
  cases[1].spec.patch = 2;
  cases[1].spec.head_input = model::HeadInput::all;
  cases[2].name = "convgru, same order, fed with its own output";
  cases[2].spec.cell = kernels::CellKind::convgru;
  cases[2].spec.forecaster = model::ForecasterKind::same_order;
  cases[2].spec.feed = model::Feed::previous;
  cases[2].spec.stages = {stage(7, 3)};
  cases[3].name = "rnn, shared";
  cases[3].spec.cell = kernels::CellKind::rnn;
  cases[3].spec.forecaster = model::ForecasterKind::shared;
  cases[3].spec.feed = model::Feed::previous;
  cases[3].spec.stages = {stage(5, 3), stage(6, 1)};
  cases[4].name = "convlstm, odd size";
  cases[4].spec.stages = {stage(6, 3)};
  cases[4].height = 7;
  cases[4].width = 13;
  cases[5].name = "convlstm, many channels";  // as many as faster convolutions of 3x3 ask for
  cases[5].spec.stages = {stage(16, 3), stage(17, 3)};
  cases[5].width = 22;
  return cases;
}

/// Everything a training step computes, on the host in double.
struct Results {
  std::vector<std::pair<std::string, std::vector<double>>> tensors;
};

Results run_case(kernels::Backend& backend, const NetworkCase& c) {
  model::Network network(c.spec, backend, 7);
  const auto frame = static_cast<std::size_t>(2 * c.height * c.width);
  std::uint64_t counter = 1;
  // Biases, peepholes and the head of a guided network start at zero, where errors would hide.
  for (int i = 0; i < static_cast<int>(network.layout().slices().size()); ++i) {
    std::vector<double> values = network.parameters().read(i);
    for (double& v : values) v += 0.1 * static_cast<double>(noise(counter));
    network.parameters().write(i, values);
  }
  network.plan({.batch = 2, .height = c.height, .width = c.width, .training = true});
  const auto fill = [&](std::int64_t steps) {
    std::vector<float> values(frame * static_cast<std::size_t>(steps));
    for (float& v : values) v = 0.5F + 0.5F * noise(counter);
    return values;
  };
  const auto past = fill(c.spec.past), future = fill(c.spec.future), guide = fill(c.spec.future),
             tendency = fill(c.spec.future);
  std::vector<float> mask(future.size(), 1.F);  // every seventh pixel is missing
  for (std::size_t i = 0; i < mask.size(); i += 7) mask[i] = 0.F;
  const std::vector<float> ones(std::max(past.size(), future.size()), 1.F);
  model::HostBatch batch{.past = past,
                         .past_mask = std::span(ones).first(past.size()),
                         .future = future,
                         .future_mask = mask,
                         .guide = {},
                         .guide_mask = {},
                         .tendency = {},
                         .thresholds = {}};
  if (c.spec.feed == model::Feed::advection) {
    batch.guide = guide;
    batch.guide_mask = std::span(ones).first(guide.size());
    if (c.spec.tendency) batch.tendency = tendency;
  }
  network.set_loss({});
  network.load(batch);
  network.forward();
  network.loss(1.F);
  network.zero_gradients();
  network.backward();
  Results results;
  std::vector<float> forecast(future.size());
  network.export_forecast(forecast);
  results.tensors.emplace_back("forecast", std::vector<double>(forecast.begin(), forecast.end()));
  results.tensors.emplace_back("loss", std::vector<double>{network.read_loss().mean});
  const auto& slices = network.layout().slices();
  for (std::size_t i = 0; i < slices.size(); ++i) {
    std::vector<double> gradient(static_cast<std::size_t>(slices[i].shape.elements()));
    backend.read(network.parameters().gradient(static_cast<int>(i)), std::span<double>(gradient));
    results.tensors.emplace_back("gradient of " + slices[i].name, gradient);
  }
  return results;
}

double difference_of(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0., worst = 0.;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i]));
    const double d = std::abs(a[i] - b[i]);
    worst = std::isfinite(d) ? std::max(worst, d) : INFINITY;
  }
  return largest > 0. ? worst / largest : worst;
}

/// The kernels that the backend picks for some usual convolutions.
std::vector<std::string> chosen_kernels(kernels::Backend& backend) {
  std::vector<std::string> lines;
  for (const auto& [channels, kernel, stride] :
       {std::array<std::int64_t, 3>{64, 3, 1}, {64, 5, 1}, {8, 5, 4}}) {
    const kernels::ConvSpec spec{.images = 1,
                                 .channels_in = channels,
                                 .channels_out = 4 * channels,
                                 .height = 32,
                                 .width = 32,
                                 .kernel = kernel,
                                 .stride = stride,
                                 .padding = kernel / 2};
    const auto plan = backend.plan_convolution(spec, kernels::ConvUse::training);
    lines.push_back(spec.text() + ": " + plan->implementation());
  }
  return lines;
}

Json check_backend(const std::string& name, kernels::Precision precision, const Arguments& arguments,
                   kernels::Backend& reference, Log& log, bool& right) {
  Json json = {{"backend", name}, {"precision", name_of(precision)}};
  const double tolerance = tolerance_of(precision);
  std::unique_ptr<kernels::Backend> backend;
  try {
    kernels::BackendOptions options;
    options.threads = static_cast<int>(arguments.integer("threads", 0, 1, 4096));
    options.deterministic = arguments.has("deterministic");
    options.precision = precision;
    backend = kernels::make_backend(name, options);
  } catch (const kernels::BackendUnavailable& absence) {
    json["available"] = false;
    json["reason"] = absence.what();
    return json;
  }
  json["available"] = true;
  json["device"] = backend->info().device;
  json["libraries"] = backend->info().libraries;
  json["threads"] = backend->info().threads;
  json["kernels"] = chosen_kernels(*backend);
  std::int64_t compared = 0;
  double worst = 0.;
  Json wrong = Json::array();
  const auto cases = network_cases();
  Progress progress(log, fmt::format("checking {} in {}", name, name_of(precision)),
                    static_cast<std::int64_t>(cases.size()), "networks");
  for (std::size_t i = 0; i < cases.size(); ++i) {
    stop_if_asked();
    const Results ours = run_case(*backend, cases[i]), theirs = run_case(reference, cases[i]);
    for (std::size_t k = 0; k < ours.tensors.size(); ++k) {
      const double difference = difference_of(theirs.tensors[k].second, ours.tensors[k].second);
      worst = std::max(worst, difference);
      ++compared;
      if (difference <= tolerance) continue;
      wrong.push_back({{"network", cases[i].name},
                       {"tensor", ours.tensors[k].first},
                       {"difference", std::isfinite(difference) ? Json(difference) : Json("not finite")}});
    }
    progress.update(static_cast<std::int64_t>(i) + 1);
  }
  json["networks"] = cases.size();
  json["tensors_compared"] = compared;
  json["largest_difference"] = std::isfinite(worst) ? Json(worst) : Json(nullptr);
  json["tolerance"] = tolerance;
  json["right"] = wrong.empty();
  json["wrong"] = wrong;
  right = right && wrong.empty();
  return json;
}

std::string readable(const Json& json) {
  const std::string precision = json["precision"], backend = json["backend"],
                    name = precision == "f32" ? backend : backend + " " + precision;
  if (!json["available"].get<bool>())
    return fmt::format("{:<14} not available: {}", name, json["reason"].get<std::string>());
  std::string text = fmt::format(
      "{:<14} {}: {} tensors of {} networks, largest difference {:.1e} (allowed {:.1e})\n"
      "               {} | {} | {} threads",
      name, json["right"].get<bool>() ? "right" : "WRONG", json["tensors_compared"].get<std::int64_t>(),
      json["networks"].get<std::size_t>(),
      json["largest_difference"].is_null() ? NAN : json["largest_difference"].get<double>(),
      json["tolerance"].get<double>(), json["device"].get<std::string>(),
      json["libraries"].get<std::string>(), json["threads"].get<int>());
  for (const auto& line : json["kernels"]) text += "\n               " + line.get<std::string>();
  for (const auto& item : json["wrong"]) {
    text += fmt::format("\n               WRONG: {} of '{}'", item["tensor"].get<std::string>(),
                        item["network"].get<std::string>());
  }
  return text;
}

int run(const Arguments& arguments, Log& log) {
  std::vector<std::string> names = kernels::backend_names();
  if (arguments.has("backend") && arguments.text("backend") != "auto") {
    make_backend(arguments, kernels::Precision::f32,
                 log);  // says what is wrong with the name, or why it is not available
    names = {arguments.text("backend")};
  }
  const auto reference = kernels::make_backend("reference", {});
  bool right = true;
  for (const std::string& name : names) {
    for (const kernels::Precision precision : kernels::precisions_of(name)) {
      const Json json = check_backend(name, precision, arguments, *reference, log, right);
      log.result(arguments.has("json") ? json_text(json) : readable(json));
      if (!json["available"].get<bool>()) break;
    }
  }
  if (!right)
    log.error("a backend of this build computes wrong numbers on this machine; use another --backend");
  return right ? kOk : kDevice;
}

}  // namespace

Command check_command() {
  return {{"check",
           "Runs every backend of this build, in all its precisions, against the reference: values and "
           "gradients.",
           "  raincell check\n  raincell check --backend cpu --json",
           "",
           0,
           0,
           {{"backend", "NAME", "only this one; default: all of this build", false},
            {"threads", "N", "threads to compute with; default: all that the machine offers", false},
            {"deterministic", "", "same bytes for the same input, threads and backend", false},
            {"json", "", "one JSON object a line, backend and precision", false}},
           {}},
          run};
}

}  // namespace raincell::app
