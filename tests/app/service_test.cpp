// The rolling service with what goes wrong with frames, clocks, folders and models.
#include <sys/stat.h>

#include <cstring>

#include "tests/app/watch_world.hpp"

namespace raincell::app {
namespace {

TEST_F(Watch, IssuesANowcastForEachFrame) {
  feed(0, 9);
  note(4, 9);
  run(9);
  EXPECT_EQ(
      notes_,
      "4 OK advection\n5 OK advection\n6 OK advection\n7 OK advection\n8 OK advection\n9 OK advection\n");
  EXPECT_EQ(products().size(), 9U);  // of 1 to 9: one frame alone says no step
  const Json json = latest();
  EXPECT_EQ(json["nominal"], "2024-06-01T12:45Z");
  EXPECT_EQ(json["valid_until"], "2024-06-01T12:55Z");
  EXPECT_EQ(json["product"], "products/nowcast_20240601T1245Z.nc");
  const std::string bytes = test::read_text(out() / json["product"].get<std::string>());
  EXPECT_EQ(json["sha256"], io::sha256(std::as_bytes(std::span(bytes))));
  EXPECT_EQ(json["frames_used"].size(), 4U);
  EXPECT_EQ(json["input_age_s"].get<int>(), 17);  // 15 s until it came, and it had to be the same for 2
  EXPECT_TRUE(counts("cycles_total{status=\"ok\"} 7") && counts("cycles_total{status=\"degraded\"} 2") &&
              counts("cycles_total{status=\"missed\"} 0"))
      << metrics();
}

/// Rates stand for the time since the lead before them.
TEST_F(Watch, RainIsSummedFromTheLatestFrameOn) {
  config_.publish.accumulations_min = {10., 25., 61.};  // the last is no lead
  feed(0, 5);
  run(5);
  const io::Product made = product(5);
  ASSERT_EQ(made.accumulations.size(), 2U);
  EXPECT_EQ(made.accumulations[1].to_s, 1500);
  const auto pixels = static_cast<std::size_t>(made.grid.pixels());
  double most = 0.;
  for (std::size_t i = 0; i < pixels; ++i) {
    const double sum = (made.values[i] + made.values[pixels + i]) / 12.;
    const double there = made.accumulations[0].values[i];
    if (std::isnan(sum)) continue;
    EXPECT_NEAR(there, sum, 0.007);
    most = std::max(most, there);
  }
  EXPECT_GT(most, 0.05);
}

TEST_F(Watch, TheOrderOfArrivalChangesNothing) {
  const auto issue = [&](const std::vector<int>& order, const fs::path& to) {
    config_.output = to.string();
    config_.input = (folder_ / ("in" + to.filename().string())).string();
    fs::create_directories(config_.input);
    World world(slot(23) + seconds(5));
    for (const int i : order)
      test::write_text(fs::path(config_.input) / std::to_string(i), bytes_of(frame(i)));
    world.end(slot(23) + seconds(100));
    const Arguments arguments = parse_arguments(watch_command().spec, {"watch.yaml", "--threads", "1"});
    Service service(config_, arguments, world, nullptr, log_);
    EXPECT_THROW(service.run(), Stopped);
    return test::read_text(to / "products/nowcast_20240601T1355Z.nc");
  };
  std::vector<int> order;
  for (int i = 0; i < 24; ++i) order.push_back(i);
  const std::string ordered = issue(order, folder_ / "a");
  std::shuffle(order.begin(), order.end(), std::mt19937(7));
  EXPECT_EQ(issue(order, folder_ / "b"), ordered);
  EXPECT_GT(ordered.size(), 1000U);
}

TEST_F(Watch, WithoutANewFrameItDegradesWithholdsAndGoesStale) {
  feed(0, 6);
  note(6, 12);
  run(12);
  EXPECT_EQ(notes_,
            "6 OK advection\n7 DEGRADED advection\n8 WITHHELD withheld\n9 STALE withheld\n"
            "10 STALE withheld\n11 STALE withheld\n12 STALE withheld\n");
  const Json json = latest();
  EXPECT_TRUE(json["product"].is_null());
  EXPECT_NE(json["reason"].get<std::string>().find("12:30Z, 32:30 min old, and 10 min is allowed"),
            std::string::npos)
      << json;
  EXPECT_EQ(products().back(), "nowcast_20240601T1235Z.nc");  // and nothing old was issued again
  EXPECT_TRUE(counts("ready 0") && counts("live 1")) << metrics();
}

TEST_F(Watch, ANowcastOfAnEarlierServiceGoesStaleWithoutAFrame) {
  feed(0, 5);
  run(5);
  EXPECT_EQ(latest()["status"], "OK");
  for (const auto& old : fs::directory_iterator(in())) fs::remove(old.path());
  world_.go_to(slot(40));
  run(40);
  EXPECT_EQ(latest()["status"], "STALE");
  EXPECT_EQ(latest()["nominal"], "2024-06-01T12:25Z");
  EXPECT_TRUE(latest()["product"].is_null());
}

/// A month ahead for a moment: nothing is thrown away.
TEST_F(Watch, AClockThatIsFarAheadForAMomentCostsNoProductAndNoHistory) {
  feed(0, 10);
  world_.at(slot(7) + seconds(100), [&] { world_.set_wrong(std::chrono::hours(24 * 30)); });
  world_.at(slot(7) + seconds(103), [&] { world_.set_wrong(seconds(0)); });
  run(10);
  EXPECT_EQ(products().size(), 10U);
  EXPECT_EQ(latest()["status"], "OK");
  EXPECT_EQ(latest()["nominal"], "2024-06-01T12:50Z");
}

TEST_F(Watch, AFrameWithoutAnObservedPixelIsAGap) {
  for (int i = 0; i <= 8; ++i) {
    if (i != 6) {
      feed(i, i);
      continue;
    }
    world_.at(slot(i) + seconds(15), [this, i] {
      io::Frame off = frame(i);
      std::fill(off.values.begin(), off.values.end(), io::kMissing);
      std::fill(off.states.begin(), off.states.end(), io::PixelState::missing);
      write("off.h5", bytes_of(off));
    });
  }
  run(8);
  EXPECT_EQ(latest()["status"], "DEGRADED");
  EXPECT_EQ(latest()["frames_filled"], 1);
  EXPECT_EQ(product(8).frames_used.size(), 3U);
}

TEST_F(Watch, AGapIsFilledAndSaid) {
  for (int i = 0; i <= 9; ++i)
    if (i != 6) feed(i, i);
  note(5, 9);
  run(9);
  EXPECT_EQ(notes_,
            "5 OK advection\n6 DEGRADED advection\n7 DEGRADED advection\n8 DEGRADED advection\n9 DEGRADED "
            "advection\n");
  const io::Product made = product(8);
  EXPECT_EQ(made.frames_filled, 1);
  EXPECT_EQ(made.status, "DEGRADED");
  EXPECT_EQ(made.frames_used.size(), 3U);  // 5, 7, 8
  const Json json = latest();
  EXPECT_EQ(json["frames_filled"], 1);
  EXPECT_NE(json["reason"].get<std::string>().find("filled by advection"), std::string::npos) << json;
  EXPECT_TRUE(counts("frames_filled_total 3")) << metrics();
}

TEST_F(Watch, ALateFrameIsThereForTheNextCycleAndARevisionOnlyWhereThatIsWanted) {
  for (const bool revise : {false, true}) {
    SCOPED_TRACE(revise);
    World world(slot(-1));
    config_.publish.revise = revise;
    config_.output = (folder_ / (revise ? "revised" : "plain")).string();
    for (const auto& old : fs::directory_iterator(in())) fs::remove(old.path());
    for (int i = 0; i <= 8; ++i)
      world.at(slot(i) + (i == 6 ? seconds(190) : seconds(15)), [this, i] { arrive(i); });
    std::string text;
    const auto look = [&] {
      const Json json = Json::parse(test::read_text(fs::path(config_.output) / "latest.json"));
      text += json["status"].get<std::string>() + " " + json["product"].get<std::string>() + "\n";
    };
    world.at(slot(6) + seconds(160), look);
    world.at(slot(6) + seconds(230), look);
    world.at(slot(7) + seconds(60), look);
    world.end(slot(8));
    const Arguments arguments = parse_arguments(watch_command().spec, {"watch.yaml", "--threads", "1"});
    Service service(config_, arguments, world, nullptr, log_);
    EXPECT_THROW(service.run(), Stopped);
    const std::string first = "DEGRADED products/nowcast_20240601T1230Z.nc\n";
    EXPECT_EQ(text, first + (revise ? "OK products/nowcast_20240601T1230Z_r1.nc\n" : first) +
                        "OK products/nowcast_20240601T1235Z.nc\n");
  }
}

/// Of two products from one frame, that of its own cycle.
TEST_F(Watch, ItsProductsCanBeVerified) {
  for (int i = 0; i <= 9; ++i) feed(i, i, i == 6 ? seconds(190) : seconds(15));
  run(9);
  EXPECT_EQ(product(6).reference_time, slot(5));
  StoredProducts stored("watch", out() / "products", log_);
  EXPECT_TRUE(stored.has(slot(5)) && stored.has(slot(7)));
  EXPECT_FALSE(stored.has(slot(6)));
  stored.choose(slot(5), product(5).grid, io::Quantity::rain_rate, 300);
  const auto pixels = static_cast<std::size_t>(product(5).grid.pixels());
  const std::vector<float> last(pixels);
  const auto forecast = stored.forecast({1, 32, 40, last}, 1);
  EXPECT_NEAR(forecast.values[100], product(5).values[100], 0.006);
}

TEST_F(Watch, AClockThatIsSetWrongNeitherStopsItNorRepeatsACycle) {
  feed(0, 20);
  world_.at(slot(5) + seconds(100), [&] { world_.set_wrong(std::chrono::hours(1)); });
  world_.at(slot(8), [&] { world_.set_wrong(seconds(0)); });
  world_.at(slot(12) + seconds(100), [&] { world_.set_wrong(-std::chrono::hours(1)); });
  world_.at(slot(14) + seconds(100), [&] { world_.set_wrong(seconds(0)); });
  std::string states;
  for (const int i : {5, 9, 12, 15, 20})
    world_.at(slot(i) + seconds(40),
              [&] { states += latest()["nominal"].get<std::string>().substr(11, 5) + " "; });
  run(20);
  // An hour ahead, frames are too old; an hour back, they wait; and then it goes on at once.
  EXPECT_EQ(states, "12:25 12:45 13:00 13:15 13:40 ");
  std::vector<std::string> names = products();
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  for (const std::string& name : names) EXPECT_EQ(name.find("_r1"), std::string::npos) << name;
  EXPECT_EQ(latest()["status"], "OK");
}

TEST_F(Watch, AnotherTimeZoneChangesNothing) {
  ASSERT_EQ(::setenv("TZ", "Europe/Berlin", 1), 0);
  ::tzset();
  feed(0, 5);
  run(5);
  ::unsetenv("TZ");
  ::tzset();
  EXPECT_EQ(latest()["product"], "products/nowcast_20240601T1225Z.nc");
}

TEST_F(Watch, AModelThatIsTooSlowIsPassedOver) {
  config_.forecaster = "convlstm";
  config_.cycle.budget_s = 0;  // no model is as fast as that
  feed(0, 8);
  run(8);
  const Json json = latest();
  EXPECT_EQ(json["status"], "DEGRADED");
  EXPECT_EQ(json["rung"], "advection");
  EXPECT_TRUE(json["model"].is_null());
  EXPECT_NE(json["reason"].get<std::string>().find("convlstm"), std::string::npos) << json;
  EXPECT_EQ(products().size(), 8U);
}

/// Numbers that are each fine, and of which no forecast can be made.
TEST_F(Watch, AModelWhoseForecastIsNotFiniteIsPassedOver) {
  std::string bytes = test::read_text(*shipped_weights());
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const float huge = 3e38F;
  for (std::size_t at = 8 + header; at + sizeof huge <= bytes.size(); at += sizeof huge)
    std::memcpy(bytes.data() + at, &huge, sizeof huge);
  config_.forecaster = "convlstm";
  config_.model = (folder_ / "huge.safetensors").string();
  test::write_text(config_.model, bytes);
  feed(0, 6);
  run(6);
  const Json json = latest();
  EXPECT_EQ(json["status"], "DEGRADED");
  EXPECT_EQ(json["rung"], "advection");
  EXPECT_NE(json["reason"].get<std::string>().find("not finite"), std::string::npos) << json;
  for (const float value : product(6).values) EXPECT_FALSE(std::isinf(value));
}

TEST_F(Watch, ANetworkSeesAsManyFramesAsThereAre) {
  config_.forecaster = "convlstm";
  feed(0, 6);
  note(1, 6);
  run(6);
  EXPECT_EQ(notes_,
            "1 DEGRADED convlstm, shorter history\n2 DEGRADED convlstm, shorter history\n"
            "3 DEGRADED convlstm, shorter history\n4 OK convlstm\n5 OK convlstm\n6 OK convlstm\n");
  EXPECT_EQ(product(2).frames_used.size(), 3U);
  EXPECT_EQ(product(5).frames_used.size(), 5U);
}

TEST_F(Watch, AfterARestartNothingIsIssuedTwiceAndWhatWasMissedIsCounted) {
  feed(0, 12);
  run(5);
  const std::string before = test::read_text(out() / "products/nowcast_20240601T1225Z.nc");
  const auto written = fs::last_write_time(out() / "products/nowcast_20240601T1225Z.nc");
  // Killed after a product was put there and before it was announced: it was never issued.
  test::write_text(out() / "products/nowcast_20240601T1230Z.nc", "unannounced");
  test::write_text(out() / "products/.nowcast_20240601T1230Z.nc.unchecked", "half");
  test::write_text(out() / ".latest.json.123-4.tmp", "half");
  world_.go_to(slot(5) + seconds(260));
  run(5);  // at once again
  EXPECT_EQ(fs::last_write_time(out() / "products/nowcast_20240601T1225Z.nc"), written);
  EXPECT_FALSE(fs::exists(out() / "products/nowcast_20240601T1230Z.nc"));
  EXPECT_FALSE(fs::exists(out() / "products/.nowcast_20240601T1230Z.nc.unchecked"));
  EXPECT_FALSE(fs::exists(out() / ".latest.json.123-4.tmp"));
  for (int i = 6; i <= 8; ++i) arrive(i);  // came while nobody watched
  world_.go_to(slot(8) + seconds(30));
  run(9);
  EXPECT_EQ(test::read_text(out() / "products/nowcast_20240601T1225Z.nc"), before);
  EXPECT_EQ(latest()["nominal"], "2024-06-01T12:45Z");
  EXPECT_TRUE(counts("cycles_total{status=\"missed\"} 2")) << metrics();  // of 6 and 7
}

TEST_F(Watch, TwoServicesOnOneOutputAreOneTooMany) {
  const Publication first(config_, log_);
  try {
    const Publication second(config_, log_);
    FAIL() << "it was let in";
  } catch (const UsageError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("another raincell (process "), std::string::npos) << what;
    EXPECT_NE(what.find("choose another output"), std::string::npos) << what;
  }
}

TEST_F(Watch, OnlyItsOwnOldProductsAreRemoved) {
  config_.publish.keep_s = 1240;
  feed(0, 12);
  run(3);
  test::write_text(out() / "products/mine.nc", "a user's");
  test::write_text(out() / "products/nowcast_20240601T9999Z.nc", "no time");
  test::write_text(folder_ / "elsewhere.nc", "linked to");
  fs::create_symlink(folder_ / "elsewhere.nc", out() / "products/nowcast_20240601T0000Z.nc");
  fs::create_directories(folder_ / "pictures");
  test::write_text(folder_ / "pictures/lead_005min.png", "linked to");
  fs::create_directory_symlink(folder_ / "pictures", out() / "maps/20240601T1205Z");
  run(12);
  EXPECT_TRUE(fs::exists(out() / "products/mine.nc"));
  EXPECT_TRUE(fs::exists(out() / "products/nowcast_20240601T9999Z.nc"));
  EXPECT_TRUE(fs::is_symlink(out() / "products/nowcast_20240601T0000Z.nc"));
  EXPECT_TRUE(fs::exists(folder_ / "elsewhere.nc"));
  EXPECT_TRUE(fs::exists(folder_ / "pictures/lead_005min.png"));
  EXPECT_FALSE(fs::exists(out() / "products/nowcast_20240601T1205Z.nc"));
  EXPECT_TRUE(fs::exists(out() / "products/nowcast_20240601T1240Z.nc"));  // not 20 minutes and 40 seconds old
  EXPECT_FALSE(fs::exists(out() / "products/nowcast_20240601T1235Z.nc"));

  config_.publish.keep_s = 86400;
  config_.publish.keep_products = 2;
  feed(13, 14);
  run(14);
  std::int64_t ours = 0;
  for (const std::string& name : products()) ours += name.find("T13") != std::string::npos ? 1 : 0;
  EXPECT_EQ(ours, 2);
  EXPECT_TRUE(fs::exists(out() / latest()["product"].get<std::string>()));
}

TEST_F(Watch, WhatCannotBeWrittenIsSaidAndTriedAgain) {
  feed(0, 9);
  world_.at(slot(5), [&] {  // a file where the folder was: as good as a full disk, for root as well
    fs::rename(out() / "products", out() / "away");
    test::write_text(out() / "products", "");
  });
  world_.at(slot(7), [&] {
    EXPECT_EQ(latest()["nominal"], "2024-06-01T12:20Z");  // the last that there is
    fs::remove(out() / "products");
    fs::rename(out() / "away", out() / "products");
  });
  run(9);
  EXPECT_EQ(latest()["nominal"], "2024-06-01T12:45Z");
  EXPECT_TRUE(counts("cycles_total{status=\"failed\"} 2")) << metrics();
  EXPECT_FALSE(fs::exists(out() / "products/nowcast_20240601T1230Z.nc"));
  EXPECT_TRUE(fs::exists(out() / "products/nowcast_20240601T1235Z.nc"));
}

TEST_F(Watch, AnInputFolderThatGoesIsWaitedFor) {
  feed(0, 3);
  world_.at(slot(4), [&] { fs::rename(in(), folder_ / "gone"); });
  world_.at(slot(6), [&] { fs::rename(folder_ / "gone", in()); });
  feed(6, 10);
  run(10);
  EXPECT_EQ(latest()["nominal"], "2024-06-01T12:50Z");
  EXPECT_FALSE(counts("input_folder_failures_total 0")) << metrics();
}

TEST_F(Watch, FilesThatAreNoFramesAreRefusedAndListed) {
  feed(0, 6);
  world_.at(slot(2), [&] {
    write("notes.txt", "no radar file");
    ASSERT_EQ(::mkfifo((in() / "pipe.h5").c_str(), 0600), 0);
    fs::create_symlink("/etc/passwd", in() / "link.h5");
    io::Frame other = frame(2);
    other.grid.dx = other.grid.dy = 2000.;
    write("other.h5", bytes_of(other));
  });
  run(6);
  EXPECT_EQ(latest()["status"], "OK");
  const std::string rejected = test::read_text(out() / "rejected.jsonl");
  EXPECT_NE(rejected.find("notes.txt"), std::string::npos) << rejected;
  EXPECT_NE(rejected.find("other.h5"), std::string::npos) << rejected;
  EXPECT_EQ(rejected.find("passwd"), std::string::npos) << rejected;
  EXPECT_TRUE(counts("input_files_total{result=\"foreign\"} 1")) << metrics();
}

/// The shipped weights again, under another hash: as good as those in use to the last bit.
std::string other_weights() {
  const fs::path shipped = *shipped_weights();
  test::Folder folder;
  fs::copy_file(shipped, folder / "other.safetensors");
  add_metadata(folder / "other.safetensors", {{"remark", "the same once more"}});
  return test::read_text(folder / "other.safetensors");
}

TEST_F(Watch, NewWeightsAreTriedBesideTheOldAndUsedWhenTheyAreNotWorse) {
  config_.forecaster = "convlstm";
  config_.weights.min_cases = 4;
  config_.model = (folder_ / "mine.safetensors").string();
  fs::copy_file(*shipped_weights(), config_.model);
  const std::string old_hash = read_weights_info(config_.model).hash;
  feed(0, 60);
  world_.at(slot(5) + seconds(60), [&] { test::write_text(config_.model, other_weights()); });
  std::string hashes;
  for (int i = 5; i <= 60; ++i)
    world_.at(slot(i) + seconds(200), [&] {
      const std::string hash = latest()["model_sha256"].get<std::string>();
      hashes += hash == old_hash ? "o" : hash == read_weights_info(config_.model).hash ? "n" : "?";
    });
  run(60);
  // Loading them takes as long as it takes; four nowcasts and a truth come after it, and then they are used.
  const std::size_t turn = hashes.find('n');
  ASSERT_NE(turn, std::string::npos) << hashes;
  EXPECT_GE(turn, 6U);
  EXPECT_EQ(hashes, std::string(turn, 'o') + std::string(hashes.size() - turn, 'n'));
  EXPECT_EQ(latest()["status"], "OK");
  // What was promoted stays in use after a restart.
  world_.go_to(slot(61) - seconds(5));
  feed(61, 62);
  run(62);
  EXPECT_NE(latest()["model_sha256"], old_hash);
}

TEST_F(Watch, BrokenOrForeignWeightsChangeNothing) {
  config_.forecaster = "convlstm";
  config_.weights.min_cases = 2;
  config_.model = (folder_ / "mine.safetensors").string();
  fs::copy_file(*shipped_weights(), config_.model);
  const std::string hash = read_weights_info(config_.model).hash, whole = test::read_text(config_.model);
  feed(0, 16);
  world_.at(slot(5), [&] { test::write_text(config_.model, whole.substr(0, whole.size() / 2)); });
  world_.at(slot(8), [&] { test::write_text(config_.model, "no weights"); });
  world_.at(slot(11), [&] { fs::remove(config_.model); });
  run(14);
  EXPECT_EQ(latest()["model_sha256"], hash);
  EXPECT_EQ(latest()["status"], "OK");
  const std::string decided = test::read_text(out() / "weights/state.json");
  EXPECT_NE(decided.find("are left alone"), std::string::npos) << decided;
}

/// Row by row of what health depends on.
TEST(Health, IsLiveWhileItGoesRoundAndReadyWhileItsWordIsGood) {
  for (int bits = 0; bits < 16; ++bits) {
    Health health;
    health.since_round = seconds((bits & 1) != 0 ? 10 : 900);
    health.model_ready = (bits & 2) != 0;
    health.output_writable = (bits & 4) != 0;
    health.product_valid = (bits & 8) != 0;
    EXPECT_EQ(health.live(), (bits & 1) != 0);
    EXPECT_EQ(health.unready().empty(), bits == 15) << bits;
  }
}

}  // namespace
}  // namespace raincell::app
