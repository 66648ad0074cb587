// When nowcasts are issued, and from which frames: the clock and the frames are the test's.
#include "app/cycle.hpp"

#include <gtest/gtest.h>

#include <random>

namespace raincell::app {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Action = Decision::Action;

const io::TimePoint kNoon = *io::parse_time("2024-06-01T12:00Z");

io::TimePoint slot(int number) {
  return kNoon + minutes(5 * number);
}
std::vector<io::TimePoint> frames(std::initializer_list<int> numbers) {
  std::vector<io::TimePoint> times;
  for (const int number : numbers) times.push_back(slot(number));
  return times;
}
/// "0 1 _ 3": slots of the history, and gaps.
std::string text(const Decision& decision) {
  std::string text;
  for (const HistorySlot& one : decision.history) {
    if (!text.empty()) text += " ";
    text += one.frame ? std::to_string((one.slot - kNoon) / minutes(5)) : "_";
  }
  return text;
}
Done after(int product) {
  return {slot(product), slot(product)};
}

TEST(Cycle, AFrameThatComesIsIssuedFromAtOnce) {
  const Decision decision = decide({}, frames({0, 1, 2, 3, 4, 5}), slot(5) + seconds(20), after(4));
  EXPECT_EQ(decision.action, Action::issue);
  EXPECT_EQ(decision.nominal, slot(5));
  EXPECT_EQ(text(decision), "1 2 3 4 5");
  EXPECT_EQ(decision.age, seconds(20));
  EXPECT_EQ(decision.reason, "");
  EXPECT_EQ(decision.missed, 0);
}

TEST(Cycle, ALateFrameIsWaitedForUntilTheDeadline) {
  const std::vector<io::TimePoint> there = frames({0, 1, 2, 3, 4});
  const Decision waiting = decide({}, there, slot(5) + seconds(149), after(4));
  EXPECT_EQ(waiting.action, Action::wait);
  EXPECT_EQ(waiting.until, slot(5) + seconds(150));
  const Decision late = decide({}, there, slot(5) + seconds(150), after(4));
  EXPECT_EQ(late.action, Action::issue);
  EXPECT_EQ(late.nominal, slot(5));
  EXPECT_EQ(text(late), "0 1 2 3 4");
  EXPECT_NE(late.reason.find("12:25Z has not come in 2:30 min"), std::string::npos) << late.reason;
  // And when it comes at last, it is there for the next cycle alone.
  const Decision done = decide({}, frames({0, 1, 2, 3, 4, 5}), slot(5) + seconds(200), after(5));
  EXPECT_EQ(done.action, Action::wait);
  EXPECT_EQ(done.until, slot(6) + seconds(150));
}

/// Every single frame and every pair of them: nothing is ever made up but the inside of a gap of one.
TEST(Cycle, GapsAreFilledOrShortenTheHistory) {
  const auto without = [](std::initializer_list<int> gone) {
    std::vector<io::TimePoint> times;
    for (int i = 0; i <= 8; ++i)
      if (std::find(gone.begin(), gone.end(), i) == gone.end()) times.push_back(slot(i));
    return decide({}, times, slot(8) + seconds(10), after(7));
  };
  EXPECT_EQ(text(without({4})), "3 _ 5 6 7 8");
  EXPECT_EQ(text(without({5})), "4 _ 6 7 8");
  EXPECT_EQ(text(without({6})), "4 5 _ 7 8");
  EXPECT_EQ(text(without({7})), "4 5 6 _ 8");
  EXPECT_EQ(text(without({3})), "4 5 6 7 8");
  EXPECT_EQ(text(without({5, 7})), "4 _ 6 _ 8");
  EXPECT_EQ(text(without({5, 6})), "7 8");
  EXPECT_EQ(text(without({6, 7})), "8");
  EXPECT_EQ(text(without({4, 5})), "6 7 8");
  EXPECT_EQ(without({6}).filled(), 1);
  EXPECT_EQ(without({5, 7}).filled(), 2);
  CycleSpec strict;
  strict.max_gap = 0;
  EXPECT_EQ(text(decide(strict, frames({4, 5, 7, 8}), slot(8), after(7))), "7 8");
}

TEST(Cycle, WithoutANewFrameItIsDegradedOnceAndThenWithheld) {
  const std::vector<io::TimePoint> there = frames({0, 1, 2, 3, 4});
  EXPECT_EQ(decide({}, there, slot(5) + seconds(150), after(4)).action, Action::issue);
  Decision decision = decide({}, there, slot(6) + seconds(150), after(5));
  EXPECT_EQ(decision.action, Action::withhold);
  EXPECT_EQ(decision.nominal, slot(6));
  EXPECT_NE(decision.reason.find("12:20Z, 12:30 min old, and 10 min is allowed"), std::string::npos)
      << decision.reason;
  decision = decide({}, {}, slot(6) + seconds(150), after(5));
  EXPECT_EQ(decision.action, Action::withhold);
  EXPECT_EQ(decision.reason, "there is no frame");
}

TEST(Cycle, ASlowServiceDropsToTheNewestSlot) {
  const Decision decision = decide({}, frames({0, 1, 2, 3, 4, 5, 6, 7}), slot(7) + seconds(5), after(3));
  EXPECT_EQ(decision.action, Action::issue);
  EXPECT_EQ(decision.nominal, slot(7));
  EXPECT_EQ(decision.missed, 3);
}

TEST(Cycle, AFrameAfterAWithheldCycleIsIssuedFromAtOnce) {
  const Done done{slot(3), slot(6)};  // 4 was degraded from 3, 5 and 6 withheld
  const Decision decision = decide({}, frames({2, 3, 6}), slot(6) + seconds(170), done);
  EXPECT_EQ(decision.action, Action::issue);
  EXPECT_EQ(decision.nominal, slot(6));
  EXPECT_EQ(text(decision), "6");
}

/// Frames that arrive later than a step after their time, always: one cycle each all the same.
TEST(Cycle, FeedsWithALongDelayWork) {
  CycleSpec spec;
  spec.max_wait = minutes(9);
  spec.max_age = minutes(15);
  Done done = after(0);
  std::string nominals;
  for (io::TimePoint now = slot(0) + minutes(7); now < slot(6) + minutes(7); now += seconds(10)) {
    std::vector<io::TimePoint> there;
    for (int i = -5; slot(i) + minutes(7) <= now; ++i) there.push_back(slot(i));
    const Decision decision = decide(spec, there, now, done);
    if (decision.action == Action::wait) continue;
    EXPECT_EQ(decision.reason, "");
    nominals += std::to_string((decision.nominal - kNoon) / minutes(5)) + " ";
    done = {decision.nominal, decision.nominal};
  }
  EXPECT_EQ(nominals, "1 2 3 4 5 ");
}

TEST(Cycle, AClockThatIsSetBackNeitherStopsNorRepeatsIt) {
  // An hour ahead for a while: cycles are withheld for slots that have not come.
  Done done{slot(4), slot(16)};
  EXPECT_EQ(decide({}, frames({0, 1, 2, 3, 4}), slot(4) + seconds(60), done).action, Action::wait);
  const Decision next = decide({}, frames({1, 2, 3, 4, 5}), slot(5) + seconds(10), done);
  EXPECT_EQ(next.action, Action::issue);
  EXPECT_EQ(next.nominal, slot(5));
  EXPECT_EQ(next.missed, 0);
  // And an hour back: what was issued is not issued again.
  EXPECT_EQ(decide({}, frames({0, 1, 2, 3, 4}), slot(4) - minutes(60), after(4)).action, Action::wait);
}

TEST(Cycle, FramesBesideTheirSlotCountForTheNearestOne) {
  std::vector<io::TimePoint> jittery;
  for (int i = 0; i < 6; ++i) jittery.push_back(slot(i) + seconds(i % 2 == 0 ? 50 : -50));
  const Decision decision = decide({}, jittery, slot(5) + seconds(10), after(4));
  EXPECT_EQ(text(decision), "1 2 3 4 5");
  EXPECT_EQ(*decision.history.back().frame, slot(5) - seconds(50));
  EXPECT_FALSE(slot_of({}, slot(3) + seconds(61)));
  EXPECT_EQ(slot_of({}, slot(3) - seconds(60)), slot(3));
}

TEST(Cycle, StepAndPhaseAreThoseOfMostFrames) {
  std::vector<io::TimePoint> times;
  for (int i = 0; i < 10; ++i)
    if (i != 4 && i != 7) times.push_back(slot(i) + seconds(120));
  EXPECT_EQ(step_of(times), minutes(5));
  EXPECT_EQ(phase_of(times, minutes(5), seconds(0)), seconds(120));
  EXPECT_EQ(phase_of(frames({0, 1, 2}), minutes(5), seconds(20)), seconds(20));  // near enough stays
  EXPECT_EQ(step_of({kNoon}), seconds(0));
  CycleSpec spec;
  spec.phase = seconds(120);
  EXPECT_EQ(slot_of(spec, slot(1) + seconds(110)), slot(1) + seconds(120));
}

/// Seconds of jitter, frames that are missing, a second source: never a frame that is not issued from.
TEST(Cycle, JitterOfSecondsNeitherMovesTheStepNorLosesACycle) {
  std::mt19937 random(3);
  for (const auto& [step, jitter] : {std::pair{120, 5}, {120, 10}, {300, 30}, {600, 50}, {300, 0}}) {
    SCOPED_TRACE(testing::Message() << step << " s, jitter " << jitter << " s");
    CycleSpec spec;
    std::vector<io::TimePoint> times;
    Done done;
    int issued = 0;
    for (int i = 0; i < 300; ++i) {
      const io::TimePoint time =
          kNoon + seconds(step * i + static_cast<int>(random() % static_cast<unsigned>(jitter + 1)));
      times.push_back(time);
      if (i % 7 == 3) times.push_back(time + seconds(5));  // of a second radar
      while (times.size() > 14) times.erase(times.begin());
      if (times.size() < 4) continue;
      if (spec.step = step_of(times); done.product) {
        EXPECT_EQ(spec.step, seconds(step));
      }
      spec.phase = phase_of(times, spec.step, spec.phase);
      spec.max_wait = seconds(step / 2);
      const Decision decision = decide(spec, times, time + seconds(12), done);
      ASSERT_EQ(decision.action, Action::issue);
      EXPECT_EQ(decision.missed, 0);
      EXPECT_EQ(decision.reason, "");
      EXPECT_EQ(decision.filled(), 0);
      done = {decision.nominal, decision.nominal};
      ++issued;
    }
    EXPECT_GE(issued, 296);
  }
}

/// Of ten minutes where five are wanted, every other slot is a gap: filled, and said.
TEST(Cycle, ACoarserSourceIsAHistoryOfGaps) {
  EXPECT_EQ(text(decide({}, frames({0, 2, 4, 6}), slot(6), after(4))), "2 _ 4 _ 6");
}

TEST(Cycle, TheYearEndsLikeAnyOtherDay) {
  const io::TimePoint midnight = *io::parse_time("2025-01-01T00:00Z");
  std::vector<io::TimePoint> times;
  for (int i = -4; i <= 0; ++i) times.push_back(midnight + minutes(5 * i));
  const Decision decision = decide({}, times, midnight, {midnight - minutes(5), midnight - minutes(5)});
  EXPECT_EQ(decision.action, Action::issue);
  EXPECT_EQ(decision.history.size(), 5U);
  EXPECT_EQ(decision.missed, 0);
}

}  // namespace
}  // namespace raincell::app
