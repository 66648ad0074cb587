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

/// Fills `values` [leads, crop.rows, crop.columns] with the advected frames of a window, physical units,
/// kMissing where the flow brings nothing; and `tendency`, of the same shape or empty when it is not wanted,
/// with what changed along the motion, 0 where that is unknown. Pure, called from worker threads; app
/// connects it to model/advection.
using GuideFunction = std::function<void(const Archive&, const Window&, const Crop&, std::int64_t leads,
                                         std::span<float> values, std::span<float> tendency)>;

struct BatchSpec {
  std::int64_t batch = 8, past = 5, future = 12;
  std::int64_t crop_rows = 96, crop_columns = 96;  // 0: the whole grid
  double rain_weighting = 1.;  // 0: uniform; 1: in proportion to the rain of the latest frame of the past
  bool flips = false;          // flips and quarter turns (square crops)
  double rain_scaling = 1.;    // x: the rain of each sample is multiplied by a number from 1/x to x
  double rain_level =
      0.;                 // > 0: before, it is multiplied so that the latest frame's root mean square is this
  bool tendency = false;  // asks the guide for the tendency as well
  std::uint64_t seed = 1;
  int workers = 1;               // 0: next() itself does the work
  std::int64_t prefetch = 2;     // batches ready ahead: what bounds the memory
  std::int64_t share_first = 0;  // several processes: this one fills samples share_first ... of every batch,
  std::int64_t share_count = 0;  // so many of them; 0: all
};

/// Host memory of one batch, network units; owned by the caller, filled in place.
struct Batch {
  std::vector<float> past;       // [N,T,1,H,W]; missing filled with the value of dry
  std::vector<float> past_mask;  // [N,T,1,H,W]
  std::vector<float> future;     // [N,T',1,H,W]
  std::vector<float>
      future_mask;           // [N,T',1,H,W]; 0 also where the guide is missing: nothing is forecast there
  std::vector<float> guide;  // [N,T',1,H,W], empty without a guide
  std::vector<float> guide_mask;  // [N,T',1,H,W]
  std::vector<float> tendency;    // [N,T',1,H,W], empty unless asked for
  std::int64_t left_out = 0;      // samples with an unreadable frame: dry, and no pixel of theirs is valid
};

/// What sample is drawn where.
struct Sample {
  Window window;
  Crop crop;
  int orientation = 0;  // bit 0: columns reversed, bit 1: rows reversed, bit 2: then transposed
  float rain_factor = 1.F;
};

/// Sample `index` of epoch `epoch` is a pure function of (seed, epoch, index) for any number of workers.
class BatchSource {
 public:
  /// `archives` must outlive the source. Reads one frame of every few windows for the weights of crops; no
  /// frame outside the windows is ever read. Without rain_weighting every window comes once an epoch. Throws
  /// DataError.
  BatchSource(std::vector<const Archive*> archives, std::vector<Window> windows, Transform, BatchSpec,
              GuideFunction guide = {});
  ~BatchSource();
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  /// Starts (or restarts) at a position: batch number `batch_index` of `epoch`.
  void seek(std::int64_t epoch, std::int64_t batch_index);
  /// The next batch; epochs follow each other without end. Blocks until workers have it; rethrows their
  /// errors.
  void next(Batch&);
  std::int64_t batches_per_epoch() const;
  /// What next() puts at place `index` of `epoch` (batch index / batch, place index % batch).
  Sample sample(std::int64_t epoch, std::int64_t index) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
