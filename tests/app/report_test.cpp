// The HTML pages: self-contained, well-formed, and true to their numbers.
#include "app/report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <vector>

#include "io/grid.hpp"
#include "model/verification.hpp"

namespace raincell::app {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

/// Every element that opens closes, in order.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    at = end;
    const std::size_t first = tag[0] == '/' ? 1 : 0;
    const std::string name = tag.substr(first, tag.find_first_of(" /\n", first) - first);
    if (tag[0] == '!' || tag.back() == '/' || name == "meta" || name == "img") continue;
    if (tag[0] != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << "</" << name << ">";
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

VerifyReport sample() {
  VerifyReport report;
  report.title = "Verification <of> raincell";
  report.cases = 16;
  report.forecasters = {"persistence", "convlstm"};
  for (const std::string& name : report.forecasters) {
    for (const double lead : {5., 30.}) {
      EventRow row;
      row.forecaster = name;
      row.lead_minutes = lead;
      row.threshold_mm_h = 1.;
      row.csi = {name == "convlstm" ? 0.75 : 0.55, 0.5, 0.8};
      row.pod = {0.8};
      row.far = {0.25};
      row.hits = 1234567;
      report.events.push_back(row);
      row.threshold_mm_h = 30.;
      row.csi = row.pod = row.far = {};
      report.events.push_back(row);
      report.errors.push_back({name, lead, {0.3}, {0.1}, {0.01}, {0.9}, 2155900});
    }
  }
  report.pictures.push_back({"+30 min", "truth", {0x89, 'P', 'N', 'G'}});
  return report;
}

TEST(Report, Base64IsThatOfRfc4648) {
  const auto encode = [](const std::string& text) { return base64({text.begin(), text.end()}); };
  EXPECT_EQ(encode(""), "");
  EXPECT_EQ(encode("f"), "Zg==");
  EXPECT_EQ(encode("fo"), "Zm8=");
  EXPECT_EQ(encode("foo"), "Zm9v");
  EXPECT_EQ(encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64({0xFB, 0xFF, 0xFE}), "+//+");
}

TEST(Report, NumbersAreShort) {
  EXPECT_EQ(number_text(0.25), "0.25");
  EXPECT_EQ(number_text(0.123456), "0.123");
  EXPECT_EQ(number_text(1000.), "1000");
  EXPECT_EQ(number_text(2155900.), "2\u202f155\u202f900");
  EXPECT_EQ(number_text(-12345.), "-12\u202f345");
  EXPECT_EQ(number_text(0.000012), "1.2e-05");
  EXPECT_EQ(number_text(kNoNumber), "–");
}

TEST(Report, VerificationIsOneFileThatLoadsNothing) {
  const std::string html = verify_report(sample());
  expect_balanced(html);
  EXPECT_EQ(count(html, "http:") + count(html, "https:") + count(html, "<script") + count(html, "@import"),
            0U);
  EXPECT_NE(html.find("Verification &lt;of&gt; raincell"), std::string::npos);
  EXPECT_NE(html.find("data:image/png;base64,iVBORw=="), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme:dark"), std::string::npos);
}

TEST(Report, VerificationShowsScoresSupportAndWhatHasNone) {
  const std::string html = verify_report(sample());
  EXPECT_EQ(count(html, "<td class=\"best\">0.750"), 2U);  // convlstm at both leads
  EXPECT_NE(html.find("1\u202f234\u202f567"), std::string::npos);
  EXPECT_NE(html.find("convlstm: 0.75 at 30 (0.5 to 0.8)"), std::string::npos);
  EXPECT_NE(html.find("CSI at 30 mm/h</figcaption><p class=\"soft\">No case supports"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(Report, PointsLieWhereTheirNumbersSay) {
  Chart chart;
  chart.width = 370;   // 300 pixels of plot from x = 58
  chart.height = 252;  // 200 pixels of plot from y = 12
  chart.x_low = chart.y_low = 0.;
  chart.x_high = 60.;
  chart.y_high = 1.;
  Series series;
  series.x = {15., 30., 60.};
  series.y = {0.25, kNoNumber, 1.};
  chart.series = {series};
  const std::string svg = svg_chart(chart);
  EXPECT_NE(svg.find("cx=\"133.0\" cy=\"162.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("cx=\"358.0\" cy=\"12.0\""), std::string::npos) << svg;
  EXPECT_EQ(count(svg, "<circle"), 2U);
  EXPECT_NE(svg.find("d=\"M133.0 162.0M358.0 12.0\""), std::string::npos) << svg;  // a hole, not a bridge
}

TEST(Report, AVerificationBecomesRowsInKilometres) {
  model::VerificationResult result;
  result.cases = 3;
  model::ThresholdScore event;
  event.forecaster = "advection";
  event.lead_minutes = 10.;
  event.threshold = 5.;
  event.table.hits = 6;
  event.table.misses = 2;
  event.table.false_alarms = 4;
  event.csi_interval = {0.25, 0.75};
  result.scores = {event};
  model::ContinuousScore errors;
  errors.forecaster = "advection";
  errors.lead_minutes = 10.;
  errors.sums.pixels = 4;
  errors.sums.squared_error = 2.;
  result.continuous = {errors};
  result.fss = {{"advection", 10., 1., 16, 0.5}};
  result.spectra = {{"advection", 10., {64., 32.}, {1., 1.}, {2., 2.}, {0.5, 0.5}}};
  const io::Grid grid{"", 100, 100, 0., 0., 500., 500.};
  const VerifyReport report = report_of(result, grid);
  ASSERT_EQ(report.forecasters, (std::vector<std::string>{"advection"}));
  EXPECT_DOUBLE_EQ(report.events.at(0).csi.value, 0.5);
  EXPECT_DOUBLE_EQ(report.events.at(0).csi.high, 0.75);
  EXPECT_DOUBLE_EQ(report.events.at(0).far.value, 0.4);
  EXPECT_DOUBLE_EQ(report.errors.at(0).mse.value, 0.5);
  EXPECT_DOUBLE_EQ(report.fss.at(0).scale_km, 8.);
  EXPECT_EQ(report.spectra.at(0).wavelength_km, (std::vector<double>{32., 16.}));
  EXPECT_EQ(report.cases, 3);
  expect_balanced(verify_report(report));
}

TEST(Report, EmptyReportsArePages) {
  expect_balanced(verify_report({}));
  expect_balanced(train_report({}));
}

TEST(Report, TrainingShowsCurvesAndConfiguration) {
  TrainReport report;
  report.status = "finished";
  Series loss;
  loss.name = "training";
  for (int step = 1; step <= 300; ++step) {
    loss.x.push_back(step);
    loss.y.push_back(1. / step);
  }
  report.losses = {loss};
  report.learning_rate = report.gradient_norm = loss;
  report.config = "rate: 2e-3 # <peak>";
  report.environment = {{"threads", "2"}};
  const std::string html = train_report(report);
  expect_balanced(html);
  EXPECT_EQ(count(html, "line s0 faint"), 1U);
  EXPECT_NE(html.find("rate: 2e-3 # &lt;peak&gt;"), std::string::npos);
  EXPECT_NE(html.find("<dt>threads</dt><dd>2</dd>"), std::string::npos);
}

}  // namespace
}  // namespace raincell::app
