#include "io/reader_pool.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "io/archive_part.hpp"
#include "io/jail.hpp"

namespace raincell::io {
namespace {

constexpr int kMostReaders = 8;
constexpr std::size_t kAhead = 1;  // files a child

int readers_of(int wanted) {
  if (wanted > 0) return wanted;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostReaders);
}

}  // namespace

struct ReaderPool::State {
  explicit State(SourceOptions given) : options(std::move(given)) {}

  struct Slot {
    std::optional<ReadAnswer> answer;
    std::exception_ptr failed;  // what is no matter of the file
  };

  SourceOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  std::span<const std::filesystem::path> files;
  std::span<const std::string> layouts;
  Wanted wanted = Wanted::values;
  bool ending = false;
  std::size_t next = 0, taken = 0, busy = 0;  // files handed out, taken, being read
  std::vector<Slot> slots;                    // of file i: i modulo their number
  std::vector<std::thread> threads;

  void work() {
    Jail jail;
    SourceOptions of_file = options;
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return ending || (next < files.size() && next < taken + slots.size()); });
      if (ending) return;
      const std::size_t file = next++;
      const std::filesystem::path path = files[file];
      const Wanted what = wanted;
      of_file.format = layouts.empty() ? options.format : "described";
      of_file.description = layouts.empty() ? options.description : layouts[file];
      ++busy;
      lock.unlock();
      Slot slot;
      try {
        slot.answer.emplace();
        slot.answer->frames = jail.read(path, of_file, what);
        if (what == Wanted::codes) {
          for (Frame& frame : slot.answer->frames) frame.codes_hash = hash_of_codes(frame.codes);
        }
      } catch (const DataError& error) {
        slot.answer->refused = error.what();
      } catch (...) {
        slot.failed = std::current_exception();
      }
      lock.lock();
      --busy;
      slots[file % slots.size()] = std::move(slot);
      changed.notify_all();
    }
  }

  /// Waits until nobody reads, and forgets the files.
  void forget(std::unique_lock<std::mutex>& lock) {
    files = {};
    layouts = {};
    changed.wait(lock, [&] { return busy == 0; });
    for (Slot& slot : slots) slot = {};
    next = taken = 0;
  }
};

ReaderPool::ReaderPool(SourceOptions options, int readers)
    : state_(std::make_unique<State>(std::move(options))) {
  const int count = readers_of(readers);
  state_->slots.resize(static_cast<std::size_t>(count) * kAhead);
  for (int i = 0; i < count; ++i) state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

ReaderPool::~ReaderPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
  }
  state_->changed.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

const SourceOptions& ReaderPool::options() const {
  return state_->options;
}

int ReaderPool::readers() const {
  return static_cast<int>(state_->threads.size());
}

void ReaderPool::read(std::span<const std::filesystem::path> files, Wanted wanted,
                      const std::function<void(std::size_t, ReadAnswer&&)>& take,
                      std::span<const std::string> layouts) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.files = files;
  state.layouts = layouts;
  state.wanted = wanted;
  state.changed.notify_all();
  std::exception_ptr failed;
  for (std::size_t i = 0; i < files.size() && !failed; ++i) {
    State::Slot& slot = state.slots[i % state.slots.size()];
    state.changed.wait(lock, [&] { return slot.answer.has_value() || slot.failed; });
    State::Slot full = std::exchange(slot, State::Slot{});
    state.taken = i + 1;
    state.changed.notify_all();
    failed = full.failed;
    if (failed) break;
    lock.unlock();
    try {
      take(i, std::move(*full.answer));
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
  }
  state.forget(lock);
  if (failed) std::rethrow_exception(failed);
}

}  // namespace raincell::io
