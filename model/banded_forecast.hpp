// A forecast in bands of rows, with frames that come and go a band at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/banded_run.hpp"

namespace raincell::model {

/// Where the frames of a banded forecast come from and go to, in network units. Within a frame rows are asked
/// for, and given, from the first to the last, each once; frames in their order, the last past frame perhaps
/// again at lead 0.
class FrameExchange {
 public:
  enum class Kind : std::uint8_t { values, mask, tendency };
  virtual ~FrameExchange() = default;
  /// Rows [first, first + rows) of past frame t: [C,rows,W].
  virtual void past(std::int64_t t, Kind, std::int64_t first, std::int64_t rows, std::span<float> to) = 0;
  /// Of what guides a lead.
  virtual void guide(std::int64_t lead, Kind, std::int64_t first, std::int64_t rows, std::span<float> to) = 0;
  /// Of the forecast: [Cout,rows,W]; logits where the network computes them.
  virtual void take(std::int64_t lead, std::int64_t first, std::int64_t rows,
                    std::span<const float> from) = 0;
};

/// How an inference is cut.
struct BandPlan {
  std::int64_t band_bytes = 0;          // of what a layer computes at once, about; 0: whole domains
  std::int64_t scratch_from_bytes = 0;  // states of at least as many lie in `scratch`; 0: none do
  Scratch* scratch = nullptr;
  bool on() const { return band_bytes > 0; }
};

/// Frames as they come, before padding and patching.
struct FrameSize {
  std::int64_t height = 1, width = 1;
};

class BandedForecast {
 public:
  /// height, width of flows with divisor 1. The blueprint must outlive it. Counts what lies in scratch.
  BandedForecast(const ModelSpec&, const Blueprint&, Workspace&, Parameters&, const BandPlan&,
                 const FrameSize& frame, std::int64_t height, std::int64_t width,
                 std::int64_t& scratch_bytes);
  void load_weights();
  void forecast(FrameExchange&, std::int64_t leads);
  /// Rows of frames in the smallest and in the largest band.
  std::pair<std::int64_t, std::int64_t> rows() const;
  std::size_t staging_bytes() const { return staging_.size() * sizeof(float); }

 private:
  using Kind = FrameExchange::Kind;
  bool shared() const { return spec_.forecaster == ForecasterKind::shared; }
  bool fed_back() const { return spec_.feed == Feed::previous; }
  BandedRun& decoder() { return shared() ? *encoder_ : *forecaster_; }
  Kind kind_of(const Graph&, int flow) const;
  /// read(first, rows, to) gives frame rows; those that are padding become zero.
  template <class Read>
  void import_rows(std::int64_t first, kernels::View to, const Read& read);
  void fill_past(FrameExchange&, std::int64_t t, int flow, const Graph&, std::int64_t first,
                 kernels::View to);
  void fill_lead(FrameExchange&, std::int64_t lead, int flow, std::int64_t first, kernels::View to);
  void take(FrameExchange&, std::int64_t lead, std::int64_t first, kernels::View output,
            kernels::View frames);
  /// Rows of the frame in rows [first, first + rows) of a flow; none or fewer at the bottom, where it is
  /// padded.
  std::int64_t frame_rows(std::int64_t first, std::int64_t rows) const;

  const ModelSpec spec_;
  kernels::Backend& backend_;
  FrameSize frame_;
  std::vector<BandedState> states_;  // by stage
  std::unique_ptr<BandedRun> encoder_, forecaster_;
  kernels::Tensor fed_;  // the last output, whole; fed back only
  std::vector<float> staging_;
};

}  // namespace raincell::model
