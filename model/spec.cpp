// Validation and the text form of ModelSpec.
#include "model/spec.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

namespace raincell::model {

namespace {

using nlohmann::ordered_json;
using std::int64_t;

constexpr int64_t kLargestSize = 1 << 20;  // of any single number in a description

class ProblemList {
 public:
  void require(bool fine, const std::string& key, const std::string& why) {
    if (!fine) list_.push_back("model." + key + ": " + why);
  }
  void size(int64_t value, int64_t least, const std::string& key) {
    require(value >= least && value <= kLargestSize, key,
            fmt::format("is {}, must lie between {} and {}", value, least, kLargestSize));
  }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

void check_sampling(ProblemList& list, const SamplingConv& conv, const std::string& key) {
  list.size(conv.channels, 1, key + ".channels");
  list.size(conv.kernel, 1, key + ".kernel");
  list.size(conv.stride, 1, key + ".stride");
  list.require(conv.padding >= 0 && conv.padding < conv.kernel, key + ".padding",
               fmt::format("is {}, must lie between 0 and kernel - 1 = {}", conv.padding, conv.kernel - 1));
}

void check_down(ProblemList& list, const SamplingConv& down, const std::string& key) {
  check_sampling(list, down, key);
  const int64_t reach = down.kernel - 2 * down.padding;
  list.require(
      reach >= 1 && reach <= down.stride, key + ".padding",
      fmt::format(
          "kernel {}, stride {} and padding {} do not divide the size by the stride: kernel - 2 padding "
          "is {} and must lie between 1 and {}",
          down.kernel, down.stride, down.padding, reach, down.stride));
}

void check_up(ProblemList& list, const ModelSpec& spec, std::size_t index, const std::string& key) {
  const Stage& stage = spec.stages[index];
  if (!stage.down) {
    list.require(!stage.up, key + ".up", "given, but the stage has no down to undo");
    return;
  }
  list.require(stage.up || stage.down->kernel >= stage.down->stride, key + ".down.kernel",
               fmt::format("is {}, smaller than the stride {}: give the stage an up of its own",
                           stage.down->kernel, stage.down->stride));
  if (!stage.up) return;
  check_sampling(list, *stage.up, key + ".up");
  list.require(stage.up->stride == stage.down->stride, key + ".up.stride",
               fmt::format("is {}, must equal down.stride {}", stage.up->stride, stage.down->stride));
  list.require(stage.up->kernel - 2 * stage.up->padding == stage.up->stride, key + ".up.padding",
               fmt::format("kernel - 2 padding is {}, must equal the stride {} so that the size comes back",
                           stage.up->kernel - 2 * stage.up->padding, stage.up->stride));
}

void check_stages(ProblemList& list, const ModelSpec& spec) {
  list.require(!spec.stages.empty(), "stages", "is empty; give at least one stage");
  for (std::size_t i = 0; i < spec.stages.size(); ++i) {
    const std::string key = fmt::format("stages[{}]", i);
    const Stage& stage = spec.stages[i];
    if (stage.down) check_down(list, *stage.down, key + ".down");
    check_up(list, spec, i, key);
    list.size(stage.layer.hidden, 1, key + ".layer.hidden");
    for (const auto& [kernel, name] :
         {std::pair{stage.layer.input_kernel, "input_kernel"}, {stage.layer.state_kernel, "state_kernel"}}) {
      list.require(kernel >= 1 && kernel % 2 == 1 && kernel < kLargestSize, key + ".layer." + name,
                   fmt::format("is {}, must be odd so that the size stays", kernel));
    }
  }
}

void check_head(ProblemList& list, const ModelSpec& spec) {
  list.require(spec.head_kernel >= 1 && spec.head_kernel % 2 == 1, "head_kernel",
               fmt::format("is {}, must be odd", spec.head_kernel));
  for (std::size_t i = 0; i < spec.head.size(); ++i) {
    const std::string key = fmt::format("head[{}]", i);
    check_sampling(list, spec.head[i], key);
    list.require(spec.head[i].stride == 1, key + ".stride",
                 fmt::format("is {}, must be 1: the head works at full resolution", spec.head[i].stride));
    list.require(spec.head[i].kernel - 2 * spec.head[i].padding == 1, key + ".padding",
                 fmt::format("is {}, must be (kernel - 1) / 2 so that the size stays", spec.head[i].padding));
  }
  list.require(!spec.head_skip || (spec.feed == Feed::advection && spec.forecaster != ForecasterKind::shared),
               "head_skip", "needs feed: advection and a forecaster of its own: mirrored or same_order");
  list.require(!spec.tendency || (spec.feed == Feed::advection && spec.forecaster != ForecasterKind::shared),
               "tendency", "needs feed: advection and a forecaster of its own: mirrored or same_order");
  if (spec.head_input == HeadInput::all) {
    for (std::size_t i = 0; i < spec.stages.size(); ++i) {
      list.require(!spec.stages[i].down || spec.stages[i].down->stride == 1,
                   fmt::format("stages[{}].down.stride", i),
                   "must be 1 with head_input: all, which sums states of equal resolution");
    }
  }
}

void check_flatten(ProblemList& list, const ModelSpec& spec) {
  if (!spec.flatten) {
    list.require(spec.flatten_pixels == 0, "flatten_pixels", "given, but flatten is false");
    return;
  }
  list.require(spec.flatten_pixels >= 1 && spec.flatten_pixels <= kLargestSize, "flatten_pixels",
               fmt::format("is {}; give channels * height * width of the frames", spec.flatten_pixels));
  list.require(spec.patch == 1, "patch", "must be 1 with flatten: true");
  list.require(spec.head.empty(), "head", "must be empty with flatten: true");
  list.require(spec.head_kernel == 1, "head_kernel", "must be 1 with flatten: true");
  list.require(spec.channels >= 1 && spec.flatten_pixels % std::max<int64_t>(spec.channels, 1) == 0,
               "flatten_pixels", "is not a multiple of channels");
  for (std::size_t i = 0; i < spec.stages.size(); ++i) {
    const Stage& stage = spec.stages[i];
    const std::string key = fmt::format("stages[{}]", i);
    list.require(!stage.down, key + ".down", "must be absent with flatten: true");
    list.require(stage.layer.input_kernel == 1, key + ".layer.input_kernel", "must be 1 with flatten: true");
    list.require(stage.layer.state_kernel == 1, key + ".layer.state_kernel", "must be 1 with flatten: true");
  }
}

void check_forecaster(ProblemList& list, const ModelSpec& spec) {
  list.require(spec.peephole == kernels::Peephole::none || spec.cell == kernels::CellKind::convlstm,
               "peephole", "only cell: convlstm has peepholes");
  list.require(spec.sampling_slope >= 0.F && spec.sampling_slope <= 1.F, "sampling_slope",
               fmt::format("is {}, must lie between 0 and 1", spec.sampling_slope));
  for (std::size_t i = 0; i < spec.thresholds.size(); ++i) {
    list.require(spec.thresholds[i] > 0. && (i == 0 || spec.thresholds[i] > spec.thresholds[i - 1]),
                 fmt::format("thresholds[{}]", i), "thresholds must be positive and ascending");
  }
  list.require(spec.output == OutputKind::linear || spec.thresholds.empty(), "output",
               "sigmoid is for intensities; leave it out, thresholds give probabilities anyway");
  list.require(spec.output == OutputKind::linear || spec.feed != Feed::previous, "feed",
               "previous feeds frames back, but with output: sigmoid the network computes logits");
  if (!spec.thresholds.empty()) {
    list.require(spec.feed != Feed::previous, "feed",
                 "previous feeds frames back, but the output is probabilities");
    list.require(spec.channels == 1, "channels", "must be 1 with thresholds");
  }
  list.require(spec.feed != Feed::advection || spec.channels == 1, "channels",
               "must be 1 with feed: advection, whose guide frames have one channel");
  list.require(
      !(spec.forecaster == ForecasterKind::shared && spec.feed == Feed::advection) || spec.mask_channel,
      "mask_channel",
      "must be true with forecaster: shared and feed: advection, so that the guide's mask is seen");
}

}  // namespace

int64_t ModelSpec::out_channels() const {
  return thresholds.empty() ? channels : static_cast<int64_t>(thresholds.size());
}

int64_t ModelSpec::frame_planes() const {
  return flatten ? flatten_pixels : channels * patch * patch;
}

int64_t ModelSpec::out_planes() const {
  return flatten ? flatten_pixels / channels * out_channels() : out_channels() * patch * patch;
}

int64_t ModelSpec::size_multiple() const {
  int64_t multiple = patch;
  for (const Stage& stage : stages) multiple *= stage.down ? stage.down->stride : 1;
  return multiple;
}

SamplingConv up_sampling(const ModelSpec& spec, std::size_t index) {
  const Stage& stage = spec.stages.at(index);
  if (stage.up) return *stage.up;
  SamplingConv up = stage.down.value();
  up.kernel += (up.kernel - up.stride) % 2;
  up.padding = (up.kernel - up.stride) / 2;
  if (index > 0) up.channels = spec.stages[index - 1].layer.hidden;
  return up;
}

std::vector<std::string> problems(const ModelSpec& spec) {
  ProblemList list;
  list.size(spec.channels, 1, "channels");
  list.size(spec.patch, 1, "patch");
  list.require(spec.patch <= 64, "patch", fmt::format("is {}, must be at most 64", spec.patch));
  list.size(spec.past, 1, "past");
  list.size(spec.future, 1, "future");
  check_stages(list, spec);
  check_head(list, spec);
  check_flatten(list, spec);
  check_forecaster(list, spec);
  return list.take();
}

void check(const ModelSpec& spec) {
  const std::vector<std::string> found = problems(spec);
  if (found.empty()) return;
  std::string text;
  for (const std::string& problem : found) text += (text.empty() ? "" : "\n") + problem;
  throw ModelError(text);
}

// --- text ------------------------------------------------------------------------------------------------

namespace {

template <class Enum>
using Names = std::initializer_list<std::pair<Enum, const char*>>;

constexpr Names<kernels::CellKind> kCells = {{kernels::CellKind::convlstm, "convlstm"},
                                             {kernels::CellKind::convgru, "convgru"},
                                             {kernels::CellKind::rnn, "rnn"}};
constexpr Names<kernels::Peephole> kPeepholes = {{kernels::Peephole::none, "none"},
                                                 {kernels::Peephole::per_channel, "per_channel"}};
constexpr Names<kernels::Activation> kActivations = {{kernels::Activation::identity, "identity"},
                                                     {kernels::Activation::leaky_relu, "leaky_relu"},
                                                     {kernels::Activation::sigmoid, "sigmoid"},
                                                     {kernels::Activation::tanh, "tanh"}};
constexpr Names<ForecasterKind> kForecasters = {{ForecasterKind::mirrored, "mirrored"},
                                                {ForecasterKind::same_order, "same_order"},
                                                {ForecasterKind::shared, "shared"}};
constexpr Names<Feed> kFeeds = {
    {Feed::none, "none"}, {Feed::previous, "previous"}, {Feed::advection, "advection"}};
constexpr Names<HeadInput> kHeadInputs = {{HeadInput::last, "last"}, {HeadInput::all, "all"}};
constexpr Names<OutputKind> kOutputs = {{OutputKind::linear, "linear"}, {OutputKind::sigmoid, "sigmoid"}};

template <class Enum>
const char* name_in(Names<Enum> names, Enum value) {
  for (const auto& [entry, name] : names) {
    if (entry == value) return name;
  }
  return "?";
}

/// Reads the members of one JSON object and remembers which were asked for.
class Reader {
 public:
  Reader(const ordered_json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) throw ModelError(where_ + ": not an object");
  }
  template <class Value>
  void read(const char* key, Value& value) {
    const auto found = take(key);
    if (found == nullptr) return;
    try {
      value = found->get<Value>();
    } catch (const nlohmann::json::exception&) {
      throw ModelError(where_ + "." + key + ": wrong kind of value " + found->dump());
    }
  }
  template <class Enum>
  void read(const char* key, Enum& value, Names<Enum> names) {
    std::string text;
    read(key, text);
    if (text.empty()) return;
    for (const auto& [entry, name] : names) {
      if (text == name) {
        value = entry;
        return;
      }
    }
    throw ModelError(where_ + "." + key + ": unknown value '" + text + "'");
  }
  const ordered_json* take(const char* key) {
    taken_.emplace_back(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  void finish() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::find(taken_.begin(), taken_.end(), key) == taken_.end()) {
        throw ModelError(where_ + "." + key + ": unknown key");
      }
    }
  }

 private:
  const ordered_json& json_;
  std::string where_;
  std::vector<std::string> taken_;
};

ordered_json json_of(const SamplingConv& conv) {
  return {{"channels", conv.channels},
          {"kernel", conv.kernel},
          {"stride", conv.stride},
          {"padding", conv.padding},
          {"bias", conv.bias}};
}

SamplingConv sampling_from(const ordered_json& json, const std::string& where) {
  SamplingConv conv;
  Reader reader(json, where);
  reader.read("channels", conv.channels);
  reader.read("kernel", conv.kernel);
  reader.read("stride", conv.stride);
  reader.read("padding", conv.padding);
  reader.read("bias", conv.bias);
  reader.finish();
  return conv;
}

ordered_json json_of(const Stage& stage) {
  ordered_json json = ordered_json::object();
  if (stage.down) json["down"] = json_of(*stage.down);
  json["layer"] = {{"hidden", stage.layer.hidden},
                   {"input_kernel", stage.layer.input_kernel},
                   {"state_kernel", stage.layer.state_kernel}};
  if (stage.up) json["up"] = json_of(*stage.up);
  return json;
}

Stage stage_from(const ordered_json& json, const std::string& where) {
  Stage stage;
  Reader reader(json, where);
  if (const auto* down = reader.take("down")) stage.down = sampling_from(*down, where + ".down");
  if (const auto* layer = reader.take("layer")) {
    Reader inner(*layer, where + ".layer");
    inner.read("hidden", stage.layer.hidden);
    inner.read("input_kernel", stage.layer.input_kernel);
    inner.read("state_kernel", stage.layer.state_kernel);
    inner.finish();
  }
  if (const auto* up = reader.take("up")) stage.up = sampling_from(*up, where + ".up");
  reader.finish();
  return stage;
}

}  // namespace

std::string to_text(const ModelSpec& spec) {
  ordered_json json;
  json["cell"] = name_in(kCells, spec.cell);
  json["peephole"] = name_in(kPeepholes, spec.peephole);
  json["bias"] = spec.bias;
  json["flatten"] = spec.flatten;
  json["flatten_pixels"] = spec.flatten_pixels;
  json["channels"] = spec.channels;
  json["mask_channel"] = spec.mask_channel;
  json["patch"] = spec.patch;
  json["stages"] = ordered_json::array();
  for (const Stage& stage : spec.stages) json["stages"].push_back(json_of(stage));
  json["sampling_activation"] = name_in(kActivations, spec.sampling_activation);
  json["sampling_slope"] = spec.sampling_slope;
  json["forecaster"] = name_in(kForecasters, spec.forecaster);
  json["feed"] = name_in(kFeeds, spec.feed);
  json["head_input"] = name_in(kHeadInputs, spec.head_input);
  json["head_skip"] = spec.head_skip;
  json["tendency"] = spec.tendency;
  json["head"] = ordered_json::array();
  for (const SamplingConv& conv : spec.head) json["head"].push_back(json_of(conv));
  json["head_kernel"] = spec.head_kernel;
  json["head_bias"] = spec.head_bias;
  json["output"] = name_in(kOutputs, spec.output);
  json["thresholds"] = spec.thresholds;
  json["past"] = spec.past;
  json["future"] = spec.future;
  return json.dump();
}

ModelSpec spec_from_text(const std::string& text) {
  ordered_json json;
  try {
    json = ordered_json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw ModelError(std::string("model: the text is not JSON: ") + error.what());
  }
  ModelSpec spec;
  Reader reader(json, "model");
  reader.read("cell", spec.cell, kCells);
  reader.read("peephole", spec.peephole, kPeepholes);
  reader.read("bias", spec.bias);
  reader.read("flatten", spec.flatten);
  reader.read("flatten_pixels", spec.flatten_pixels);
  reader.read("channels", spec.channels);
  reader.read("mask_channel", spec.mask_channel);
  reader.read("patch", spec.patch);
  if (const auto* stages = reader.take("stages")) {
    for (const auto& [index, stage] : stages->items()) {
      spec.stages.push_back(stage_from(stage, "model.stages[" + index + "]"));
    }
  }
  reader.read("sampling_activation", spec.sampling_activation, kActivations);
  reader.read("sampling_slope", spec.sampling_slope);
  reader.read("forecaster", spec.forecaster, kForecasters);
  reader.read("feed", spec.feed, kFeeds);
  reader.read("head_input", spec.head_input, kHeadInputs);
  reader.read("head_skip", spec.head_skip);
  reader.read("tendency", spec.tendency);
  if (const auto* head = reader.take("head")) {
    for (const auto& [index, conv] : head->items()) {
      spec.head.push_back(sampling_from(conv, "model.head[" + index + "]"));
    }
  }
  reader.read("head_kernel", spec.head_kernel);
  reader.read("head_bias", spec.head_bias);
  reader.read("output", spec.output, kOutputs);
  reader.read("thresholds", spec.thresholds);
  reader.read("past", spec.past);
  reader.read("future", spec.future);
  reader.finish();
  check(spec);
  return spec;
}

}  // namespace raincell::model
