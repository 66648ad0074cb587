#include "app/prediction.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <tuple>
#include <utility>

#include "app/process_memory.hpp"
#include "app/step_time.hpp"
#include "app/training_memory.hpp"
#include "model/random.hpp"

namespace raincell::app {

namespace {

namespace fs = std::filesystem;
using std::int64_t;

/// Code that a library makes for this machine, stacks of threads, small objects: what computing adds to a
/// process beyond its tensors.
constexpr std::size_t kComputing = std::size_t{12} << 20;
constexpr std::size_t kFiles = std::size_t{8} << 20;  // code of libraries that write a nowcast's files

std::size_t archive_bytes(const std::vector<io::Archive>& archives) {
  std::size_t sum = 0;
  for (const io::Archive& archive : archives) {
    for (const fs::path& part : archive.parts()) {
      std::error_code gone;
      const auto size = fs::file_size(part, gone);
      if (!gone) sum += size;
    }
  }
  return sum;
}

/// Pages of the archives that so many steps meet: rows of crops, or whole frames for guides.
std::size_t mapped_bytes(const Config& config, const LoaderTrial& loader) {
  const bool guided = config.model.feed == model::Feed::advection;
  const int64_t rows = guided || config.data.crop_rows == 0 ? loader.grid_rows : config.data.crop_rows;
  const int64_t frames = config.training.steps * config.training.accumulation * config.training.batch *
                         (config.model.past + config.model.future);
  const double read =
      static_cast<double>(frames) * static_cast<double>(rows * loader.grid_columns) * sizeof(std::int16_t);
  return static_cast<std::size_t>(std::min(read, static_cast<double>(loader.archives)));
}

/// A core that computes cannot load: what a loader takes then comes on top.
bool spare_cores(const kernels::Backend& backend) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return backend.info().own_memory || backend.info().threads < cores;
}

}  // namespace

std::size_t process_bytes(const Config& config) {
  if (config.model.feed ==
      model::Feed::advection) {  // a library's code is not in memory before its first use
    constexpr int64_t kSide = 64, kFrames = 2;
    std::vector<float> noise(static_cast<std::size_t>(kFrames * kSide * kSide));
    for (std::size_t i = 0; i < noise.size(); ++i)
      noise[i] = static_cast<float>(10. * model::uniform(1, 1, i));
    const model::Guide tried({kFrames, kSide, kSide, noise}, config.guide, 1);
    std::vector<float> out(static_cast<std::size_t>(kSide * kSide));
    tried.frames(0, 0, kSide, kSide, out);
  }
  return process_memory().resident;
}

std::optional<LoaderTrial> try_loader(Config config, int64_t memory_limit) {
  for (const fs::path& path : archive_paths(config)) {
    if (!fs::exists(path)) return std::nullopt;
  }
  if (config.data.archives.empty() || config.model.channels != 1) return std::nullopt;
  LoaderTrial trial;
  config.data.workers = 0;  // next() itself does the work
  const std::size_t files = process_memory().files;
  TrainingData data = open_training_data(config);
  start_batches(config, data, {}, guide_cache_bytes(memory_limit));
  const io::Grid& grid = data.archives.front().grid();
  trial.grid_rows = grid.rows;
  trial.grid_columns = grid.columns;
  trial.archives = archive_bytes(data.archives);
  io::Batch batch;
  const auto timed = [&] {
    data.train->seek(0, 0);
    const auto begin = std::chrono::steady_clock::now();
    data.train->next(batch);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  trial.batch_s = timed();
  trial.batch_again_s = timed();
  const ProcessMemory after = process_memory();
  std::size_t counted = static_cast<std::size_t>(batch_bytes(config, data.rows, data.columns)) +
                        std::min(after.files - std::min(files, after.files), trial.archives);
  if (config.model.feed == model::Feed::advection) {
    std::set<std::tuple<int64_t, int64_t, bool>> tried;
    for (int64_t i = 0; i < config.training.batch; ++i) {
      const io::Window window = data.train->sample(0, i).window;
      tried.emplace(window.archive, window.first, window.reversed);
    }
    const auto windows = static_cast<int64_t>(data.train_windows.size() + data.validation_windows.size());
    const int64_t each = model::Guide::bytes(config.guide, grid.pixels(), config.model.future),
                  room = std::max<int64_t>(1, guide_cache_bytes(memory_limit) / each),
                  met = config.training.steps * config.training.accumulation * config.training.batch;
    trial.guides = static_cast<std::size_t>(std::min({windows, room, met}) * each);
    trial.guides_kept = std::min(1., static_cast<double>(room) / static_cast<double>(windows));
    counted += tried.size() * static_cast<std::size_t>(each);
  }
  trial.process = after.peak - std::min(counted, after.peak);
  return trial;
}

TrainingPrediction predict_training(const Config& config, kernels::Backend& backend, int64_t rows,
                                    int64_t columns, const std::optional<LoaderTrial>& loader,
                                    std::size_t process) {
  TrainingPrediction made;
  made.bytes = training_bytes(config, backend, rows, columns);
  made.bytes.host += checkpoint_bytes(config) + kComputing;
  made.bytes.host += loader ? loader->process + mapped_bytes(config, *loader) + loader->guides : process;
  made.compute_s = made.step_s = tried_step_seconds(config, backend, rows, columns);
  if (!loader) return made;
  const double batch_s =
      loader->guides_kept * loader->batch_again_s + (1. - loader->guides_kept) * loader->batch_s;
  const double load_s = batch_s * static_cast<double>(config.training.accumulation);
  made.step_s =
      spare_cores(backend)
          ? std::max(made.compute_s, load_s / static_cast<double>(std::max<int64_t>(1, config.data.workers)))
          : made.compute_s + load_s;
  return made;
}

ForecastWork nowcast_work(const Config& config, int64_t rows, int64_t columns) {
  return {.rows = rows,
          .columns = columns,
          .past = config.model.past,
          .leads = config.model.future,
          .spec = &config.model,
          .guide = config.guide};
}

model::PlanBytes predict_nowcast(const Config& config, kernels::Backend& backend, int64_t rows,
                                 int64_t columns, std::size_t process) {
  const model::ModelSpec& spec = config.model;
  model::PlanBytes bytes =
      model::Network::predict_bytes(spec, backend, {.batch = 1, .height = rows, .width = columns}, 1);
  // Weights as they were read, and in double, are gone before the first forecast.
  const std::size_t read =
      static_cast<std::size_t>(model::parameter_count(spec)) * (sizeof(double) + sizeof(float));
  const std::size_t work =
      bytes.host + static_cast<std::size_t>(held_bytes(nowcast_work(config, rows, columns)));
  bytes.host = process + kFiles + kComputing + std::max(work, read);
  return bytes;
}

}  // namespace raincell::app
