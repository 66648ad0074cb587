#include "app/training_data.hpp"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>

#include "app/guide.hpp"

namespace raincell::app {

namespace {

/// Validation crops are drawn with a seed of their own, so that more training steps do not change them.
constexpr std::uint64_t kValidationSeed = 0x76616c6964ULL;

void check_fit(const Config& config, const TrainingData& data, const std::string& path,
               const io::Archive& archive) {
  const io::Archive& first = data.archives.front();
  if (archive.quantity() != first.quantity()) {
    throw ConfigError(fmt::format(
        "data.archive: {} holds {}, but {} holds {}; train on archives of one quantity", path,
        io::name_of(archive.quantity()), first.parts().front().string(), io::name_of(first.quantity())));
  }
  const bool knows_time = config.model.feed == model::Feed::advection && config.guide.fading;
  if (archive.step_s() != first.step_s() && !knows_time) {
    throw ConfigError(fmt::format(
        "data.archive: {} holds frames every {} s, but {} every {} s; only a network that is fed what is "
        "left by each lead (model.feed: advection, advection.fading: true) learns from both",
        path, archive.step_s(), first.parts().front().string(), first.step_s()));
  }
  const io::Grid& grid = archive.grid();
  if (data.rows > grid.rows || data.columns > grid.columns) {
    throw ConfigError(
        fmt::format("data.crop: {}x{} is larger than the grid of {}, {}x{}; use a smaller crop, or whole",
                    data.columns, data.rows, path, grid.columns, grid.rows));
  }
  if (config.data.crop_rows == 0 &&
      (grid.rows != first.grid().rows || grid.columns != first.grid().columns)) {
    throw ConfigError(fmt::format("data.crop: whole needs archives of one size; {} has {}x{}, {} has {}x{}",
                                  path, grid.columns, grid.rows, first.parts().front().string(),
                                  first.grid().columns, first.grid().rows));
  }
}

void open_archives(const Config& config, TrainingData& data) {
  if (config.data.archives.empty()) {
    throw ConfigError(
        "data.archive: is missing; name a packed archive (raincell pack DIR --output archive.nc), for "
        "example with --set data.archive=archive.nc");
  }
  const std::vector<std::filesystem::path> paths = archive_paths(config);
  for (const std::filesystem::path& path : paths) {
    if (path.string().find('*') != std::string::npos && !std::filesystem::exists(path))
      throw io::DataError(fmt::format(
          "data.archive: {} matches no file; correct the pattern, or pack archives there", path.string()));
  }
  data.archives = io::Archive::open(paths);
  const io::Archive& first = data.archives.front();
  const bool whole = config.data.crop_rows == 0;
  data.rows = whole ? first.grid().rows : config.data.crop_rows;
  data.columns = whole ? first.grid().columns : config.data.crop_columns;
  data.steps = {first.step_s(), first.step_s()};
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const io::Archive& archive = data.archives[i];
    check_fit(config, data, paths[i].string(), archive);
    data.steps.shortest_s = std::min(data.steps.shortest_s, archive.step_s());
    data.steps.longest_s = std::max(data.steps.longest_s, archive.step_s());
    data.hash += (data.hash.empty() ? "" : " ") + archive.hash();
  }
}

/// What blocks of time are cut from: of few archives each by itself; of many short ones, such as events, all
/// of them together, so that what happened at once stays on one side.
std::vector<io::TimeRange> ranges_to_split(const Config& config, const TrainingData& data) {
  const bool many = static_cast<std::int64_t>(data.archives.size()) >= config.data.validation_blocks;
  if (!config.data.train.empty() || !many) return config.data.train;
  io::TimeRange all{io::TimePoint::max(), io::TimePoint::min()};
  for (const io::Archive& archive : data.archives) {
    all.from = std::min(all.from, archive.time(0));
    all.to = std::max(all.to, archive.time(archive.frames() - 1));
  }
  return {all};
}

void cut(const Config& config, TrainingData& data) {
  const std::vector<io::TimeRange> ranges = ranges_to_split(config, data);
  for (std::size_t i = 0; i < data.archives.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    const auto windows = [&](const std::vector<io::TimeRange>& pieces) {
      return io::cut_windows(data.archives[i], index, config.model.past, config.model.future, pieces,
                             config.data.stride);
    };
    io::Split split{config.data.train, {}};
    if (config.data.validation > 0.) {
      split =
          io::split_by_time(data.archives[i], ranges, config.data.validation, config.data.validation_blocks);
      for (const io::Window& window : windows(split.validation)) data.validation_windows.push_back(window);
    }
    for (io::Window& window : windows(split.train)) {
      data.train_windows.push_back(window);
      window.reversed = true;
      if (config.data.time_reversal) data.train_windows.push_back(window);
    }
  }
  if (data.train_windows.empty()) {
    throw io::DataError(
        fmt::format("{}: no window of {} + {} consecutive frames lies in the training times; pack more "
                    "frames, or use smaller data.past, data.future or data.validation",
                    config.data.archives[0], config.model.past, config.model.future));
  }
}

}  // namespace

std::vector<float> read_frames(const io::Archive& archive, const io::Window& window, std::int64_t first,
                               std::int64_t count, const io::Crop& crop) {
  const auto pixels = static_cast<std::size_t>(crop.rows * crop.columns);
  std::vector<float> values(static_cast<std::size_t>(count) * pixels);
  for (std::int64_t i = 0; i < count; ++i)
    archive.read(window.frame(first + i), crop,
                 std::span(values).subspan(static_cast<std::size_t>(i) * pixels, pixels));
  return values;
}

std::vector<std::filesystem::path> archive_paths(const Config& config) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& given : config.data.archives) {
    glob_t found{};
    const bool any = ::glob(given.c_str(), 0, nullptr, &found) == 0;
    for (std::size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    if (!any) paths.emplace_back(given);  // opening it says what is wrong
  }
  return paths;
}

TrainingData open_training_data(Config& config) {
  TrainingData data;
  open_archives(config, data);
  cut(config, data);
  config.transform.quantity = data.archives.front().quantity();
  return data;
}

void start_batches(const Config& config, TrainingData& data, const Share& share,
                   std::int64_t guide_cache_bytes) {
  const bool guided = config.model.feed == model::Feed::advection;
  const io::GuideFunction guide = guided ? make_guide(config.guide, guide_cache_bytes) : io::GuideFunction{};
  std::vector<const io::Archive*> archives;
  for (const io::Archive& archive : data.archives) archives.push_back(&archive);
  io::BatchSpec spec;
  spec.batch = config.training.batch;
  spec.share_first = share.first;
  spec.share_count = share.count;
  spec.past = config.model.past;
  spec.future = config.model.future;
  spec.crop_rows = config.data.crop_rows;
  spec.crop_columns = config.data.crop_columns;
  spec.rain_weighting = config.data.rain_weighting;
  spec.flips = config.data.flips;
  spec.rain_scaling = config.data.rain_scaling;
  spec.rain_level = config.data.rain_level;
  spec.tendency = config.model.tendency;
  spec.seed = config.seed;
  spec.workers = static_cast<int>(config.data.workers);
  spec.prefetch = config.data.prefetch;
  data.train = std::make_unique<io::BatchSource>(archives, data.train_windows, config.transform, spec, guide);
  if (!data.validation_windows.empty()) {
    spec.seed ^= kValidationSeed;
    spec.flips = false;
    spec.rain_scaling = 1.;
    spec.workers = 0;
    data.validation =
        std::make_unique<io::BatchSource>(archives, data.validation_windows, config.transform, spec, guide);
  }
}

}  // namespace raincell::app
