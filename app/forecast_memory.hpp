// How forecasts of a domain are computed in the memory that may be used: what is held, what is cut in bands,
// and what lies in a scratch file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/cli.hpp"
#include "app/frame_series.hpp"
#include "io/scratch.hpp"
#include "model/advection/guide.hpp"
#include "model/network.hpp"
#include "model/scratch.hpp"

namespace raincell::app {

/// A scratch file as the model knows it.
class FileScratch : public model::Scratch {
 public:
  explicit FileScratch(std::filesystem::path folder) : file_(std::move(folder)) {}
  std::span<std::byte> take(std::size_t bytes, std::string_view what) override {
    return file_.take(bytes, what);
  }
  void give_back(std::span<std::byte> memory) noexcept override { file_.give_back(memory); }
  void drop(std::span<std::byte> memory) noexcept override { io::ScratchFile::drop(memory); }
  const std::filesystem::path& folder() const { return file_.folder(); }

 private:
  io::ScratchFile file_;
};

/// Frames of a series as the past of a forecast: in memory, or in scratch where there is one.
class PastStore : public model::PastStream {
 public:
  /// Reads them. Throws DataError on another grid.
  PastStore(FrameSeries&, const std::vector<std::int64_t>& indices, model::Scratch*);
  std::span<const float> frame(std::int64_t index) override;
  std::span<const float> all() override;

 private:
  model::Floats values_;
  bool in_memory_;
  std::int64_t shown_ = -1;
};

/// The domain and what forecasts it.
struct ForecastWork {
  std::int64_t rows = 1, columns = 1, past = 1, leads = 1;
  const model::ModelSpec* spec = nullptr;  // null: advection or persistence
  bool advection = false;                  // by itself
  bool blend = false;                      // of the network and the advected frame
  model::GuideSpec guide;
  bool pictures = false;
  // Of scoring forecasts: all at once beside everything that is held; lead by lead, when streamed ones are
  // over.
  bool may_hold = false;  // also without a network
  std::int64_t held_beside = 0, scoring = 0;
  std::int64_t pixels() const { return rows * columns; }
};

struct MemoryChoice {
  bool streamed = false;  // frame by frame; else everything is held
  bool past_in_scratch = false, trajectories_in_scratch = false;
  model::Fitted network;  // with a spec
  std::int64_t peak_bytes = 0;
  bool fits = true;  // false: peak_bytes is the least that it can do with
  /// "in bands of 32 to 512 rows, with ... in a scratch file of 1.2 GiB in /data"
  std::string text(const std::filesystem::path& scratch) const;
};

/// --scratch, or the folder of --output, or where the system keeps temporary files.
std::filesystem::path scratch_folder(const Arguments&);

/// All frames of past, guide and forecast at once, and the product; beside the network.
std::int64_t held_bytes(const ForecastWork&);

/// From now on what is freed stays for the next one, as far as it can: pages from the system cost time.
void keep_freed_memory();
/// From now on what is freed leaves the process, as far as it can.
void give_freed_memory_back();
/// Bytes of this process in memory, now and at most so far.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

/// `limit` bounds the whole process, `resident` of which is there already. scratch: null where there is none.
/// backend: null without a network.
MemoryChoice choose_memory(const ForecastWork&, kernels::Backend*, model::Scratch*, std::int64_t limit,
                           std::int64_t resident);

}  // namespace raincell::app
