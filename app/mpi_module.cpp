// raincell-mpi.so: the communicator of MPI, in a library of its own, so that the program starts without MPI.
#include <fmt/format.h>
#include <mpi.h>
#include <pthread.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "app/errors.hpp"
#include "app/thread_dump.hpp"
#include "model/communicator.hpp"

namespace raincell::app {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPingEvery{250};
constexpr milliseconds kSilence{10000};     // of the rank before, until it counts as dead or stopped
constexpr milliseconds kLeastStall{20000};  // of a stretch of own work between two waits
constexpr double kStallPerStretch = 10.;    // or so many times the longest until then
constexpr std::int64_t kKnownAfter = 3;     // beats that tell how long a step takes
constexpr milliseconds kLongStall{600000};  // at rest, and until the first steps have told how long one takes
constexpr milliseconds kWork{10};           // of the processor, which a main thread that is not idle does
constexpr milliseconds kIdle{5000};         // within this time
constexpr milliseconds kBlame{2000};        // that others, who only wait for it, give it to say so

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

void check(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(result, text, &length);
  throw PeerError(
      fmt::format("MPI: {}: {}; a rank or the network between them is lost: start all of them again, "
                  "and they go on from the last checkpoint",
                  call, text));
}

std::string rank_name(int rank, int size) {
  struct utsname system {};
  ::uname(&system);
  return fmt::format("rank {} of {} (process {} on {})", rank, size, ::getpid(), system.nodename);
}

class MpiRanks final : public model::Communicator {
 public:
  MpiRanks() {
    check(MPI_Comm_dup(MPI_COMM_WORLD, &work_), "MPI_Comm_dup");
    check(MPI_Comm_dup(MPI_COMM_WORLD, &pings_), "MPI_Comm_dup");
    check(MPI_Comm_rank(work_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(work_, &size_), "MPI_Comm_size");
    names_ = gather(rank_name(rank_, size_));
    ::pthread_getcpuclockid(::pthread_self(), &main_clock_);
    prepare_thread_dump();
    watchdog_ = std::thread([this] { watch(); });
  }
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;
  ~MpiRanks() override {
    {
      const Waiting waiting(*this);
      MPI_Barrier(work_);  // nobody is silent before all are through
    }
    ending_ = true;
    watchdog_.join();
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string name(int rank) const override { return names_.at(static_cast<std::size_t>(rank)); }

  void sum(std::span<double> values) override {
    const Waiting waiting(*this);
    const auto count = static_cast<int>(values.size());
    std::vector<double> all(values.size() * static_cast<std::size_t>(size_));
    check(MPI_Allgather(values.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, work_),
          "MPI_Allgather");
    std::fill(values.begin(), values.end(), 0.);
    for (std::size_t i = 0; i < all.size(); ++i) values[i % values.size()] += all[i];
  }

  /// Each rank sums a slice, in the order of the ranks, and sends it to all.
  void sum(std::span<float> values) override {
    const Waiting waiting(*this);
    const auto ranks = static_cast<std::size_t>(size_);
    std::vector<int> counts(ranks), places(ranks), own(ranks), received(ranks);
    const std::size_t slice = (values.size() + ranks - 1) / ranks;
    for (std::size_t r = 0; r < ranks; ++r) {
      const std::size_t first = std::min(values.size(), r * slice),
                        last = std::min(values.size(), first + slice);
      places[r] = static_cast<int>(first);
      counts[r] = static_cast<int>(last - first);
    }
    const int mine = counts[static_cast<std::size_t>(rank_)];
    for (std::size_t r = 0; r < ranks; ++r) {
      own[r] = mine;
      received[r] = static_cast<int>(r) * mine;
    }
    parts_.resize(ranks * static_cast<std::size_t>(mine));
    sums_.resize(static_cast<std::size_t>(mine));
    check(MPI_Alltoallv(values.data(), counts.data(), places.data(), MPI_FLOAT, parts_.data(), own.data(),
                        received.data(), MPI_FLOAT, work_),
          "MPI_Alltoallv");
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      double sum = 0.;
      for (std::size_t r = 0; r < ranks; ++r) sum += static_cast<double>(parts_[r * sums_.size() + i]);
      sums_[i] = static_cast<float>(sum);
    }
    check(MPI_Allgatherv(sums_.data(), mine, MPI_FLOAT, values.data(), counts.data(), places.data(),
                         MPI_FLOAT, work_),
          "MPI_Allgatherv");
  }

  std::vector<std::string> gather(const std::string& mine) override {
    const Waiting waiting(*this);
    const auto ranks = static_cast<std::size_t>(size_);
    std::vector<int> lengths(ranks), places(ranks);
    const auto length = static_cast<int>(mine.size());
    check(MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, work_), "MPI_Allgather");
    int total = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      places[r] = total;
      total += lengths[r];
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    check(MPI_Allgatherv(mine.data(), length, MPI_CHAR, all.data(), lengths.data(), places.data(), MPI_CHAR,
                         work_),
          "MPI_Allgatherv");
    std::vector<std::string> said(ranks);
    for (std::size_t r = 0; r < ranks; ++r)
      said[r] = all.substr(static_cast<std::size_t>(places[r]), static_cast<std::size_t>(lengths[r]));
    return said;
  }

  void broadcast(std::vector<std::byte>& bytes) override {
    const Waiting waiting(*this);
    auto size = static_cast<unsigned long long>(bytes.size());
    check(MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG_LONG, 0, work_), "MPI_Bcast");
    bytes.resize(size);
    constexpr std::size_t kPiece = std::size_t{1} << 30;  // MPI counts in int
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      check(MPI_Bcast(bytes.data() + at, static_cast<int>(std::min(kPiece, bytes.size() - at)), MPI_BYTE, 0,
                      work_),
            "MPI_Bcast");
    }
  }

  void beat() override {
    note_work();
    ++beats_;
    resting_ = false;
  }
  void rest() override { resting_ = true; }

  [[noreturn]] void end_all(int code) override {
    MPI_Abort(MPI_COMM_WORLD, code);
    ::_exit(code);
  }

 private:
  /// While it lives, this process waits for others, and is not stuck itself.
  class Waiting {
   public:
    explicit Waiting(MpiRanks& ranks) : ranks_(ranks) {
      ranks_.note_work();
      ++ranks_.turns_;
    }
    ~Waiting() {
      ranks_.last_sign_ = Clock::now();  // before the watchdog looks at it again
      ++ranks_.turns_;
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    MpiRanks& ranks_;
  };

  /// A stretch of own work ends.
  void note_work() {
    const Clock::time_point now = Clock::now();
    const Clock::duration took = now - last_sign_.load();
    if (!resting_ && took > longest_.load()) longest_ = took;
    last_sign_ = now;
  }

  [[noreturn]] void end(int who, const std::string& what) {
    std::fprintf(stderr,
                 "error: %s %s; all ranks end, and the same command goes on from the last checkpoint\n",
                 names_[static_cast<std::size_t>(who)].c_str(), what.c_str());
    std::fflush(stderr);
    if (who == rank_) print_threads();
    end_all(kDevice);
  }

  bool waiting() const { return turns_ % 2 != 0; }

  /// How long may take what has taken so long at most.
  Clock::duration limit(Clock::duration longest) const {
    if (beats_ < kKnownAfter) return kLongStall;
    return std::max(Clock::duration(kLeastStall),
                    std::chrono::duration_cast<Clock::duration>(longest * kStallPerStretch));
  }

  /// Whether the main thread does nothing. Most MPIs ask on and on while they wait, so that it is stuck then.
  bool is_idle(Clock::time_point now) {
    timespec used{};
    ::clock_gettime(main_clock_, &used);
    const auto work = std::chrono::duration_cast<milliseconds>(std::chrono::seconds(used.tv_sec) +
                                                               std::chrono::nanoseconds(used.tv_nsec));
    if (work - worked_ >= kWork) {
      worked_ = work;
      worked_at_ = now;
    }
    return now - worked_at_ > kIdle;
  }

  /// All wait and none gets on: no rank is then stuck in work of its own, but one in a call of MPI.
  void look_for_standstill(Clock::time_point now, bool idle) {
    known_[static_cast<std::size_t>(rank_)] = turns_;
    if (known_ != stood_) {
      if (all_wait_) longest_standstill_ = std::max(longest_standstill_, now - stands_since_);
      stood_ = known_;
      stands_since_ = now;
      all_wait_ =
          std::all_of(known_.begin(), known_.end(), [](std::int64_t turns) { return turns % 2 != 0; });
    }
    const Clock::duration still = now - stands_since_, most = limit(longest_standstill_);
    if (!all_wait_ || still <= most) return;
    // Whoever has not left a call that another has; in the same call, who does nothing where others ask on
    // and on.
    const bool behind =
        known_[static_cast<std::size_t>(rank_)] < *std::max_element(known_.begin(), known_.end());
    if (behind || idle || still > most + kBlame)
      end(rank_, fmt::format("has not got on for {:.0f} s: it is stuck in a call of MPI", seconds(still)));
  }

  /// Pings go around a ring: each rank hears of the one before it, and which turn each of them has come to.
  void watch() {
    const int next = (rank_ + 1) % size_, before = (rank_ + size_ - 1) % size_;
    const auto expect = [&](int result) {
      if (result != MPI_SUCCESS) end(before, "cannot be reached any more");
    };
    known_.assign(static_cast<std::size_t>(size_), 0);
    in_ = known_;
    const auto receive = [&] {
      expect(MPI_Irecv(in_.data(), size_, MPI_INT64_T, before, 0, pings_, &receiving_));
    };
    receive();
    Clock::time_point heard = Clock::now(), woken = heard;
    while (!ending_) {
      int done = 0;
      expect(MPI_Test(&sending_, &done, MPI_STATUS_IGNORE));
      if (done != 0) {
        out_ = known_;
        expect(MPI_Isend(out_.data(), size_, MPI_INT64_T, next, 0, pings_, &sending_));
      }
      const Clock::time_point now = Clock::now();
      // Whoever was stopped itself, with the whole machine or alone, has heard nobody meanwhile.
      if (now - woken > kSilence / 2) {
        heard = stands_since_ = worked_at_ = now;
        last_sign_ = now;
      }
      woken = now;
      for (;;) {
        expect(MPI_Test(&receiving_, &done, MPI_STATUS_IGNORE));
        if (done == 0) break;
        heard = now;
        for (std::size_t r = 0; r < known_.size(); ++r) known_[r] = std::max(known_[r], in_[r]);
        receive();
      }
      // MPI receives nothing for this thread while the main one is stuck in it and holds its locks.
      const bool idle = is_idle(now);
      if (idle && waiting() && now - heard > kSilence - kBlame)
        end(rank_,
            fmt::format("has not got on for {:.0f} s and hears nothing of {}: it is stuck in a call of "
                        "MPI, or that one is dead or stopped",
                        seconds(now - heard), name(before)));
      if (now - heard > kSilence)
        end(before,
            fmt::format("has not been heard of for {:.0f} s: it is dead or stopped", seconds(now - heard)));
      if (!waiting()) {  // asked first: whoever has waited signs before it says so
        const Clock::duration still = Clock::now() - last_sign_.load();
        if (!waiting() && still > (resting_ ? Clock::duration(kLongStall) : limit(longest_)))
          end(rank_, fmt::format("has not got on for {:.0f} s: it is stuck", seconds(still)));
      }
      look_for_standstill(now, idle);
      std::this_thread::sleep_for(kPingEvery);
    }
    MPI_Cancel(&receiving_);
    MPI_Wait(&receiving_, MPI_STATUS_IGNORE);
  }

  MPI_Comm work_ = MPI_COMM_NULL, pings_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<std::string> names_;
  std::vector<float> parts_, sums_;
  std::atomic<bool> ending_ = false, resting_ = true;
  std::atomic<std::int64_t> beats_ = 0;
  std::atomic<std::int64_t> turns_ = 0;  // goes up where a wait begins and where it ends
  std::atomic<Clock::time_point> last_sign_ = Clock::now();
  std::atomic<Clock::duration> longest_ = Clock::duration::zero();
  clockid_t main_clock_{};
  // The watchdog's own: turns of all ranks as far as known here, and since when they are what they were.
  std::vector<std::int64_t> known_, stood_;
  Clock::time_point stands_since_ = Clock::now();
  Clock::duration longest_standstill_ = Clock::duration::zero();
  milliseconds worked_{};  // of the main thread, by the time that it was last seen to work
  Clock::time_point worked_at_ = Clock::now();
  bool all_wait_ = false;
  std::vector<std::int64_t> out_, in_;  // of pings that may still be under way
  MPI_Request sending_ = MPI_REQUEST_NULL, receiving_ = MPI_REQUEST_NULL;
  std::thread watchdog_;
};

}  // namespace
}  // namespace raincell::app

/// Null, with a problem, where MPI cannot do what is needed.
extern "C" raincell::model::Communicator* raincell_join(std::string* problem) {
  int level = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level) != MPI_SUCCESS) {
    *problem = "MPI_Init_thread failed";
    return nullptr;
  }
  if (level < MPI_THREAD_MULTIPLE) {
    *problem = "this MPI was built without support for several threads (MPI_THREAD_MULTIPLE)";
    return nullptr;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  return new raincell::app::MpiRanks();
}
