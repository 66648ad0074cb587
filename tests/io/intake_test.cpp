// A folder that files arrive in, as badly as they do; the clocks are the test's.
#include "io/intake.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

#include "io/odim_out.hpp"
#include "tests/io/archive_support.hpp"
#include "tests/io/temporary_folder.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint at(std::int64_t step) {
  return kStart + seconds{300 * step};
}

class Arrivals : public testing::Test {
 protected:
  Arrivals() { fs::create_directories(radar()); }
  fs::path radar() const { return folder_.path() / "radar"; }
  static std::string bytes_of(const Frame& frame) {
    const std::vector<std::byte> bytes = odim_bytes(frame);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// Rain of `value` in its first pixel; a frame of one value alone would be taken for a stuck radar.
  static Frame rain(std::int64_t step, float value = 1.F, std::int64_t rows = 16) {
    Frame frame = flat_frame(step, value, rows, 24);
    for (std::size_t i = 0; i < frame.values.size(); ++i) frame.values[i] += static_cast<float>(i % 12);
    return frame;
  }
  static std::string odim(std::int64_t step, float value = 1.F) { return bytes_of(rain(step, value)); }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(radar() / name, std::ios::binary) << bytes;
  }
  void append(const std::string& name, const std::string& bytes) const {
    std::ofstream(radar() / name, std::ios::binary | std::ios::app) << bytes;
  }
  /// Both clocks go on.
  Moment later(milliseconds by) {
    now_.steady += by;
    now_.wall = at(0) + offset_ + std::chrono::duration_cast<seconds>(now_.steady);
    return now_;
  }
  /// A look once everything has settled.
  std::vector<IntakeEvent> settled(Intake& intake) {
    std::vector<IntakeEvent> all = intake.look(later(seconds(1)));
    const std::vector<IntakeEvent> more = intake.look(later(seconds(3)));
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static std::string text(const std::vector<IntakeEvent>& events) {
    std::string text;
    for (const IntakeEvent& event : events)
      text += event.file.filename().string() + " " + name_of(event.verdict) + "\n";
    return text;
  }
  std::vector<std::int64_t> steps(const Intake& intake) const {
    std::vector<std::int64_t> steps;
    for (const auto& [time, frame] : intake.frames()) steps.push_back((time - at(0)).count() / 300);
    return steps;
  }
  TemporaryFolder folder_;
  seconds offset_{300 * 12};  // the clock begins an hour after step 0
  Moment now_;
};

TEST_F(Arrivals, AFileThatGrowsIsReadWhenItIsWhole) {
  Intake intake(radar(), {});
  const std::string whole = odim(10);
  std::string seen;
  for (std::size_t done = 0; done < whole.size(); done += 1024) {
    append("a.h5", whole.substr(done, 1024));
    seen += text(intake.look(later(milliseconds(100))));
  }
  EXPECT_EQ(seen, "");
  EXPECT_EQ(intake.waiting(), 1);
  EXPECT_EQ(text(intake.look(later(seconds(1)))), "");
  EXPECT_EQ(text(intake.look(later(seconds(2)))), "a.h5 accepted\n");
  EXPECT_EQ(intake.waiting(), 0);
  EXPECT_EQ(text(intake.look(later(seconds(60)))), "");
}

/// It is tried, and neither taken nor given up; renamed into place, it is taken as well.
TEST_F(Arrivals, AWriterThatPausesIsWaitedFor) {
  Intake intake(radar(), {});
  const std::string whole = odim(10);
  append("a.h5", whole.substr(0, whole.size() / 2));
  std::string seen;
  for (int second = 0; second < 8; ++second) seen += text(intake.look(later(seconds(1))));
  EXPECT_EQ(seen, "a.h5 unreadable\na.h5 unreadable\na.h5 unreadable\n");  // after 2, 3, 5 seconds
  append("a.h5", whole.substr(whole.size() / 2));
  EXPECT_EQ(text(settled(intake)), "a.h5 accepted\n");
  write("b.h5.tmp", odim(11));
  EXPECT_EQ(text(settled(intake)), "");
  fs::rename(radar() / "b.h5.tmp", radar() / "b.h5");
  EXPECT_EQ(text(settled(intake)), "b.h5 accepted\n");
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{10, 11}));
}

TEST_F(Arrivals, WhatNobodyCanReadIsRefusedUntilItChanges) {
  Intake intake(radar(), {});
  write("a.h5", "this is no radar file");
  std::string seen;
  IntakeEvent last;
  for (int second = 0; second < 60; ++second) {
    const auto events = intake.look(later(seconds(1)));
    seen += text(events);
    if (!events.empty()) last = events.back();
  }
  EXPECT_EQ(seen, "a.h5 unreadable\na.h5 unreadable\na.h5 unreadable\na.h5 unreadable\na.h5 refused\n");
  EXPECT_NE(last.reason.find("a.h5"), std::string::npos) << last.reason;
  EXPECT_EQ(intake.waiting(), 0);
  write("a.h5", odim(10));
  EXPECT_EQ(text(settled(intake)), "a.h5 accepted\n");
}

TEST_F(Arrivals, NamesThatAreNoRadarFilesAreLeftAlone) {
  Intake intake(radar(), {});
  for (const char* name : {".hidden.h5", "a.h5.tmp", "a.h5.part"}) write(name, odim(10));
  fs::create_directory(radar() / "folder.h5");
  ASSERT_EQ(::mkfifo((radar() / "fifo.h5").c_str(), 0600), 0);
  std::ofstream(folder_.path() / "outside.h5", std::ios::binary) << odim(9);
  fs::create_symlink(folder_.path() / "outside.h5", radar() / "link.h5");
  fs::create_symlink(radar() / "nowhere", radar() / "dangling.h5");
  EXPECT_EQ(text(settled(intake)), "");
  EXPECT_EQ(intake.waiting(), 0);
  write("b.h5", odim(10));
  EXPECT_EQ(text(settled(intake)), "b.h5 accepted\n");
}

TEST_F(Arrivals, DuplicatesAreNoneAndOtherValuesAreARevision) {
  Intake intake(radar(), {});
  write("a.h5", odim(10, 1.F));
  EXPECT_EQ(text(settled(intake)), "a.h5 accepted\n");
  write("copy.h5", odim(10, 1.F));
  EXPECT_EQ(text(settled(intake)), "copy.h5 duplicate\n");
  fs::last_write_time(radar() / "a.h5", fs::file_time_type::clock::now() + seconds(5));  // touched
  EXPECT_EQ(text(settled(intake)), "a.h5 duplicate\n");
  write("other.h5", odim(10, 2.F));
  const auto revised = settled(intake);
  EXPECT_EQ(text(revised), "other.h5 revised\n");
  EXPECT_NE(revised.at(0).reason.find("a.h5"), std::string::npos) << revised.at(0).reason;
  EXPECT_EQ(intake.frames().at(at(10)).values.at(0), 2.F);
  EXPECT_EQ(intake.file_of(at(10)).filename(), "other.h5");
  fs::last_write_time(radar() / "copy.h5", fs::file_time_type::clock::now() + seconds(9));
  EXPECT_EQ(text(settled(intake)), "copy.h5 duplicate\n");  // old values do not come back by being touched
  EXPECT_EQ(intake.frames().at(at(10)).values.at(0), 2.F);
  write("a.h5", odim(10, 3.F));  // the same name, written again
  EXPECT_EQ(text(settled(intake)), "a.h5 revised\n");
  EXPECT_EQ(intake.frames().at(at(10)).values.at(0), 3.F);
  fs::remove(radar() / "copy.h5");
  Intake again(radar(), {});  // a service that starts anew forecasts from the same
  settled(again);
  EXPECT_EQ(again.frames().at(at(10)).values.at(0), 3.F);
}

TEST_F(Arrivals, OrderIsThatOfTheTimesInside) {
  std::vector<std::int64_t> order(11);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i) + 1;
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  Intake intake(radar(), {});
  for (const std::int64_t step : order) {
    write("z" + std::to_string(100 - step) + ".h5", odim(step, static_cast<float>(step)));
    EXPECT_EQ(settled(intake).size(), 1U);
  }
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  for (const auto& [time, frame] : intake.frames())
    EXPECT_EQ(frame.values.at(0), static_cast<float>((time - at(0)).count() / 300));
}

TEST_F(Arrivals, WhatIsAheadWaitsAndWhatIsFarBackIsOfNoUse) {
  Intake intake(radar(), {});
  write("now.h5", odim(12));
  write("ahead.h5", odim(18));
  write("old.h5", odim(-20));
  EXPECT_EQ(text(settled(intake)), "old.h5 old\nnow.h5 accepted\nahead.h5 early\n");
  EXPECT_EQ(intake.waiting(), 1);
  // The clock is set back by an hour, and forward again: nothing is taken twice, nothing is lost.
  offset_ -= seconds(3600);
  EXPECT_EQ(text(intake.look(later(seconds(60)))), "");
  offset_ += seconds(3600);
  EXPECT_EQ(text(intake.look(later(seconds(60)))), "");
  EXPECT_EQ(text(intake.look(later(seconds(300 * 6 - 180)))), "ahead.h5 accepted\n");
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{12, 18}));
}

TEST_F(Arrivals, AnotherGridOrQuantityIsForeign) {
  Intake intake(radar(), {});
  write("a.h5", odim(10));
  EXPECT_EQ(text(settled(intake)), "a.h5 accepted\n");
  write("b.h5", bytes_of(rain(11, 1.F, 20)));
  const auto foreign = settled(intake);
  EXPECT_EQ(text(foreign), "b.h5 foreign\n");
  EXPECT_TRUE(foreign.at(0).reason.find("24x20") != std::string::npos &&
              foreign.at(0).reason.find("24x16") != std::string::npos)
      << foreign.at(0).reason;
  write("c.h5", odim(12));
  EXPECT_EQ(text(settled(intake)), "c.h5 accepted\n");
  // One stray file is not what the others are measured by, whatever its name.
  write("0.h5", bytes_of(rain(9, 1.F, 20)));
  write("d.h5", odim(8));
  Intake again(radar(), {});
  const std::string seen = text(settled(again));
  EXPECT_EQ(seen, "d.h5 accepted\n0.h5 foreign\na.h5 accepted\nb.h5 foreign\nc.h5 accepted\n");
}

TEST_F(Arrivals, AFolderMayGoAndComeBack) {
  fs::remove(radar());
  Intake intake(radar(), {});
  EXPECT_EQ(text(settled(intake)), "");
  EXPECT_NE(intake.trouble(), "");
  fs::create_directory(radar());
  intake.stir();
  EXPECT_EQ(text(settled(intake)), "");
  EXPECT_EQ(intake.trouble(), "");
  write("a.h5", odim(10));
  EXPECT_EQ(text(settled(intake)), "a.h5 accepted\n");
  fs::rename(radar(), folder_.path() / "away");
  EXPECT_EQ(text(settled(intake)), "");
  EXPECT_NE(intake.trouble(), "");
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{10}));  // what was read is still known
  fs::rename(folder_.path() / "away", radar());
  write("b.h5", odim(11));
  EXPECT_EQ(text(settled(intake)), "b.h5 accepted\n");  // a.h5 is not read again
  EXPECT_EQ(intake.trouble(), "");
  // Nothing but names that are left out is no trouble.
  fs::remove(radar() / "a.h5");
  fs::rename(radar() / "b.h5", radar() / "b.h5.tmp");
  EXPECT_EQ(text(settled(intake)), "");
  EXPECT_EQ(intake.trouble(), "");
  // A folder inside is looked at as well, and at once.
  fs::create_directories(radar() / "2024/06");
  write("2024/06/c.h5", odim(9));
  EXPECT_EQ(text(settled(intake)), "c.h5 accepted\n");
  write("2024/06/d.h5", odim(8));
  EXPECT_EQ(text(settled(intake)), "d.h5 accepted\n");
}

/// The newest are read, the others not even opened.
TEST_F(Arrivals, AFullFolderAtTheStartCostsWhatIsNeeded) {
  for (int i = 0; i < 2000; ++i) write("old" + std::to_string(i), "x");
  const auto before = fs::file_time_type::clock::now() - std::chrono::hours(5);
  for (int i = 0; i < 2000; ++i) fs::last_write_time(radar() / ("old" + std::to_string(i)), before);
  for (std::int64_t step = 1; step <= 8; ++step) write("f" + std::to_string(step) + ".h5", odim(step));
  IntakeSpec spec;
  spec.kept = spec.files = 8;
  Intake intake(radar(), spec);
  const std::vector<IntakeEvent> events = settled(intake);
  EXPECT_EQ(events.size(), 8U);
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(intake.waiting(), 0);
  write("f9.h5", odim(9));
  EXPECT_EQ(text(settled(intake)), "f9.h5 accepted\n");
  EXPECT_EQ(steps(intake), (std::vector<std::int64_t>{2, 3, 4, 5, 6, 7, 8, 9}));
  write("f1.h5", odim(1, 2.F));
  intake.stir();  // of so many files those that were judged are looked at when something has happened
  EXPECT_EQ(text(settled(intake)), "f1.h5 old\n");
  // Last week's files, copied in at once: no more than a few are looked at, and the newest frame is not late.
  for (int i = 0; i < 200; ++i) write("week" + std::to_string(i), "x");
  std::this_thread::sleep_for(milliseconds(20));  // a file system's clock ticks in milliseconds
  write("f10.h5", odim(10));
  const std::string seen = text(settled(intake));
  EXPECT_NE(seen.find("f10.h5 accepted\n"), std::string::npos) << seen;
  EXPECT_LE(std::count(seen.begin(), seen.end(), '\n'), 8) << seen;
}

}  // namespace
}  // namespace raincell::io
