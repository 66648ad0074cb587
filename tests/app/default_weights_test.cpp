// The weights that come with the program, on radar that they have not seen: Brisbane, 2020-10-31 from 06 UTC.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/app/program.hpp"

namespace raincell::app {
namespace {

using Json = nlohmann::json;

TEST(DefaultWeights, BeatAdvectionOnRadarTheyHaveNotSeen) {
  const std::filesystem::path shipped =
      std::filesystem::path(RAINCELL_SOURCE) / "configs/weights/default.safetensors";
  ASSERT_TRUE(std::filesystem::exists(shipped));
  EXPECT_LT(std::filesystem::file_size(shipped), 4'000'000U);
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "RAINCELL_TEST_DATA is not set";
  const test::Folder folder;
  test::Limits limits;
  limits.shipped_weights = shipped;
  const test::Outcome outcome = test::run_raincell(
      folder.path(),
      {"verify", "--input", std::filesystem::path(data) / "radar/cf/bom_c10_20201031", "--from",
       "2020-10-31T06:00Z", "--to", "2020-10-31T07:50Z", "--past", "5", "--horizon", "60min", "--json", "-"},
      limits);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json scores = Json::parse(outcome.out);
  EXPECT_EQ(scores["cases"], 2);
  std::map<std::string, std::map<double, double>> mse;
  for (const Json& row : scores["continuous"]) mse[row["forecaster"]][row["lead_minutes"]] = row["mse"];
  ASSERT_EQ(mse["convlstm"].size(), 6U);
  for (const auto& [lead, error] : mse["convlstm"])
    EXPECT_LT(error, mse["advection"][lead]) << lead << " min";
  std::map<std::string, std::map<std::pair<double, double>, double>> csi;
  for (const Json& row : scores["scores"]) {
    const double threshold = row["threshold_mm_h"];
    if (threshold != 0.5 && threshold != 1. && threshold != 5.) continue;
    csi[row["forecaster"]][{row["lead_minutes"], threshold}] = row["csi"];
  }
  ASSERT_EQ(csi["blend"].size(), 18U);
  for (const auto& [place, value] : csi["blend"])
    EXPECT_GT(value, csi["advection"][place] - 0.01) << place.first << " min, " << place.second << " mm/h";
}

}  // namespace
}  // namespace raincell::app
