// The configuration: typed values, and one table of keys from which parsing, --set, checks and
// configs/README.md come.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/errors.hpp"
#include "io/reader.hpp"
#include "io/sequence.hpp"
#include "io/transform.hpp"
#include "kernels/specs.hpp"
#include "model/advection/guide.hpp"
#include "model/schedule.hpp"
#include "model/spec.hpp"

namespace raincell::app {

struct DataConfig {
  std::vector<std::string> archives;
  std::vector<io::TimeRange> train;  // empty: everything
  double validation = 0.2;
  std::int64_t validation_blocks = 10;
  std::int64_t crop_columns = 96, crop_rows = 96;  // 0: the whole grid
  std::int64_t stride = 1;
  double rain_weighting = 1.;
  bool flips = false;
  bool time_reversal = false;
  double rain_scaling = 1.;
  double rain_level = 0.;
  double unreadable = 0.1;
  std::int64_t workers = 1, prefetch = 2;
};

struct LossConfig {
  kernels::LossKind kind = kernels::LossKind::mse;
  double huber_delta = 0.1;
  double target_weight = 0.;
  double texture_weight = 0.;
  std::vector<double> class_bounds_mm_h = {0.5, 2., 5., 10., 30.};
  std::vector<double> class_weights = {1., 1., 2., 5., 10., 30.};
  std::vector<double> lead_weights;
};

/// What happens when a loss leaves its own past.
enum class SpikeAction : std::uint8_t { ignore, warn, roll_back, stop };

struct GuardConfig {
  SpikeAction spike = SpikeAction::roll_back;
  double sigmas = 4.;
};

struct TrainingConfig {
  std::int64_t batch = 8, accumulation = 1, steps = 2000;
  double ema = 0.;
  bool predict_input = false;
  std::int64_t validate_every = 200, checkpoint_every = 200, keep_checkpoints = 2, keep_every = 0,
               validation_windows = 64;
};

struct Config {
  std::string name;  // of the file, without its ending
  DataConfig data;
  io::SourceOptions source;
  io::Transform transform;
  model::ModelSpec model;
  model::GuideSpec guide;
  LossConfig loss;
  kernels::OptimizerSpec optimizer;
  model::ScheduleSpec schedule{.kind = model::ScheduleKind::cosine};  // total_steps: training.steps
  model::SamplingSpec sampling;
  TrainingConfig training;
  GuardConfig guard;
  std::uint64_t seed = 1;
  kernels::Precision precision = kernels::Precision::f32;
};

/// All that is wrong with a configuration, a line each: file:line: key: reason.
class ConfigError : public UsageError {
  using UsageError::UsageError;
};

/// Reads the file and applies `settings` ("key=value") on top. Throws ConfigError with everything that is
/// wrong.
Config load_config(const std::filesystem::path&, const std::vector<std::string>& settings);
/// The same from text; `file` is for messages.
Config parse_config(const std::string& text, const std::string& file,
                    const std::vector<std::string>& settings);
/// The text of a configuration. Throws ConfigError that names an example.
std::string config_text(const std::filesystem::path&, const std::string& example);
/// Only settings on top of the defaults, and only keys that begin with one of `sections` ("source.", ...).
Config config_from_settings(const std::vector<std::string>& settings,
                            const std::vector<std::string>& sections, const std::string& command);
/// Every key with its value, as YAML that load_config reads back.
std::string resolved_text(const Config&);
/// configs/README.md.
std::string config_reference();

}  // namespace raincell::app
