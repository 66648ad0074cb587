// simulate -> pack -> train -> nowcast -> verify as a user does it, on small sizes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/app/small_run.hpp"

namespace {

using namespace raincell;
using test::expect_ok;
using test::Folder;
using test::make_archive;
using test::run_raincell;
using Json = nlohmann::json;

class Pipeline : public testing::TestWithParam<const char*> {};

TEST_P(Pipeline, GoesFromFilesToScores) {
  const Folder folder;
  make_archive(folder, GetParam());
  const auto report = run_raincell(folder.path(), {"pack", "radar", "--output", "again.nc", "--json"});
  expect_ok(report);
  const Json packed = Json::parse(report.out);
  EXPECT_EQ(packed["frames"], 29);
  ASSERT_EQ(packed["gaps"].size(), 1U);
  EXPECT_EQ(packed["gaps"][0]["missing_frames"], 1);
  EXPECT_LT(packed["covered_fraction"], 1.);

  expect_ok(run_raincell(folder.path(), {"train", "small.yaml", "--run", "run", "--threads", "1"}));
  for (const char* name :
       {"config.yaml", "env.json", "metrics.jsonl", "best.safetensors", "last.safetensors", "report.html"}) {
    EXPECT_TRUE(std::filesystem::exists(folder / "run" / name)) << name;
  }
  const auto nowcast =
      run_raincell(folder.path(), {"nowcast", "--model", "run/best.safetensors", "--input", "radar", "--at",
                                   "2024-06-01T02:00Z", "--output", "out.nc", "--png", "maps", "--json"});
  expect_ok(nowcast);
  const Json product = Json::parse(nowcast.out);
  EXPECT_EQ(product["reference_time"], "2024-06-01T02:00Z");
  EXPECT_EQ(product["lead_minutes"], Json({5., 10., 15.}));
  EXPECT_EQ(product["pictures"].size(), 4U);
  for (const auto& picture : product["pictures"]) {
    EXPECT_TRUE(std::filesystem::exists(folder / picture.get<std::string>()));
  }
  const auto inspected =
      run_raincell(folder.path(), {"inspect", "out.nc", "archive.nc", "run/best.safetensors", "--json"});
  expect_ok(inspected);
  EXPECT_NE(inspected.out.find("\"format\":\"product\""), std::string::npos);
  EXPECT_NE(inspected.out.find("\"format\":\"archive\""), std::string::npos);
  EXPECT_NE(inspected.out.find("\"format\":\"weights\""), std::string::npos);

  expect_ok(run_raincell(
      folder.path(),
      {"verify", "--model", "run/best.safetensors", "--input", "radar", "--from", "2024-06-01T01:05Z", "--to",
       "2024-06-01T02:25Z", "--forecasters", "persistence,advection,convlstm,blend", "--fss-scales", "2,8",
       "--json", "scores.json", "--report", "scores.html"}));
  const Json scores = Json::parse(test::read_text(folder / "scores.json"));
  EXPECT_EQ(scores["cases"], 12);  // 17 frames from 01:05 to 02:25, 3 + 3 a case
  EXPECT_EQ(scores["scores"].size(), 4U * 3U * 7U);
  EXPECT_EQ(scores["continuous"].size(), 12U);
  EXPECT_EQ(scores["protocol"], "default");
  std::set<int> scales;
  for (const Json& score : scores["fss"]) scales.insert(score["scale_pixels"].get<int>());
  EXPECT_EQ(scales, (std::set<int>{2, 8}));
  const auto keys = [](const Json& object) {
    std::set<std::string> names;
    for (const auto& [name, value] : object.items()) names.insert(name);
    return names;
  };
  EXPECT_EQ(keys(scores["scores"][0]),
            (std::set<std::string>{"forecaster", "lead_minutes", "threshold_mm_h", "csi", "pod", "far", "hss",
                                   "ets", "bias", "hits", "misses", "false_alarms", "correct_negatives",
                                   "filled_pixels"}));
  EXPECT_EQ(keys(scores["continuous"][0]), (std::set<std::string>{"forecaster", "lead_minutes", "mse", "mae",
                                                                  "me", "correlation", "pixels"}));
  EXPECT_TRUE(scores["scores"][6]["csi"].is_null());  // of 30 mm/h, which never occurs here
  EXPECT_EQ(test::read_text(folder / "scores.html").rfind("<!", 0), 0U);
}

TEST(Verify, ScoresStoredProductsLikeTheForecasterThatMadeThem) {
  const Folder folder;
  expect_ok(run_raincell(
      folder.path(), {"simulate", "--output", "radar", "--frames", "20", "--size", "64x64", "--seed", "5"}));
  std::filesystem::create_directory(folder / "stored");
  for (const char* minute : {"20", "30"}) {
    expect_ok(run_raincell(
        folder.path(), {"nowcast", "--input", "radar", "--at", std::string("2024-06-01T00:") + minute + "Z",
                        "--forecaster", "advection", "--output", std::string("stored/") + minute + ".nc"}));
  }
  const std::vector<std::string> verify = {
      "verify", "--input", "radar", "--from", "2024-06-01T00:00Z", "--to", "2024-06-01T01:35Z"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), verify.begin(), verify.end());
    return run_raincell(folder.path(), more);
  };
  const auto outcome = with({"--forecasters", "advection", "--products", "stored=stored", "--json", "-"});
  expect_ok(outcome);
  EXPECT_NE(outcome.err.find("2 products from 2024-06-01T00:20Z to 2024-06-01T00:30Z; 2 of 4 cases have one"),
            std::string::npos)
      << outcome.err;
  const Json scores = Json::parse(outcome.out);
  EXPECT_EQ(scores["cases"], 2);
  const Json &continuous = scores["continuous"], &tables = scores["scores"];
  ASSERT_EQ(continuous.size(), 24U);
  for (std::size_t lead = 0; lead < 12; ++lead) {
    const Json &own = continuous[lead], &stored = continuous[12 + lead];
    EXPECT_EQ(stored["forecaster"], "stored");
    EXPECT_EQ(stored["pixels"], own["pixels"]);
    EXPECT_GT(own["mse"].get<double>(), 0.);
    // Products hold hundredths of mm/h.
    EXPECT_NEAR(stored["mse"].get<double>(), own["mse"].get<double>(),
                1e-3 + 0.005 * own["mae"].get<double>());
  }
  for (std::size_t i = 0; i < tables.size() / 2; ++i)
    EXPECT_EQ(tables[tables.size() / 2 + i]["filled_pixels"], 0);
  const auto refused = [&](std::vector<std::string> more, const std::string& why) {
    const auto wrong = with(std::move(more));
    EXPECT_NE(wrong.code, 0);
    EXPECT_NE(wrong.err.find(why), std::string::npos) << wrong.err;
  };
  refused({"--products", "stored"}, "expected NAME=DIR");
  refused({"--products", "advection=stored"}, "there is a forecaster advection already");
  refused({"--forecasters", "persistence", "--products", "convlstm=stored"},
          "there is a forecaster convlstm");
  refused({"--products", "a=stored", "--products", "a=stored"}, "there is a forecaster a already");
  refused({"--products", "a=radar"}, "holds no product (*.nc) that can be read");
}

INSTANTIATE_TEST_SUITE_P(Formats, Pipeline, testing::Values("odim", "cf"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(Formats, BothGiveTheSameFrames) {
  const Folder odim, cf;
  make_archive(odim, "odim");
  make_archive(cf, "cf");
  const Json a = Json::parse(run_raincell(odim.path(), {"inspect", "archive.nc", "--json"}).out);
  const Json b = Json::parse(run_raincell(cf.path(), {"inspect", "archive.nc", "--json"}).out);
  EXPECT_EQ(a["hash"], b["hash"]);
}

TEST(Forecasters, BlendAsksForRatesAndSaysSo) {
  const Folder folder;
  make_archive(folder, "odim");
  expect_ok(run_raincell(folder.path(), {"train", "small.yaml", "--run", "run", "--set", "training.steps=1",
                                         "--set", "model.thresholds=[0.1, 2]", "--set", "loss.kind=bce"}));
  const auto blend = run_raincell(folder.path(), {"nowcast", "--model", "run/last.safetensors", "--input",
                                                  "radar", "--forecaster", "blend", "--output", "no.nc"});
  EXPECT_EQ(blend.code, 2);
  EXPECT_NE(blend.err.find("forecasts probabilities, which cannot be blended"), std::string::npos)
      << blend.err;
  // And verify does not ask for it by itself.
  const auto verify =
      run_raincell(folder.path(), {"verify", "--model", "run/last.safetensors", "--input", "radar", "--from",
                                   "2024-06-01T01:05Z", "--to", "2024-06-01T01:45Z", "--json", "-",
                                   "--report", "scores.html"});
  expect_ok(verify);
  EXPECT_EQ(verify.out.find("blend"), std::string::npos);
  // Their Brier score and reliability are in the scores and on the page.
  const Json scores = Json::parse(verify.out), &probabilities = scores["probabilities"];
  ASSERT_EQ(probabilities.size(), 2U * 3U);  // thresholds, leads
  bool with_events = false;
  for (const Json& score : probabilities) {
    std::int64_t pixels = 0;
    double events = 0.;
    for (const Json& bin : score["reliability"]) {
      const auto count = bin["pixels"].get<std::int64_t>();
      pixels += count;
      if (count > 0) events += static_cast<double>(count) * bin["observed"].get<double>();
    }
    EXPECT_EQ(pixels, score["pixels"].get<std::int64_t>());
    EXPECT_EQ(score["reliability"].size(), 10U);
    const double frequency = events / static_cast<double>(pixels), climate = frequency * (1. - frequency);
    if (climate == 0.) {
      EXPECT_TRUE(score["brier_skill"].is_null());
      continue;
    }
    with_events = true;
    EXPECT_NEAR(score["brier_skill"].get<double>(), 1. - score["brier"].get<double>() / climate, 1e-9);
  }
  EXPECT_TRUE(with_events);
  const std::string page = test::read_text(folder / "scores.html");
  EXPECT_NE(page.find("Brier skill at 2 mm/h"), std::string::npos);
  EXPECT_NE(verify.out.find("convlstm"), std::string::npos);
}

// Of a file with many frames those that follow are kept when one is asked for.
TEST(Verify, OneFileOfAllFramesScoresLikeAFolderOfThem) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto scores = [&](const std::string& input) {
    const auto outcome = run_raincell(
        folder.path(), {"verify", "--input", input, "--from", "2024-06-01T00:00Z", "--to",
                        "2024-06-01T02:25Z", "--past", "3", "--horizon", "15min", "--json", "-"});
    expect_ok(outcome);
    return Json::parse(outcome.out);
  };
  const Json one = scores("archive.nc"), many = scores("radar");
  EXPECT_GT(many["cases"].get<int>(), 10);
  EXPECT_EQ(one["scores"], many["scores"]);
  EXPECT_EQ(one["continuous"], many["continuous"]);
}

TEST(Verify, TakesShippedWeightsWhereTheyAreForSuchFrames) {
  const Folder folder;
  make_archive(folder, "odim");
  expect_ok(
      run_raincell(folder.path(), {"train", "small.yaml", "--run", "run", "--set", "training.steps=1"}));
  const auto verify = [&](const std::string& input, const std::string& weights) {
    test::Limits limits;
    limits.shipped_weights = weights;
    return run_raincell(
        folder.path(),
        {"verify", "--input", input, "--from", "2024-06-01T00:00Z", "--to", "2024-06-02T12:00Z", "--past",
         "3", "--horizon", input == "radar" ? "15min" : "3h", "--json", "-"},
        limits);
  };
  const auto with = verify("radar", "run/last.safetensors"), without = verify("radar", "");
  expect_ok(with);
  expect_ok(without);
  for (const char* forecaster : {"\"convlstm\"", "\"blend\""}) {
    EXPECT_NE(with.out.find(forecaster), std::string::npos);
    EXPECT_EQ(without.out.find(forecaster), std::string::npos);
  }
  const auto wrong = verify("radar", "elsewhere.safetensors");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_NE(wrong.err.find("RAINCELL_WEIGHTS=elsewhere.safetensors: no such file"), std::string::npos)
      << wrong.err;
  // Hourly frames are nothing that they know.
  expect_ok(run_raincell(
      folder.path(), {"simulate", "--output", "hourly", "--frames", "8", "--size", "64x64", "--step", "1h"}));
  const auto hourly = verify("hourly", "run/last.safetensors");
  expect_ok(hourly);
  EXPECT_EQ(hourly.out.find("convlstm"), std::string::npos);
  EXPECT_NE(hourly.out.find("advection"), std::string::npos);
}

TEST(Plan, CountsTheArchiveWhenItIsThere) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto plan = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"plan", "small.yaml", "--json", "--threads", "1"});
    const auto outcome = run_raincell(folder.path(), options);
    expect_ok(outcome);
    return Json::parse(outcome.out);
  };
  const Json with = plan({}), without = plan({"--set", "data.archive=none.nc"}),
             large = plan({"--set", "training.batch=64"}), sized = plan({"--size", "48x48"});
  EXPECT_EQ(with["archive_read"], true);
  EXPECT_EQ(with["columns"], 32);
  EXPECT_EQ(with["forecast_columns"], 40);  // a nowcast takes whole frames
  EXPECT_EQ(with["forecast_rows"], 36);
  EXPECT_TRUE(with["batch_load_seconds"].is_number());
  EXPECT_EQ(without["archive_read"], false);
  EXPECT_EQ(without["forecast_columns"], 32);
  EXPECT_TRUE(without["batch_load_seconds"].is_null());
  EXPECT_EQ(sized["archive_read"], false);
  EXPECT_EQ(sized["columns"], 48);
  // The difference: 62 batches' worth of tensors in training, at least the gates of the 6 steps of 16x16.
  const std::int64_t gates = std::int64_t{62} * 6 * 4 * 6 * 16 * 16 * 4;
  EXPECT_GT(large["host_bytes"].get<std::int64_t>(), with["host_bytes"].get<std::int64_t>() + gates);
  EXPECT_GT(with["step_seconds_estimate"], 0.);
  EXPECT_GE(with["step_seconds_estimate"], with["compute_seconds_estimate"]);
}

TEST(Bench, TimesTheLoader) {
  const Folder folder;
  make_archive(folder, "odim");
  const auto outcome = run_raincell(
      folder.path(), {"bench", "./small.yaml", "--only", "loader", "--repetitions", "2", "--json"});
  expect_ok(outcome);
  const Json found = Json::parse(outcome.out);
  EXPECT_EQ(found["measure"], "loader");
  EXPECT_EQ(found["workers"], 1);
  EXPECT_EQ(found["columns"], 32);
  // 2 samples of 3 past and 3 future frames a batch.
  EXPECT_NEAR(found["frames_per_s"].get<double>() * found["median_ms"].get<double>(), 12e3, 1e-6);
  EXPECT_GT(found["peak_bytes"], 0);
  const auto without = run_raincell(
      folder.path(), {"bench", "./small.yaml", "--only", "loader", "--set", "data.archive=none.nc"});
  EXPECT_EQ(without.code, 3);
  EXPECT_NE(without.err.find("none.nc"), std::string::npos) << without.err;
}

/// Sets every weight of a tensor of a safetensors file.
void overwrite(const std::filesystem::path& file, const std::string& tensor, float value) {
  std::string bytes = test::read_text(file);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const Json header = Json::parse(bytes.substr(8, length));
  const auto range = header.at(tensor).at("data_offsets");
  for (auto at = range[0].get<std::size_t>(); at < range[1].get<std::size_t>(); at += sizeof value) {
    std::memcpy(bytes.data() + 8 + length + at, &value, sizeof value);
  }
  test::write_text(file, bytes);
}

TEST(Forecasts, ThatAreNotFiniteAreNeverMissing) {
  const Folder folder;
  make_archive(folder, "odim");
  expect_ok(run_raincell(folder.path(), {"train", "small.yaml", "--run", "run", "--threads", "1"}));
  const auto weights = folder / "run/best.safetensors";
  for (const float value : {3e38F, std::nanf("")}) {
    overwrite(weights, "head.out.weight", value);
    const auto nowcast = run_raincell(folder.path(), {"nowcast", "--model", weights, "--input", "radar",
                                                      "--output", "out.nc", "--png", "maps"});
    const auto verify = run_raincell(
        folder.path(), {"verify", "--model", weights, "--input", "radar", "--from", "2024-06-01T01:05Z",
                        "--to", "2024-06-01T02:25Z", "--json", "scores.json"});
    for (const auto& outcome : {nowcast, verify}) {
      EXPECT_TRUE(outcome.code == 6 || (std::isnan(value) && outcome.code == 7))
          << outcome.code << outcome.err;
      EXPECT_NE(outcome.err.find("finite"), std::string::npos) << outcome.err;
    }
    for (const char* name : {"out.nc", "maps", "scores.json"}) {
      EXPECT_FALSE(std::filesystem::exists(folder / name)) << name;
    }
  }
}

TEST(Nowcast, SameInputsSameBytes) {
  const Folder folder;
  make_archive(folder, "odim");
  for (const char* name : {"a.nc", "b.nc"}) {
    expect_ok(run_raincell(folder.path(),
                           {"nowcast", "--forecaster", "advection", "--input", "radar", "--output", name}));
  }
  EXPECT_EQ(test::read_text(folder / "a.nc"), test::read_text(folder / "b.nc"));
}

TEST(Nowcast, NeverStartsFromANowcast) {
  const Folder folder;
  make_archive(folder, "odim");
  const std::vector<std::string> inside = {"nowcast", "--forecaster", "advection",    "--input",
                                           "radar",   "--output",     "radar/out.nc", "--json"};
  const auto first = run_raincell(folder.path(), inside);
  expect_ok(first);
  const std::string bytes = test::read_text(folder / "radar/out.nc");
  const auto second = run_raincell(folder.path(), inside);
  expect_ok(second);
  EXPECT_NE(second.err.find("not an observation"), std::string::npos) << second.err;
  EXPECT_EQ(first.out, second.out);
  EXPECT_EQ(bytes, test::read_text(folder / "radar/out.nc"));
}

}  // namespace
