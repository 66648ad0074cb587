// One step of a graph a band of rows at a time: in which order, and how many rows of a flow are held.
#pragma once

#include <cstdint>
#include <vector>

#include "model/blueprint.hpp"

namespace raincell::model {

/// A band of one flow that is filled from outside or computed by a node, once the rows that it needs are
/// there.
struct SweepPiece {
  int flow = -1;
  int node = -1;  // -1: from outside
  std::int64_t first = 0, rows = 0;
  std::int64_t kept_from = 0;  // rows of the flow above this one are not read any more
};

struct SweepSpec {
  std::size_t begin = 0, end = 0;       // nodes of the graph that take part
  std::int64_t height = 1, width = 1;   // of flows with divisor 1
  std::vector<std::int64_t> band_rows;  // of each flow
  bool frames_beside_output = false;    // a band of the output is made with the same rows of the frames
};

/// Every row of every flow is made once. A node is asked for a band when somebody needs its rows, and asks
/// its inputs before: so that of a flow that is no state only the rows between the first that a consumer
/// still reads and the last that was made need be kept, and the halo of a band is that of one kernel.
class RowSweep {
 public:
  RowSweep(const Graph&, const SweepSpec&);
  const std::vector<SweepPiece>& pieces() const { return pieces_; }
  /// Rows of a flow that are held at once at most; 0 where the sweep does not make it.
  std::int64_t window(int flow) const { return windows_[static_cast<std::size_t>(flow)]; }

 private:
  class Builder;
  std::vector<SweepPiece> pieces_;
  std::vector<std::int64_t> windows_;
};

/// Rows of a band of each flow: at most `band_bytes` of what its node computes (gates for recurrent ones) and
/// of each input, and at least one unit; first rows are multiples of all strides and of Winograd's tiles
/// of 4.
std::vector<std::int64_t> band_rows(const Graph&, std::int64_t height, std::int64_t width,
                                    std::int64_t band_bytes, std::int64_t element_bytes);

}  // namespace raincell::model
