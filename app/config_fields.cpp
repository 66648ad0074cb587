#include "app/config_fields.hpp"

#include <nlohmann/json.hpp>

#include "app/config_reading.hpp"
#include "app/config_types.hpp"
#include "io/publish.hpp"

namespace raincell::app {

namespace {

using kernels::Activation;
using kernels::CellKind;
using kernels::LossKind;
using kernels::OptimizerKind;
using kernels::Peephole;
using model::Feed;
using model::ForecasterKind;
using model::HeadInput;
using model::OutputKind;
using model::SamplingConv;
using model::Stage;

constexpr std::int64_t kMany = 1000000000;

/// Reference to a member of the config, for the table.
#define AT(member) [](Config& c) -> decltype(c.member)& { return c.member; }

const std::vector<Field<SamplingConv>>& convolution_fields() {
  using R = SamplingConv;
  static const std::vector<Field<R>> fields = {
      integer<R>(
          "channels", [](R & r) -> auto& { return r.channels; }, 1, 4096, "output channels"),
      integer<R>(
          "kernel", [](R & r) -> auto& { return r.kernel; }, 1, 31, "width and height of the kernel"),
      integer<R>(
          "stride", [](R & r) -> auto& { return r.stride; }, 1, 16, "sampling factor"),
      integer<R>(
          "padding", [](R & r) -> auto& { return r.padding; }, 0, 15, "zeros at every edge"),
      boolean<R>(
          "bias", [](R & r) -> auto& { return r.bias; }, "adds a bias"),
  };
  return fields;
}

const std::vector<Field<Stage>>& stage_fields() {
  using R = Stage;
  static const std::vector<Field<R>> fields = {
      optional_record<R>(
          "down", [](R & r) -> auto& { return r.down; }, convolution_fields(),
          "down-sampling convolution before the recurrent layer"),
      integer<R>(
          "hidden", [](R & r) -> auto& { return r.layer.hidden; }, 1, 8192, "hidden channels"),
      integer<R>(
          "input_kernel", [](R & r) -> auto& { return r.layer.input_kernel; }, 1, 31,
          "kernel on the input, odd"),
      integer<R>(
          "state_kernel", [](R & r) -> auto& { return r.layer.state_kernel; }, 1, 31,
          "kernel on the hidden state, odd"),
      optional_record<R>(
          "up", [](R & r) -> auto& { return r.up; }, convolution_fields(),
          "transposed convolution of a mirrored forecaster; left out: mirrors `down`"),
  };
  return fields;
}

/// "FROM/TO", both inclusive.
bool read_range(const YamlNode& node, const Place& place, io::TimeRange& range) {
  std::string value;
  if (!read_text(node, place, value)) return false;
  const std::size_t slash = value.find('/');
  const auto from = io::parse_time(value.substr(0, slash));
  const auto to = slash == std::string::npos ? std::nullopt : io::parse_time(value.substr(slash + 1));
  if (!from || !to || *from > *to) {
    place.problems.add(place.file, node.line, place.key,
                       seen(node) + "; expected FROM/TO, for example 2010-08-26T00:00Z/2010-08-26T04:55Z");
    return false;
  }
  range = {*from, *to};
  return true;
}

Field<Config> ranges(std::string key, std::string meaning) {
  return {std::move(key),
          "range or list",
          "FROM/TO, inclusive",
          std::move(meaning),
          [](Config& config, const YamlNode& node, const Place& place) {
            const std::vector<YamlNode> items = node.kind == NodeKind::list ? node.items : std::vector{node};
            std::vector<io::TimeRange> values;
            for (const YamlNode& item : items) {
              io::TimeRange range;
              if (!read_range(item, place, range)) return;
              values.push_back(range);
            }
            config.data.train = values;
          },
          [](const Config& config) {
            std::string list;
            for (const io::TimeRange& range : config.data.train) {
              list += (list.empty() ? "" : ", ") +
                      quote(io::format_time(range.from) + "/" + io::format_time(range.to));
            }
            return "[" + list + "]";
          }};
}

Field<Config> paths(std::string key, std::string meaning) {
  return {std::move(key),
          "path or list",
          "",
          std::move(meaning),
          [](Config& config, const YamlNode& node, const Place& place) {
            const std::vector<YamlNode> items = node.kind == NodeKind::list ? node.items : std::vector{node};
            std::vector<std::string> values;
            for (const YamlNode& item : items) {
              std::string value;
              if (!read_text(item, place, value)) return;
              values.push_back(value);
            }
            config.data.archives = values;
          },
          [](const Config& config) {
            std::string list;
            for (const std::string& path : config.data.archives)
              list += (list.empty() ? "" : ", ") + quote(path);
            return "[" + list + "]";
          }};
}

Field<Config> crop(std::string key, std::string meaning) {
  return {std::move(key),
          "size",
          "COLUMNSxROWS or whole",
          std::move(meaning),
          [](Config& config, const YamlNode& node, const Place& place) {
            const auto size = node.kind == NodeKind::scalar ? parse_grid_size(node.text) : std::nullopt;
            if (size) {
              config.data.crop_columns = size->first;
              config.data.crop_rows = size->second;
            } else if (node.kind == NodeKind::scalar && node.text == "whole") {
              config.data.crop_columns = config.data.crop_rows = 0;
            } else {
              place.problems.add(place.file, node.line, place.key,
                                 seen(node) + "; expected COLUMNSxROWS, for example 96x96, or whole");
            }
          },
          [](const Config& config) {
            return config.data.crop_rows == 0
                       ? std::string("whole")
                       : fmt::format("{}x{}", config.data.crop_columns, config.data.crop_rows);
          }};
}

std::vector<Field<Config>> data_fields() {
  using R = Config;
  return {
      paths("data.archive", "packed archive, or several, or a pattern (sevir/*.nc); made by `raincell pack`"),
      ranges("data.train", "times to train and to choose on; empty: the whole archive"),
      integer<R>("data.past", AT(model.past), 1, 512, "frames that the forecast starts from"),
      integer<R>("data.future", AT(model.future), 1, 512, "frames to forecast"),
      real<R>("data.validation", AT(data.validation), 0., 0.9,
              "share of the time kept for validation; 0: none"),
      integer<R>("data.validation_blocks", AT(data.validation_blocks), 2, 1000,
                 "blocks that the time is cut into; whole blocks are kept for validation, each longer than a "
                 "window"),
      crop("data.crop", "size of the training crops"),
      integer<R>("data.stride", AT(data.stride), 1, 1000, "frames between the starts of two windows"),
      real<R>("data.rain_weighting", AT(data.rain_weighting), 0., 1.,
              "0: crops anywhere; 1: in proportion to the rain of their latest frame of the past"),
      boolean<R>("data.flips", AT(data.flips), "flips, and quarter turns where crops are square"),
      boolean<R>("data.time_reversal", AT(data.time_reversal),
                 "windows also run backwards: rain grows as often as it decays, whatever the training hours "
                 "were like"),
      real<R>("data.rain_scaling", AT(data.rain_scaling), 1., 100.,
              "x: the rain of each sample is multiplied by a number from 1/x to x; 1: left alone"),
      real<R>("data.rain_level", AT(data.rain_level), 0., 1000.,
              "x: the rain of each sample is first multiplied so that the root of its mean square, in the "
              "latest frame of the crop, is x mm/h: all weather counts alike; 0: left alone"),
      real<R>("data.unreadable", AT(data.unreadable), 0., 1.,
              "most of the frames met that may be unreadable, as a share; samples with one are left out, and "
              "beyond it training ends"),
      integer<R>("data.workers", AT(data.workers), 1, 256, "threads that prepare batches"),
      integer<R>("data.prefetch", AT(data.prefetch), 1, 64, "batches ready ahead"),
  };
}

nlohmann::ordered_json json_of(const YamlNode& node) {
  using Json = nlohmann::ordered_json;
  Json json;
  switch (node.kind) {
    case NodeKind::null:
      break;
    case NodeKind::scalar:
      if (node.quoted) return node.text;
      if (node.text == "true" || node.text == "false") return node.text == "true";
      if (const auto whole = parse_integer(node.text)) return *whole;
      if (const auto real = parse_real(node.text)) return *real;
      return node.text;
    case NodeKind::list:
      json = Json::array();
      for (const YamlNode& item : node.items) json.push_back(json_of(item));
      break;
    case NodeKind::map:
      json = Json::object();
      for (const auto& [name, value] : node.entries) json[name] = json_of(value);
      break;
  }
  return json;
}

/// A description of a layout, or the path of a YAML file that holds one. The reader knows its keys.
Field<Config> layout(std::string key, std::string meaning) {
  return {std::move(key),
          "section or path",
          "",
          std::move(meaning),
          [](Config& config, const YamlNode& node, const Place& place) {
            YamlNode described = node;
            if (node.kind == NodeKind::scalar) {
              std::vector<YamlProblem> wrong;
              try {
                described = parse_yaml(io::read_file(node.text, kLargestYaml), wrong);
              } catch (const io::DataError& error) {
                place.problems.add(place.file, node.line, place.key, error.what());
                return;
              }
              for (const YamlProblem& problem : wrong)
                place.problems.add(node.text, problem.line, problem.key, problem.reason);
              if (!wrong.empty()) return;
            }
            if (described.kind != NodeKind::map) {
              place.problems.add(
                  place.file, node.line, place.key,
                  seen(node) + "; expected keys and values, or the path of a YAML file that has them");
              return;
            }
            if (described.entries.empty()) return;  // none, as a resolved configuration says
            config.source.description = json_of(described).dump();
            config.source.format = "described";
          },
          [](const Config& config) {
            return config.source.description.empty() ? "{}" : config.source.description;
          }};
}

std::vector<Field<Config>> source_fields() {
  using R = Config;
  return {
      choice<R>(
          "source.format", AT(source.format),
          {{"auto", "auto"}, {"odim", "odim"}, {"knmi", "knmi"}, {"cf", "cf"}, {"described", "described"}},
          "how to read radar files; auto: by their content; described: by source.layout"),
      choice<R>("source.quantity", AT(source.quantity), {{"auto", "auto"}, {"reflectivity", "reflectivity"}},
                "auto: rain rate, reflectivity converted; reflectivity: keep dBZ"),
      text<R>("source.dataset", AT(source.dataset),
              "ODIM: the dataset, e.g. dataset2; described: its path; empty: chosen by rule"),
      text<R>("source.variable", AT(source.variable), "CF: the variable; empty: found by its standard_name"),
      text<R>("source.units", AT(source.units), "overrides the unit of the file"),
      reals<R>("source.missing_values", AT(source.missing_values), -1e30, 1e30,
               "further stored values that mean missing"),
      text<R>("source.time_from", AT(source.time_from),
              "attribute:NAME or filename:REGEX when the file has no time"),
      real<R>("source.zr_a", AT(source.zr_a), 0., 1e5, "Z = a R^b; 0: from the file, then 200"),
      real<R>("source.zr_b", AT(source.zr_b), 0., 10., "Z = a R^b; 0: from the file, then 1.6"),
      real<R>("source.accumulation_s", AT(source.accumulation_s), 0., 86400.,
              "length of the window of amounts, s; 0: from the file"),
      real<R>("source.cap_mm_h", AT(source.cap_mm_h), 0., 10000.,
              "larger rain rates are cut to it; 0: no cap"),
      boolean<R>("source.allow_overlapping_accumulation", AT(source.allow_overlapping_accumulation),
                 "reads amounts whose windows overlap"),
      layout("source.layout", "HDF5 of one's own layout, see below; sets source.format to described"),
  };
}

std::vector<Field<Config>> transform_fields() {
  using R = Config;
  using io::TransformKind;
  return {
      choice<R>(
          "transform.kind", AT(transform.kind),
          {{"dbz", TransformKind::dbz}, {"log", TransformKind::log_eps}, {"linear", TransformKind::linear}},
          "rain rate to network units: dBZ over ceiling, logarithm, or value over maximum"),
      real<R>("transform.zr_a", AT(transform.zr_a), 1., 1e5, "dbz: Z = a R^b"),
      real<R>("transform.zr_b", AT(transform.zr_b), 0.1, 10., "dbz: Z = a R^b"),
      real<R>("transform.floor_dbz", AT(transform.floor_dbz), -60., 60., "dbz: mapped to 0"),
      real<R>("transform.ceiling_dbz", AT(transform.ceiling_dbz), 1., 100., "dbz: mapped to 1"),
      real<R>("transform.epsilon", AT(transform.epsilon), 1e-6, 10., "log: added before the logarithm, mm/h"),
      real<R>("transform.max_value", AT(transform.max_value), 1e-3, 1e5, "log and linear: mapped to 1"),
  };
}

std::vector<Field<Config>> model_fields() {
  using R = Config;
  return {
      choice<R>("model.cell", AT(model.cell),
                {{"convlstm", CellKind::convlstm}, {"convgru", CellKind::convgru}, {"rnn", CellKind::rnn}},
                "recurrent cell"),
      choice<R>("model.peephole", AT(model.peephole),
                {{"none", Peephole::none}, {"per_channel", Peephole::per_channel}},
                "convlstm: gates see the cell state"),
      boolean<R>("model.bias", AT(model.bias), "the gates have a bias"),
      boolean<R>("model.flatten", AT(model.flatten), "pixels become channels: plain RNN and FC-LSTM"),
      integer<R>("model.flatten_pixels", AT(model.flatten_pixels), 0, 1 << 24,
                 "values of a frame that flatten is built for"),
      integer<R>("model.channels", AT(model.channels), 1, 64, "channels of a frame"),
      boolean<R>("model.mask_channel", AT(model.mask_channel),
                 "the validity mask is a further input channel"),
      integer<R>("model.patch", AT(model.patch), 1, 32,
                 "space to depth: patch x patch pixels become channels"),
      records<R>("model.stages", AT(model.stages), stage_fields(),
                 "the encoder, first stage first; keys below"),
      choice<R>("model.sampling_activation", AT(model.sampling_activation),
                {{"identity", Activation::identity},
                 {"leaky_relu", Activation::leaky_relu},
                 {"tanh", Activation::tanh}},
                "after each sampling and head convolution but the last"),
      real<R>("model.sampling_slope", AT(model.sampling_slope), 0., 1., "of leaky_relu"),
      choice<R>("model.forecaster", AT(model.forecaster),
                {{"mirrored", ForecasterKind::mirrored},
                 {"same_order", ForecasterKind::same_order},
                 {"shared", ForecasterKind::shared}},
                "stages reversed; in the encoder's order; or the encoder itself going on"),
      choice<R>("model.feed", AT(model.feed),
                {{"none", Feed::none}, {"previous", Feed::previous}, {"advection", Feed::advection}},
                "what the forecaster sees at each lead: nothing, its own last output, or the advected frame"),
      choice<R>("model.head_input", AT(model.head_input),
                {{"last", HeadInput::last}, {"all", HeadInput::all}}, "hidden states that the head looks at"),
      boolean<R>("model.head_skip", AT(model.head_skip),
                 "feed advection: the head also looks at the frame it adds to, at full resolution"),
      boolean<R>(
          "model.tendency", AT(model.tendency),
          "feed advection: the forecaster also sees what changed along the motion over the past frames, "
          "brought to each lead"),
      records<R>("model.head", AT(model.head), convolution_fields(),
                 "convolutions before the last one; keys below"),
      integer<R>("model.head_kernel", AT(model.head_kernel), 1, 31, "kernel of the last convolution, odd"),
      boolean<R>("model.head_bias", AT(model.head_bias), "the last convolution has a bias"),
      choice<R>("model.output", AT(model.output),
                {{"linear", OutputKind::linear}, {"sigmoid", OutputKind::sigmoid}},
                "sigmoid: intensities between 0 and 1, trained with loss.kind: bce"),
      reals<R>("model.thresholds", AT(model.thresholds), 0., 1000.,
               "mm/h; empty: forecasts rain rate; else the probabilities of exceeding each"),
  };
}

std::vector<Field<Config>> loss_fields() {
  using R = Config;
  return {
      choice<R>("loss.kind", AT(loss.kind),
                {{"mse", LossKind::mse},
                 {"mae", LossKind::mae},
                 {"huber", LossKind::huber},
                 {"bce", LossKind::bce},
                 {"balanced", LossKind::balanced},
                 {"mse_rate", LossKind::mse_rate}},
                "in network units, over valid pixels; balanced: (mse + mae) weighted by rain class; "
                "mse_rate: of the rain rates themselves, whose mean it forecasts"),
      real<R>("loss.huber_delta", AT(loss.huber_delta), 1e-6, 1e3, "huber: where the square becomes a line"),
      real<R>("loss.target_weight", AT(loss.target_weight), 0., 1000., "k: each pixel weighs 1 + k x target"),
      real<R>(
          "loss.texture_weight", AT(loss.texture_weight), 0., 1000.,
          "against blur: squared difference of the deviations of forecast and truth in tiles of 4, 8 and 16 "
          "pixels, in network units, times this; 0: none"),
      reals<R>("loss.class_bounds_mm_h", AT(loss.class_bounds_mm_h), 0., 1000.,
               "balanced: bounds of the classes"),
      reals<R>("loss.class_weights", AT(loss.class_weights), 0., 1e6,
               "balanced: one weight more than bounds"),
      reals<R>("loss.lead_weights", AT(loss.lead_weights), 0., 1e6, "one weight a lead; empty: all alike"),
  };
}

std::vector<Field<Config>> optimizer_fields() {
  using R = Config;
  return {
      choice<R>("optimizer.kind", AT(optimizer.kind),
                {{"adam", OptimizerKind::adam},
                 {"adamw", OptimizerKind::adamw},
                 {"rmsprop", OptimizerKind::rmsprop},
                 {"sgd", OptimizerKind::sgd}},
                "how parameters are updated"),
      real<R>("optimizer.learning_rate", AT(optimizer.learning_rate), 1e-9, 100., "largest learning rate"),
      real<R>("optimizer.beta1", AT(optimizer.beta1), 0., 0.99999,
              "decay of the first moment; sgd: momentum"),
      real<R>("optimizer.beta2", AT(optimizer.beta2), 0., 0.9999999, "decay of the second moment"),
      real<R>("optimizer.epsilon", AT(optimizer.epsilon), 1e-16, 1.,
              "added to the root of the second moment"),
      real<R>("optimizer.weight_decay", AT(optimizer.weight_decay), 0., 10., "L2; adamw: decoupled"),
      real<R>("optimizer.clip_norm", AT(optimizer.clip_norm), 0., 1e6,
              "largest global norm of the gradient; 0: no clipping"),
  };
}

std::vector<Field<Config>> schedule_fields() {
  using R = Config;
  using model::SamplingKind;
  using model::ScheduleKind;
  return {
      choice<R>("schedule.kind", AT(schedule.kind),
                {{"constant", ScheduleKind::constant},
                 {"cosine", ScheduleKind::cosine},
                 {"one_cycle", ScheduleKind::one_cycle},
                 {"plateau", ScheduleKind::plateau}},
                "how the learning rate changes over training.steps"),
      integer<R>("schedule.warmup_steps", AT(schedule.warmup_steps), 0, kMany,
                 "updates of linear rise at the start; not one_cycle"),
      real<R>("schedule.final_fraction", AT(schedule.final_fraction), 0., 1.,
              "cosine, one_cycle: last rate over the largest; plateau: the least"),
      real<R>("schedule.start_fraction", AT(schedule.start_fraction), 0., 1.,
              "one_cycle: first rate over the largest"),
      real<R>("schedule.peak_at", AT(schedule.peak_at), 0.01, 0.99,
              "one_cycle: share of the steps until the largest rate"),
      real<R>("schedule.factor", AT(schedule.factor), 0.01, 1., "plateau: the rate is multiplied by it"),
      integer<R>("schedule.patience", AT(schedule.patience), 1, 10000,
                 "plateau: validations without a gain before that"),
      choice<R>("sampling.kind", AT(sampling.kind),
                {{"own_output", SamplingKind::own_output},
                 {"linear", SamplingKind::linear},
                 {"exponential", SamplingKind::exponential},
                 {"inverse_sigmoid", SamplingKind::inverse_sigmoid}},
                "feed previous: always its own output, or the truth with a probability that falls"),
      real<R>("sampling.start", AT(sampling.start), 0., 1., "probability of the truth at the first update"),
      real<R>("sampling.end", AT(sampling.end), 0., 1., "probability of the truth after sampling.steps"),
      integer<R>("sampling.steps", AT(sampling.steps), 1, kMany, "updates over which it falls"),
  };
}

std::vector<Field<Config>> training_fields() {
  using R = Config;
  return {
      integer<R>("training.batch", AT(training.batch), 1, 4096, "sequences a batch"),
      integer<R>("training.accumulation", AT(training.accumulation), 1, 1024, "batches a step"),
      integer<R>("training.steps", AT(training.steps), 1, kMany, "updates of the parameters"),
      real<R>("training.ema", AT(training.ema), 0., 0.999999, "decay of the averaged weights; 0: none"),
      boolean<R>(
          "training.predict_input", AT(training.predict_input),
          "shared and fed previous: the input frames after the first are predicted and scored as well"),
      integer<R>("training.validate_every", AT(training.validate_every), 1, kMany,
                 "steps between validations"),
      integer<R>("training.validation_windows", AT(training.validation_windows), 1, kMany,
                 "samples of the validation part that are scored"),
      integer<R>("training.checkpoint_every", AT(training.checkpoint_every), 1, kMany,
                 "steps between checkpoints"),
      integer<R>("training.keep_checkpoints", AT(training.keep_checkpoints), 1, 1000,
                 "newest checkpoints that are kept"),
      integer<R>("training.keep_every", AT(training.keep_every), 0, kMany,
                 "steps between checkpoints that are kept for good; 0: none"),
      choice<R>(
          "guard.spike", AT(guard.spike),
          {{"ignore", SpikeAction::ignore},
           {"warn", SpikeAction::warn},
           {"roll_back", SpikeAction::roll_back},
           {"stop", SpikeAction::stop}},
          "when the loss leaves its own recent past: back to an older checkpoint with half the rate, or the "
          "end (exit code 6)"),
      real<R>("guard.sigmas", AT(guard.sigmas), 1., 1000.,
              "how many deviations the mean of its logarithm must rise for that"),
  };
}

std::vector<Field<Config>> all_fields() {
  using R = Config;
  std::vector<Field<Config>> all = {
      integer<R>("seed", AT(seed), 0, std::int64_t{1} << 62, "of weights, order of samples and crops"),
      choice<R>("precision", AT(precision),
                {{"f32", kernels::Precision::f32},
                 {"tf32", kernels::Precision::tf32},
                 {"bf16", kernels::Precision::bf16}},
                "of activations and convolutions; tf32 on a GPU alone, bf16 there and on processors with "
                "AVX-512 BF16 or AMX"),
  };
  const auto append = [&](std::vector<Field<Config>> some) {
    for (auto& field : some) all.push_back(std::move(field));
  };
  append(data_fields());
  append(source_fields());
  append(transform_fields());
  append(model_fields());
  append({
      integer<R>("advection.frames", AT(guide.motion.frames), 2, 32,
                 "past frames that the motion is estimated from"),
      real<R>("advection.smoothing_pixels", AT(guide.motion.smoothing_pixels), 0., 1000.,
              "smoothing of the motion, pixels"),
      boolean<R>(
          "advection.fading", AT(guide.fading),
          "feed advection: the network is fed the advected frame without the detail that is gone by "
          "then; how long structures of each size live is measured along the motion of the past frames"),
      integer<R>(
          "advection.tendency_steps", AT(guide.tendency_steps), 1, 512,
          "model.tendency: older frames whose rates of change it averages, as far as data.past has them"),
      real<R>("advection.tendency_smoothing_km", AT(guide.tendency_smoothing_km), 0., 100.,
              "model.tendency: smoothing of the change, km"),
  });
  append(loss_fields());
  append(optimizer_fields());
  append(schedule_fields());
  append(training_fields());
  return all;
}
#undef AT

}  // namespace

const std::vector<Field<Config>>& config_fields() {
  static const std::vector<Field<Config>> fields = all_fields();
  return fields;
}

std::vector<KeyRow> key_rows() {
  return rows_of(config_fields(), Config{});
}
std::vector<KeyRow> stage_key_rows() {
  return rows_of(stage_fields(), Stage{});
}
std::vector<KeyRow> convolution_key_rows() {
  return rows_of(convolution_fields(), SamplingConv{});
}

}  // namespace raincell::app
