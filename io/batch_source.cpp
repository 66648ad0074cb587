#include "io/batch_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "io/cf_out.hpp"
#include "io/rain_field.hpp"
#include "io/rain_map.hpp"

namespace raincell::io {
namespace {

constexpr double kMostLevelling = 10.;       // a drop in a dry scene is not made a storm
constexpr std::int64_t kLargestMaps = 8192;  // windows share rain maps beyond this number

/// A seeded permutation of 0 .. count-1 without a table: a Feistel network on the next power of four, walked
/// until the value lies inside.
std::int64_t permuted(std::uint64_t seed, std::uint64_t epoch, std::int64_t index, std::int64_t count) {
  if (count <= 1) return 0;
  const int half =
      std::max(1, (static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count - 1))) + 1) / 2);
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto value = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = value >> half, right = value & mask;
    for (std::uint64_t round = 0; round < 6; ++round) {
      const std::uint64_t mixed = left ^ (random_bits(seed, 40 + round, epoch, right) & mask);
      left = right;
      right = mixed;
    }
    value = (left << half) | right;
  } while (value >= static_cast<std::uint64_t>(count));
  return static_cast<std::int64_t>(value);
}

/// Where the pixels of a crop go when it is turned: pixel (r, c) to start + r * down + c * across.
struct Placement {
  std::ptrdiff_t start = 0, down = 0, across = 0;
};

/// Columns reversed (bit 0), rows reversed (bit 1), then transposed (bit 2).
Placement placement_of(int orientation, std::int64_t rows, std::int64_t columns) {
  const bool transposed = (orientation & 4) != 0;
  Placement place{0, transposed ? 1 : columns, transposed ? rows : 1};
  if ((orientation & 1) != 0) {
    place.start += (columns - 1) * place.across;
    place.across = -place.across;
  }
  if ((orientation & 2) != 0) {
    place.start += (rows - 1) * place.down;
    place.down = -place.down;
  }
  return place;
}

}  // namespace

struct BatchSource::State {
  /// One batch being filled.
  struct Slot {
    std::int64_t number = 0;    // counted over all epochs
    std::int64_t assigned = 0;  // samples taken by workers
    std::int64_t done = 0;
    std::exception_ptr error;
    Batch batch;
  };
  /// Buffers a worker keeps.
  struct Scratch {
    std::vector<std::int16_t> codes;
    std::vector<float> network, mask, guide, tendency, scaled;
    float factor = 1.F;  // of the sample's rain
  };

  std::vector<const Archive*> archives;
  std::vector<Window> windows;
  Transform transform;
  BatchSpec spec;
  GuideFunction guide;
  std::int64_t rows = 0, columns = 0, past = 0, future = 0, share = 0;
  std::int64_t windows_a_map = 1;
  std::vector<RainMap> maps;
  std::vector<double> cumulative;              // of the rain of the windows
  std::vector<std::vector<float>> network_of;  // [archive][code as uint16]: the transform, tabulated

  std::mutex mutex;
  std::condition_variable work, ready;
  std::vector<Slot> slots;  // number % slots.size()
  std::int64_t next_number = 0;
  std::int64_t active = 0;  // samples being filled
  bool stop = false, paused = true;
  std::vector<std::thread> threads;
  Scratch own;  // of next() when there are no workers

  void check() const;
  void map_rain();
  std::int64_t batches_per_epoch() const;
  Sample sample(std::int64_t epoch, std::int64_t index) const;
  /// Of this process's share of batch `number`.
  Sample sample_at(std::int64_t number, std::int64_t place) const {
    const std::int64_t batches = batches_per_epoch();
    return sample(number / batches, number % batches * spec.batch + spec.share_first + place);
  }
  void resize(Batch&) const;
  void fill(Batch&, std::int64_t number, std::int64_t place, Scratch&) const;
  /// False when a frame of the sample cannot be read: then it is left out.
  bool try_to_fill(Batch&, std::int64_t number, std::int64_t place, Scratch&) const;
  void tabulate();
  /// Network value of every code of an archive whose rain is multiplied.
  void tabulate(const Archive&, float factor, std::vector<float>& table) const;
  /// What brings the rain of a sample to spec.rain_level.
  float level_factor(const Sample&, Scratch&) const;
  void put_frame(const Sample&, std::int64_t frame, std::span<float> values, std::span<float> mask,
                 Scratch&) const;
  void put_guide(const Sample&, std::int64_t place, Batch&, Scratch&) const;
  Slot* slot_with_work();
  void serve();
  void restart(std::int64_t number);
  void halt();
};

void BatchSource::State::check() const {
  const auto refuse = [](const std::string& why) { throw DataError("training samples: " + why); };
  if (archives.empty()) refuse("no archive");
  if (windows.empty()) {
    refuse(
        "no window of consecutive frames; the archive is too short or has too many gaps for so many past and "
        "future frames");
  }
  if (spec.batch < 1 || spec.prefetch < 1) refuse("batch and prefetch must be at least 1");
  if (!(spec.rain_weighting >= 0. && spec.rain_weighting <= 1.)) {
    refuse(fmt::format("rain_weighting is {}; 0 to 1 expected", spec.rain_weighting));
  }
  if (!(spec.rain_scaling >= 1.)) {
    refuse(fmt::format("rain_scaling is {}; at least 1 expected", spec.rain_scaling));
  }
  if (!(spec.rain_level >= 0.)) refuse(fmt::format("rain_level is {}; 0 or more expected", spec.rain_level));
  if ((spec.rain_scaling > 1. || spec.rain_level > 0.) && transform.quantity != Quantity::rain_rate) {
    refuse(fmt::format(
        "rain_scaling and rain_level multiply rain rates, but the archive holds {}; leave them at 1 and 0",
        name_of(transform.quantity)));
  }
  if (spec.share_first < 0 || spec.share_count < 0 || spec.share_first + share > spec.batch) {
    refuse(fmt::format("a share of {} samples from {} on does not fit a batch of {}", share, spec.share_first,
                       spec.batch));
  }
  for (const Archive* archive : archives) {
    const Grid& grid = archive->grid();
    if (rows > grid.rows || columns > grid.columns || rows < 1 || columns < 1) {
      refuse(fmt::format(
          "a crop of {}x{} does not fit a grid of {}x{}; choose a smaller one (0: the whole grid)", columns,
          rows, grid.columns, grid.rows));
    }
    if (archive->quantity() != transform.quantity) {
      refuse(fmt::format("the archive holds {}, the transform is for {}", name_of(archive->quantity()),
                         name_of(transform.quantity)));
    }
  }
  if (spec.past != past || spec.future != future) {
    refuse(fmt::format("windows of {} past and {} future frames for batches of {} and {}", past, future,
                       spec.past, spec.future));
  }
  for (const Window& window : windows) {
    const bool known = window.archive >= 0 && window.archive < static_cast<std::int64_t>(archives.size());
    if (!known || window.past != past || window.future != future || window.first < 0 ||
        window.first + past + future > archives[static_cast<std::size_t>(window.archive)]->frames()) {
      refuse(
          fmt::format("a window of {} past and {} future frames from frame {} of archive {} does not exist",
                      window.past, window.future, window.first, window.archive));
    }
  }
}

void BatchSource::State::map_rain() {
  if (spec.rain_weighting <= 0.) return;
  const auto count = static_cast<std::int64_t>(windows.size());
  windows_a_map = (count + kLargestMaps - 1) / kLargestMaps;
  double sum = 0.;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i % windows_a_map == 0) {
      const Window& window = windows[static_cast<std::size_t>(i)];
      // By what a forecast sees: crops chosen by what comes would teach that rain always grows.
      maps.emplace_back(*archives[static_cast<std::size_t>(window.archive)], window.frame(past - 1), rows,
                        columns);
    }
    sum += maps.back().total();
    cumulative.push_back(sum);
  }
}

std::int64_t BatchSource::State::batches_per_epoch() const {
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(windows.size()) / spec.batch);
}

Sample BatchSource::State::sample(std::int64_t epoch, std::int64_t index) const {
  const auto e = static_cast<std::uint64_t>(epoch), i = static_cast<std::uint64_t>(index);
  const auto draw = [&](std::uint64_t what) { return random_unit(spec.seed, 50 + what, e, i); };
  const auto count = static_cast<std::int64_t>(windows.size());
  Sample sample;
  const bool by_rain = !cumulative.empty() && cumulative.back() > 0. && draw(0) < spec.rain_weighting;
  if (by_rain) {
    const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), draw(1) * cumulative.back());
    const std::int64_t at = std::min<std::int64_t>(found - cumulative.begin(), count - 1);
    sample.window = windows[static_cast<std::size_t>(at)];
    sample.crop = maps[static_cast<std::size_t>(at / windows_a_map)].choose(draw(2), draw(3), draw(4));
  } else {
    sample.window = windows[static_cast<std::size_t>(permuted(spec.seed, e, index % count, count))];
    const Grid& grid = archives[static_cast<std::size_t>(sample.window.archive)]->grid();
    const auto place = [](double part, std::int64_t room) {
      return std::min(room, static_cast<std::int64_t>(part * static_cast<double>(room + 1)));
    };
    sample.crop = {place(draw(3), grid.rows - rows), place(draw(4), grid.columns - columns), rows, columns};
  }
  if (spec.flips) {
    const std::uint64_t bits = random_bits(spec.seed, 60, e, i) >> 32;
    sample.orientation = static_cast<int>(bits & (rows == columns ? 7U : 3U));
  }
  if (spec.rain_scaling > 1.) {
    sample.rain_factor = static_cast<float>(std::pow(spec.rain_scaling, 2. * draw(5) - 1.));
  }
  return sample;
}

void BatchSource::State::resize(Batch& batch) const {
  batch.left_out = 0;
  const auto frame = static_cast<std::size_t>(share * rows * columns);
  batch.past.resize(frame * static_cast<std::size_t>(past));
  batch.past_mask.resize(batch.past.size());
  batch.future.resize(frame * static_cast<std::size_t>(future));
  batch.future_mask.resize(batch.future.size());
  batch.guide.resize(guide ? batch.future.size() : 0);
  batch.guide_mask.resize(batch.guide.size());
  batch.tendency.resize(spec.tendency ? batch.guide.size() : 0);
}

/// A code has only 65536 values: one logarithm each instead of one a pixel.
void BatchSource::State::tabulate() {
  for (const Archive* archive : archives) {
    tabulate(*archive, 1.F, network_of.emplace_back());
  }
}

void BatchSource::State::tabulate(const Archive& archive, float factor, std::vector<float>& table) const {
  table.resize(1U << 16);
  for (std::size_t code = 0; code < table.size(); ++code) {
    table[code] =
        transform.to_network(factor * unpack_value(static_cast<std::int16_t>(code), archive.scale()));
  }
}

float BatchSource::State::level_factor(const Sample& sample, Scratch& scratch) const {
  if (spec.rain_level == 0.) return 1.F;
  const Archive& archive = *archives[static_cast<std::size_t>(sample.window.archive)];
  archive.read_codes(sample.window.frame(past - 1), sample.crop, scratch.codes);
  double square = 0.;
  std::int64_t valid = 0;
  for (const std::int16_t code : scratch.codes) {
    if (code == Packing::kFill) continue;
    square += static_cast<double>(code) * code;
    ++valid;
  }
  if (square == 0.) return 1.F;
  const double level = archive.scale() * std::sqrt(square / static_cast<double>(valid));
  return static_cast<float>(std::clamp(spec.rain_level / level, 1. / kMostLevelling, kMostLevelling));
}

void BatchSource::State::put_frame(const Sample& sample, std::int64_t frame, std::span<float> values,
                                   std::span<float> mask, Scratch& scratch) const {
  const auto archive = static_cast<std::size_t>(sample.window.archive);
  archives[archive]->read_codes(frame, sample.crop, scratch.codes);
  const float* table = scratch.factor == 1.F ? network_of[archive].data() : scratch.scaled.data();
  const Placement place = placement_of(sample.orientation, rows, columns);
  const std::int16_t* codes = scratch.codes.data();
  for (std::int64_t r = 0; r < rows; ++r) {
    float* network = values.data();
    float* valid = mask.data();
    std::ptrdiff_t at = place.start + r * place.down;
    for (std::int64_t c = 0; c < columns; ++c, at += place.across) {
      const std::int16_t code = *codes++;
      network[at] = table[static_cast<std::uint16_t>(code)];
      valid[at] = code == Packing::kFill ? 0.F : 1.F;
    }
  }
}

void BatchSource::State::put_guide(const Sample& sample, std::int64_t place, Batch& batch,
                                   Scratch& scratch) const {
  const auto pixels = static_cast<std::size_t>(rows * columns);
  const std::size_t block = pixels * static_cast<std::size_t>(future),
                    first = static_cast<std::size_t>(place) * block;
  scratch.guide.assign(block, kMissing);
  scratch.tendency.assign(spec.tendency ? block : 0, 0.F);
  guide(*archives[static_cast<std::size_t>(sample.window.archive)], sample.window, sample.crop, future,
        scratch.guide, scratch.tendency);
  const Placement turn = placement_of(sample.orientation, rows, columns);
  for (std::size_t lead = 0; lead < block; lead += pixels) {
    for (std::int64_t r = 0; r < rows; ++r) {
      std::ptrdiff_t at = turn.start + r * turn.down;
      for (std::int64_t c = 0; c < columns; ++c, at += turn.across) {
        const std::size_t from = lead + static_cast<std::size_t>(r * columns + c),
                          to = first + lead + static_cast<std::size_t>(at);
        const float advected = scratch.guide[from];
        batch.guide[to] = transform.to_network(scratch.factor * advected);
        batch.guide_mask[to] = std::isnan(advected) ? 0.F : 1.F;
        if (std::isnan(advected)) batch.future_mask[to] = 0.F;
        if (spec.tendency)
          batch.tendency[to] = transform.change_to_network(scratch.factor * scratch.tendency[from]);
      }
    }
  }
}

void BatchSource::State::fill(Batch& batch, std::int64_t number, std::int64_t place, Scratch& scratch) const {
  const Sample chosen = sample_at(number, place);
  const auto pixels = static_cast<std::size_t>(rows * columns);
  scratch.codes.resize(pixels);
  scratch.network.resize(pixels);
  scratch.mask.resize(pixels);
  const auto frame_of = [&](std::vector<float>& block, std::int64_t leads, std::int64_t t) {
    return std::span<float>(block.data() + static_cast<std::size_t>(place * leads + t) * pixels, pixels);
  };
  const Archive& archive = *archives[static_cast<std::size_t>(chosen.window.archive)];
  scratch.factor = chosen.rain_factor * level_factor(chosen, scratch);
  if (scratch.factor != 1.F) tabulate(archive, scratch.factor, scratch.scaled);
  for (std::int64_t t = 0; t < past + future; ++t) {
    const bool seen = t < past;
    put_frame(chosen, chosen.window.frame(t),
              seen ? frame_of(batch.past, past, t) : frame_of(batch.future, future, t - past),
              seen ? frame_of(batch.past_mask, past, t) : frame_of(batch.future_mask, future, t - past),
              scratch);
  }
  if (guide) put_guide(chosen, place, batch, scratch);
}

bool BatchSource::State::try_to_fill(Batch& batch, std::int64_t number, std::int64_t place,
                                     Scratch& scratch) const {
  try {
    fill(batch, number, place, scratch);
    return true;
  } catch (const UnreadableFrame&) {
    // The others are looked at as well, or the share of the frames that cannot be read would seem too small.
    const Sample chosen = sample_at(number, place);
    for (std::int64_t t = 0; t < past + future; ++t) {
      std::int16_t code = 0;
      try {
        archives[static_cast<std::size_t>(chosen.window.archive)]->read_codes(chosen.window.frame(t),
                                                                              {0, 0, 1, 1}, {&code, 1});
      } catch (const UnreadableFrame&) {
      }
    }
    const float dry = transform.to_network(kMissing);
    const auto blank = [&](std::vector<float>& of, float value) {
      const std::size_t sample = of.size() / static_cast<std::size_t>(share);
      std::fill_n(of.begin() + static_cast<std::ptrdiff_t>(sample) * place, sample, value);
    };
    for (std::vector<float>* values : {&batch.past, &batch.future, &batch.guide}) blank(*values, dry);
    for (std::vector<float>* zero :
         {&batch.past_mask, &batch.future_mask, &batch.guide_mask, &batch.tendency})
      blank(*zero, 0.F);
    return false;
  }
}

/// The earliest batch with a sample that nobody has taken; the lock is held.
BatchSource::State::Slot* BatchSource::State::slot_with_work() {
  if (paused) return nullptr;
  const auto count = static_cast<std::int64_t>(slots.size());
  for (std::int64_t ahead = 0; ahead < count; ++ahead) {
    Slot& slot = slots[static_cast<std::size_t>((next_number + ahead) % count)];
    if (slot.assigned < share && !slot.error) return &slot;
  }
  return nullptr;
}

void BatchSource::State::serve() {
  Scratch scratch;
  std::unique_lock lock(mutex);
  for (;;) {
    Slot* slot = nullptr;
    work.wait(lock, [&] { return stop || (slot = slot_with_work()) != nullptr; });
    if (stop) return;
    const std::int64_t place = slot->assigned++;
    ++active;
    lock.unlock();
    std::exception_ptr error;
    bool filled = true;
    try {
      filled = try_to_fill(slot->batch, slot->number, place, scratch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    --active;
    ++slot->done;
    slot->batch.left_out += filled ? 0 : 1;
    if (error && !slot->error) slot->error = error;
    ready.notify_all();
  }
}

void BatchSource::State::restart(std::int64_t number) {
  std::unique_lock lock(mutex);
  paused = true;
  ready.wait(lock, [&] { return active == 0; });
  next_number = number;
  const auto count = static_cast<std::int64_t>(slots.size());
  for (std::int64_t ahead = 0; ahead < count; ++ahead) {
    Slot& slot = slots[static_cast<std::size_t>((number + ahead) % count)];
    slot.number = number + ahead;
    slot.assigned = slot.done = 0;
    slot.error = nullptr;
    resize(slot.batch);
  }
  paused = false;
  while (static_cast<int>(threads.size()) < spec.workers) threads.emplace_back([this] { serve(); });
  work.notify_all();
}

void BatchSource::State::halt() {
  {
    const std::lock_guard lock(mutex);
    stop = true;
  }
  work.notify_all();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

BatchSource::BatchSource(std::vector<const Archive*> archives, std::vector<Window> windows,
                         Transform transform, BatchSpec spec, GuideFunction guide)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.archives = std::move(archives);
  state.windows = std::move(windows);
  state.transform = transform;
  state.spec = spec;
  state.guide = std::move(guide);
  state.share = spec.share_count == 0 ? spec.batch - spec.share_first : spec.share_count;
  if (!state.archives.empty()) {
    const Grid& grid = state.archives.front()->grid();
    state.rows = spec.crop_rows == 0 ? grid.rows : spec.crop_rows;
    state.columns = spec.crop_columns == 0 ? grid.columns : spec.crop_columns;
  }
  if (!state.windows.empty()) {
    state.past = state.windows.front().past;
    state.future = state.windows.front().future;
  }
  state.check();
  state.tabulate();
  state.map_rain();
  if (spec.workers > 0) state.slots.resize(static_cast<std::size_t>(spec.prefetch));
}

BatchSource::~BatchSource() {
  state_->halt();
}

void BatchSource::seek(std::int64_t epoch, std::int64_t batch_index) {
  const std::int64_t batches = batches_per_epoch();
  if (epoch < 0 || batch_index < 0 || batch_index > batches) {
    throw DataError(fmt::format("training samples: there is no batch {} in epoch {}; {} batches an epoch",
                                batch_index, epoch, batches));
  }
  if (state_->spec.workers > 0) {
    state_->restart(epoch * batches + batch_index);
  } else {
    state_->next_number = epoch * batches + batch_index;
  }
}

void BatchSource::next(Batch& batch) {
  State& state = *state_;
  if (state.spec.workers <= 0) {
    state.resize(batch);
    for (std::int64_t place = 0; place < state.share; ++place)
      batch.left_out += state.try_to_fill(batch, state.next_number, place, state.own) ? 0 : 1;
    ++state.next_number;
    return;
  }
  if (state.threads.empty()) state.restart(state.next_number);
  std::unique_lock lock(state.mutex);
  const auto count = static_cast<std::int64_t>(state.slots.size());
  State::Slot& slot = state.slots[static_cast<std::size_t>(state.next_number % count)];
  // After an error, samples in flight are waited for, since they still write into the slot.
  state.ready.wait(lock, [&] { return slot.error ? slot.done == slot.assigned : slot.done == state.share; });
  if (slot.error) std::rethrow_exception(slot.error);
  std::swap(batch, slot.batch);
  state.resize(slot.batch);
  slot.number += count;
  slot.assigned = slot.done = 0;
  ++state.next_number;
  lock.unlock();
  state.work.notify_all();
}

std::int64_t BatchSource::batches_per_epoch() const {
  return state_->batches_per_epoch();
}

Sample BatchSource::sample(std::int64_t epoch, std::int64_t index) const {
  return state_->sample(epoch, index);
}

}  // namespace raincell::io
