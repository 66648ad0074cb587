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

/// How far a time is from the slots of a phase.
seconds off_slot(TimePoint time, seconds step, seconds phase) {
  const std::int64_t into = (((time.time_since_epoch() - phase) % step) + step).count() % step.count();
  return seconds(std::min(into, step.count() - into));
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

seconds step_of(const std::vector<TimePoint>& times) {
  const auto differences = [](const std::vector<TimePoint>& sorted) {
    std::vector<seconds> found;
    for (std::size_t i = 1; i < sorted.size(); ++i)
      if (sorted[i] > sorted[i - 1]) found.push_back(sorted[i] - sorted[i - 1]);
    std::sort(found.begin(), found.end());
    return found;
  };
  const std::vector<seconds> all = differences(times);
  if (all.empty()) return seconds(0);
  // Of two sources that are some seconds apart, one.
  const seconds near = all[all.size() * 3 / 4] / 10;
  std::vector<TimePoint> apart;
  for (const TimePoint time : times)
    if (apart.empty() || time - apart.back() > near) apart.push_back(time);
  const std::vector<seconds> found = differences(apart);
  if (found.empty()) return seconds(0);
  const seconds middle = found[(found.size() - 1) / 2];
  const auto minutes = std::chrono::round<std::chrono::minutes>(middle);
  const seconds off = middle > minutes ? middle - minutes : minutes - middle;
  return minutes.count() > 0 && off * 10 <= middle ? seconds(minutes) : middle;
}

seconds phase_of(const std::vector<TimePoint>& times, seconds step, seconds before) {
  if (step.count() <= 0) return seconds(0);
  const auto fit = [&](seconds phase) {
    return std::count_if(times.begin(), times.end(),
                         [&](TimePoint time) { return off_slot(time, step, phase) <= step / 10; });
  };
  const auto most = static_cast<std::ptrdiff_t>(times.size() + 1) / 2;
  if (fit(before) >= most) return before;
  if (fit(seconds(0)) >= most) return seconds(0);
  seconds best = before;
  for (const TimePoint time : times)
    if (const seconds phase = time.time_since_epoch() % step; fit(phase) > fit(best)) best = phase;
  return best;
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
  if (attempted) decision.missed = std::max<std::int64_t>(0, (decision.nominal - *attempted) / spec.step - 1);
  return decision;
}

}  // namespace raincell::app
