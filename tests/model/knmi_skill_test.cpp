// Persistence and advection on a real event: mask, window, pooling and support must give the known table.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "io/reader.hpp"
#include "model/advection/guide.hpp"
#include "model/verification.hpp"

namespace raincell::model {
namespace {

constexpr std::int64_t kPast = 5, kLeads = 12, kFrames = 32;  // 05:00 ... 07:35, every 5 minutes

struct Known {
  double lead_minutes, csi, mse, advection_csi, advection_mse;
};
/// Threshold 1 mm/h, (mm/h)^2, support carried by advection.
constexpr Known kTable[] = {{5, 0.550, 0.289, 0.775, 0.067},
                            {15, 0.355, 0.631, 0.600, 0.210},
                            {30, 0.250, 0.907, 0.475, 0.420},
                            {60, 0.184, 1.200, 0.375, 0.830}};

std::vector<std::filesystem::path> test_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name >= "RAD_NL25_RAP_5min_201008260500.h5" && name <= "RAD_NL25_RAP_5min_201008260735.h5")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

const ContinuousScore& continuous(const VerificationResult& result, const std::string& name, double lead) {
  return *std::find_if(result.continuous.begin(), result.continuous.end(),
                       [&](const auto& s) { return s.forecaster == name && s.lead_minutes == lead; });
}

double csi(const VerificationResult& result, const std::string& name, double lead) {
  return std::find_if(result.scores.begin(), result.scores.end(),
                      [&](const auto& s) {
                        return s.forecaster == name && s.lead_minutes == lead && s.threshold == 1;
                      })
      ->table.csi();
}

/// The frame that guides a network, as a forecast of its own.
class Guided : public Forecaster {
 public:
  std::string name() const override { return "guide"; }
  std::int64_t frames_needed() const override { return 2; }
  ForecastFrames forecast(const PastFrames& past, std::int64_t leads) override {
    ForecastFrames out{leads, past.rows, past.columns, {}, {}, {}};
    out.values.resize(static_cast<std::size_t>(leads * past.rows * past.columns));
    GuideSpec spec;
    spec.fading = true;
    Guide(past, spec, leads).frames(0, 0, past.rows, past.columns, out.values);
    return out;
  }
};

TEST(Knmi, PersistenceAndAdvectionGiveTheKnownTableAndTheGuideIsSmooth) {
  const char* data = std::getenv("RAINCELL_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "RAINCELL_TEST_DATA is not set";
  const auto files = test_files(std::filesystem::path(data) / "radar/knmi/rap_20100826");
  ASSERT_EQ(files.size(), static_cast<std::size_t>(kFrames));
  io::FrameReader reader;
  std::vector<float> values;
  std::int64_t rows = 0, columns = 0;
  for (const auto& file : files) {
    const auto frames = reader.read(file);
    ASSERT_EQ(frames.size(), 1U);
    rows = frames[0].grid.rows;
    columns = frames[0].grid.columns;
    values.insert(values.end(), frames[0].values.begin(), frames[0].values.end());
  }
  const auto plane = static_cast<std::size_t>(rows * columns);
  const auto span = [&](std::int64_t first, std::int64_t count) {
    return std::span<const float>(values).subspan(plane * static_cast<std::size_t>(first),
                                                  plane * static_cast<std::size_t>(count));
  };
  const CaseReader cases = [&](std::int64_t k) {
    return VerificationCase{{kPast, rows, columns, span(k, kPast)}, span(k + kPast, kLeads), kLeads};
  };
  VerificationSpec spec;
  spec.protocol.thresholds = {1};
  spec.fss_thresholds = {};
  spec.spectra = false;
  spec.bootstrap.resamples = 0;
  spec.threads = 2;
  Persistence persistence;
  Advection advection;
  Guided guide;
  Forecaster* listed[] = {&persistence, &advection, &guide};
  const auto result = verify(spec, kFrames - kPast - kLeads + 1, cases, listed, advection);
  EXPECT_EQ(result.cases, 16);
  for (const auto& known : kTable) {
    // The support is bounded by the motion, and the table's was slower.
    EXPECT_NEAR(csi(result, "persistence", known.lead_minutes), known.csi, 0.004) << known.lead_minutes;
    EXPECT_NEAR(continuous(result, "persistence", known.lead_minutes).sums.mse() / known.mse, 1, 0.03)
        << known.lead_minutes;
    EXPECT_GE(csi(result, "advection", known.lead_minutes), known.advection_csi) << known.lead_minutes;
    EXPECT_LE(continuous(result, "advection", known.lead_minutes).sums.mse(), known.advection_mse)
        << known.lead_minutes;
    EXPECT_EQ(continuous(result, "advection", known.lead_minutes).filled_pixels, 0);
    // What is left of the advected frame is nearer to the mean, from the first lead on and more and more.
    EXPECT_LT(continuous(result, "guide", known.lead_minutes).sums.mse(),
              (known.lead_minutes < 30 ? 0.95 : 0.85) *
                  continuous(result, "advection", known.lead_minutes).sums.mse())
        << known.lead_minutes;
    std::printf("%g min: advection %.3f / %.3f, guide %.3f / %.3f\n", known.lead_minutes,
                csi(result, "advection", known.lead_minutes),
                continuous(result, "advection", known.lead_minutes).sums.mse(),
                csi(result, "guide", known.lead_minutes),
                continuous(result, "guide", known.lead_minutes).sums.mse());
  }
  EXPECT_NEAR(static_cast<double>(continuous(result, "persistence", 5).sums.pixels), 2155900, 0.02 * 2155900);
  EXPECT_NEAR(static_cast<double>(continuous(result, "persistence", 60).sums.pixels), 1658800,
              0.05 * 1658800);
}

}  // namespace
}  // namespace raincell::model
