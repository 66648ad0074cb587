#include "app/cycle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "app/log.hpp"

namespace raincell::app {

namespace {

using io::TimePoint;
using std::chrono::seconds;

/// The last slot not after a time.
TimePoint floor_slot(const CycleSpec& spec, TimePoint time) {
  const std::int64_t step = spec.step.count();
  const std::int64_t since = (time.time_since_epoch() - spec.phase).count();
  const std::int64_t into = (since % step + step) % step;
  return time - seconds(into);
}

/// The key that occurs most often; of several, the smallest.
seconds most_frequent(const std::map<seconds, int>& counts) {
  const auto most = std::max_element(counts.begin(), counts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? seconds(0) : most->first;
}

/// The frame nearest to each slot.
std::map<TimePoint, TimePoint> by_slot(const CycleSpec& spec, const std::vector<TimePoint>& frames) {
  std::map<TimePoint, TimePoint> slots;
  for (const TimePoint frame : frames) {
    const auto slot = slot_of(spec, frame);
    if (!slot) continue;
    const auto there = slots.find(*slot);
    const auto off = [&](TimePoint time) { return time > *slot ? time - *slot : *slot - time; };
    if (there == slots.end() || off(frame) < off(there->second)) slots[*slot] = frame;
  }
  return slots;
}

/// Back from the newest slot, over gaps that may be filled, as far as wanted.
std::vector<HistorySlot> history_of(const CycleSpec& spec, const std::map<TimePoint, TimePoint>& slots) {
  std::vector<HistorySlot> history;
  std::vector<HistorySlot> gap;
  TimePoint slot = slots.rbegin()->first;
  while (static_cast<std::int64_t>(history.size()) < spec.wanted &&
         static_cast<std::int64_t>(gap.size()) <= spec.max_gap) {
    if (const auto found = slots.find(slot); found != slots.end()) {
      history.insert(history.end(), gap.begin(), gap.end());
      gap.clear();
      history.push_back({slot, found->second});
    } else {
      gap.push_back({slot, std::nullopt});
    }
    slot -= spec.step;
  }
  // Where the oldest wanted one is filled, the frame before it is there as well.
  std::reverse(history.begin(), history.end());
  return history;
}

std::string age_text(seconds age) {
  return format_duration(static_cast<double>(age.count()));
}

}  // namespace

Rhythm rhythm_of(const std::vector<TimePoint>& times) {
  std::map<seconds, int> steps;
  for (std::size_t i = 1; i < times.size(); ++i)
    if (times[i] > times[i - 1]) ++steps[times[i] - times[i - 1]];
  const seconds step = most_frequent(steps);
  return {step, phase_of(times, step)};
}

seconds phase_of(const std::vector<TimePoint>& times, seconds step) {
  std::map<seconds, int> phases;
  if (step.count() > 0)
    for (const TimePoint time : times) ++phases[time.time_since_epoch() % step];
  return most_frequent(phases);
}

std::optional<TimePoint> slot_of(const CycleSpec& spec, TimePoint frame) {
  const TimePoint slot = floor_slot(spec, frame + spec.step / 2);
  const seconds off = frame > slot ? frame - slot : slot - frame;
  if (off > spec.tolerance()) return std::nullopt;
  return slot;
}

std::int64_t Decision::filled() const {
  return std::count_if(history.begin(), history.end(), [](const HistorySlot& slot) { return !slot.frame; });
}

Decision decide(const CycleSpec& spec, const std::vector<TimePoint>& frames, TimePoint now,
                const Done& done) {
  const std::map<TimePoint, TimePoint> slots = by_slot(spec, frames);
  // A clock that was set back must not keep later slots waiting for it.
  std::optional<TimePoint> attempted = done.attempted;
  if (attempted && *attempted > now + spec.step) attempted = done.product;
  const TimePoint over = floor_slot(spec, now - spec.max_wait);
  Decision decision;
  decision.until = over + spec.step + spec.max_wait;
  const bool any = !slots.empty();
  const TimePoint newest = any ? slots.rbegin()->first : TimePoint{};
  if (any) decision.age = now - slots.rbegin()->second;
  const bool fresh = any && decision.age <= spec.max_age;
  const bool came = fresh && (!done.product || newest > *done.product);
  if (!came && attempted && over <= *attempted) return decision;

  decision.nominal = came ? newest : over;
  if (fresh) {
    decision.action = Decision::Action::issue;
    decision.history = history_of(spec, slots);
    if (!came)
      decision.reason =
          fmt::format("the frame of {} has not come in {}", io::format_time(over), age_text(spec.max_wait));
  } else {
    decision.action = Decision::Action::withhold;
    decision.reason = any ? fmt::format("the newest frame is of {}, {} old, and {} is allowed",
                                        io::format_time(slots.rbegin()->second), age_text(decision.age),
                                        age_text(spec.max_age))
                          : std::string("there is no frame");
  }
  if (attempted && decision.nominal > *attempted)
    decision.missed = (decision.nominal - *attempted) / spec.step - 1;
  return decision;
}

}  // namespace raincell::app
