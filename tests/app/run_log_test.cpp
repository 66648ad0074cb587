// What a training tells others: TensorBoard's records, Prometheus' text, and that a sink that fails is no
// reason to stop.
#include "app/run_log.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <regex>
#include <sstream>

#include "app/tensorboard.hpp"
#include "tests/app/program.hpp"

namespace {

using namespace raincell;
using test::Folder;
namespace fs = std::filesystem;

template <class Number>
Number number_at(const std::string& bytes, std::size_t at) {
  Number value{};
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// The events of a file, each with its checksums verified.
std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> events;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto length = static_cast<std::size_t>(number_at<std::uint64_t>(bytes, at));
    EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 8), app::masked_crc32c(bytes.substr(at, 8)));
    events.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 12 + length), app::masked_crc32c(events.back()));
    at += 16 + length;
  }
  EXPECT_EQ(at, bytes.size());
  return events;
}

std::string only_events_file(const fs::path& folder) {
  std::string found;
  for (const std::string& name : test::files_below(folder)) {
    if (name.rfind("events.out.tfevents.", 0) != 0) continue;
    EXPECT_TRUE(found.empty()) << "two files";
    found = name;
  }
  return found;
}

// CRC-32C of "123456789" is 0xE3069283 (RFC 3720's polynomial); turned right by 15 bits plus 0xa282ead8, that
// is:
TEST(TensorBoard, ChecksumsAreThoseOfTensorFlow) {
  EXPECT_EQ(app::masked_crc32c("123456789"), 0xc78ab0e5U);
}

TEST(TensorBoard, EventsCarryStepTagAndValue) {
  const Folder folder;
  app::EventFile file(folder.path(), 7);
  file.scalars(300, {{"training/loss", 0.25}, {"a", -2.}});
  const auto events = records(test::read_text(folder / only_events_file(folder.path())));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  // After nine bytes of wall time: field 2, a varint. 8 = the first step that is new.
  EXPECT_EQ(events[1].substr(9, 2), std::string("\x10\x08"));
  EXPECT_EQ(events[1].substr(11), std::string("\x3a\x02\x08\x01"));  // session_log { status: START }
  EXPECT_EQ(events[2].substr(9, 3), std::string("\x10\xac\x02"));    // 300
  // summary { value { tag: "training/loss" simple_value: 0.25 } value { tag: "a" simple_value: -2 } }
  const std::string quarter("\x15\x00\x00\x80\x3e", 5), minus_two("\x15\x00\x00\x00\xc0", 5);
  EXPECT_EQ(events[2].substr(12), "\x2a\x20\x0a\x14\x0a\x0dtraining/loss" + quarter +
                                      "\x0a\x08\x0a\x01"
                                      "a" +
                                      minus_two);
}

TEST(Prometheus, EveryLineIsOfTheExpositionFormat) {
  app::TrainingState state;
  state.step = 12;
  state.skipped = 3;
  state.loss = 0.5;
  state.validation_loss = NAN;
  const std::string text = app::prometheus_text(state, "0.1 \"x\"\n\\");
  const std::regex sample(R"(raincell_[a-z_]+(\{[a-z_]+="([^"\\]|\\["\\n])*"\})? [-+0-9.e]+)"),
      comment("# (HELP|TYPE) raincell_.*");
  std::istringstream lines(text);
  std::map<std::string, std::string> values;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(std::regex_match(line, sample) || std::regex_match(line, comment)) << line;
    values[line.substr(0, line.rfind(' '))] = line.substr(line.rfind(' ') + 1);
  }
  EXPECT_EQ(values[R"(raincell_build_info{version="0.1 \"x\"\n\\"})"], "1");
  EXPECT_EQ(values["raincell_train_step"], "12");
  EXPECT_EQ(values["raincell_train_updates_skipped_total{reason=\"non_finite\"}"], "3");
  EXPECT_EQ(values["raincell_train_updates_skipped_total{reason=\"no_valid_pixel\"}"], "0");
  EXPECT_EQ(values.count("raincell_train_validation_loss"), 0U);  // there is none yet
  EXPECT_EQ(text.find("nan"), std::string::npos);
}

TEST(RunLog, ASinkThatFailsIsSaidOnceAndTakenUpAgain) {
  const Folder folder;
  const fs::path gone = folder / "later";
  testing::internal::CaptureStderr();
  app::Log log;
  app::RunLog run_log(gone, log);
  for (int step = 1; step <= 3; ++step) run_log.line({{"step", step}, {"loss", 0.5}});
  fs::create_directory(gone);
  run_log.line({{"step", 4}, {"loss", 0.25}});
  run_log.event(4, "resumed", {});
  const std::string said = testing::internal::GetCapturedStderr();
  std::size_t warnings = 0;
  for (auto at = said.find("warning"); at != std::string::npos; at = said.find("warning", at + 1)) ++warnings;
  EXPECT_EQ(warnings, 2U) << said;  // metrics.jsonl and the events, once each
  EXPECT_NE(said.find("metrics.jsonl: can be written again"), std::string::npos) << said;
  EXPECT_EQ(test::read_text(gone / "metrics.jsonl"),
            "{\"step\":4,\"loss\":0.25}\n{\"step\":4,\"event\":\"resumed\"}\n");
  EXPECT_EQ(records(test::read_text(gone / only_events_file(gone))).size(), 3U);
}

}  // namespace
