// When a nowcast is issued, and from which frames: a pure function of the frames that are there and the time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::app {

/// Cycles are due at slots: `phase` after the epoch, and whole steps from there.
struct CycleSpec {
  std::chrono::seconds step{300}, phase{0};
  std::chrono::seconds max_wait{150};  // for the frame of a slot
  std::chrono::seconds max_age{600};   // of the newest frame, else the nowcast is withheld
  std::int64_t max_gap = 1;            // slots in a row that are filled, between frames
  std::int64_t wanted = 5;             // frames that the first rung of the ladder wants

  /// A frame so far from a slot is the frame of it.
  std::chrono::seconds tolerance() const { return step / 5; }
};

/// Between frames that come with some jitter, now and then not at all, or twice: the median difference, in
/// whole minutes where it is near to that; 0 for fewer than two.
std::chrono::seconds step_of(const std::vector<io::TimePoint>& times);
/// Where most frames lie in the step: `before` as long as that is so, else 0, else where most others are.
std::chrono::seconds phase_of(const std::vector<io::TimePoint>& times, std::chrono::seconds step,
                              std::chrono::seconds before);

/// The slot of a frame, which may be off by the tolerance. Empty: it belongs to none.
std::optional<io::TimePoint> slot_of(const CycleSpec&, io::TimePoint frame);

/// A place in the history of a nowcast: a frame, or a gap between frames.
struct HistorySlot {
  io::TimePoint slot;
  std::optional<io::TimePoint> frame;
};

struct Decision {
  enum class Action : std::uint8_t { wait, issue, withhold };
  Action action = Action::wait;
  io::TimePoint until;               // wait: nothing changes before, unless a frame comes
  io::TimePoint nominal;             // of the cycle
  std::vector<HistorySlot> history;  // issue: oldest first; first and last are frames
  std::chrono::seconds age{0};       // from the newest frame to now
  std::string reason;                // why it is withheld, or no full one
  std::int64_t missed = 0;           // slots since the cycle before that nothing was issued for
  std::int64_t filled() const;
};

/// What was done before: the slot of the newest product, and the last slot that a product was issued or
/// withheld for.
struct Done {
  std::optional<io::TimePoint> product, attempted;
};

/// A frame that is newer than the last product is issued from at once. Without one, the slot whose wait is
/// over is issued from what is there, or withheld. Of several slots that are over, the newest counts alone.
Decision decide(const CycleSpec&, const std::vector<io::TimePoint>& frames, io::TimePoint now, const Done&);

}  // namespace raincell::app
