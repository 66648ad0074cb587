// Training samples: windows of past and future frames, cropped, transformed, in a seeded order.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "io/archive.hpp"
#include "io/sequence.hpp"
#include "io/transform.hpp"

namespace raincell::io {

/// Fills `values` [leads, crop.rows, crop.columns] with the advected frames of a window, physical units, kMissing
/// where the flow brings nothing. Pure, called from worker threads; app connects it to model/advection.
using GuideFunction =
    std::function<void(const Archive&, const Window&, const Crop&, std::int64_t leads, std::span<float> values)>;

struct BatchSpec {
  std::int64_t batch = 8, past = 5, future = 12;
  std::int64_t crop_rows = 96, crop_columns = 96;  // 0: the whole grid
  double rain_weighting = 1.;     // 0: uniform; 1: probability of a crop in proportion to its rain
  bool flips = false;             // flips and quarter turns (square crops)
  std::uint64_t seed = 1;
  int workers = 1;
  std::int64_t prefetch = 2;      // batches ready ahead
};

/// Host memory of one batch, network units; owned by the caller, filled in place.
struct Batch {
  std::vector<float> past;         // [N,T,1,H,W]; missing filled with the value of dry
  std::vector<float> past_mask;    // [N,T,1,H,W]
  std::vector<float> future;       // [N,T',1,H,W]
  std::vector<float> future_mask;  // [N,T',1,H,W]
  std::vector<float> guide;        // [N,T',1,H,W], empty without a guide
  std::vector<float> guide_mask;   // [N,T',1,H,W]
};

/// Sample `index` of epoch `epoch` is a pure function of (seed, epoch, index) for any number of workers.
class BatchSource {
 public:
  /// `archives` must outlive the source.
  BatchSource(std::vector<const Archive*> archives, std::vector<Window> windows, Transform, BatchSpec,
              GuideFunction guide = {});
  ~BatchSource();
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  /// Starts (or restarts) at a position: batch number `batch_index` of `epoch`.
  void seek(std::int64_t epoch, std::int64_t batch_index);
  /// The next batch; epochs follow each other without end. Blocks until workers have it; rethrows their errors.
  void next(Batch&);
  std::int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
