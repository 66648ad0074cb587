// Self-contained HTML pages: verification and training. No network, no scripts; light and dark.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/svg_chart.hpp"

namespace raincell::model {
struct VerificationResult;
}
namespace raincell::io {
struct Grid;
}

namespace raincell::app {

/// A score with its bootstrap interval; NaN where there is none.
struct ReportScore {
  double value = kNoNumber, low = kNoNumber, high = kNoNumber;
};

/// Yes/no scores of one forecaster, lead and threshold.
struct EventRow {
  std::string forecaster;
  double lead_minutes = 0., threshold_mm_h = 0.;
  ReportScore csi, pod, far, hss, ets, bias;
  std::int64_t hits = 0, misses = 0, false_alarms = 0, correct_negatives = 0, filled_pixels = 0;
};

struct ErrorRow {
  std::string forecaster;
  double lead_minutes = 0.;
  ReportScore mse, mae, me, correlation;
  std::int64_t pixels = 0;
};

/// Fractions skill score.
struct FssRow {
  std::string forecaster;
  double lead_minutes = 0., threshold_mm_h = 0., scale_km = 0.;
  ReportScore fss;
};

/// Power of the forecast over power of the truth by wavelength: below 1 the forecast is smoother.
struct SpectrumRow {
  std::string forecaster;
  double lead_minutes = 0.;
  std::vector<double> wavelength_km, ratio;
};

/// A picture and what it shows; maps of one group stand side by side.
struct ReportPicture {
  std::string group, caption;       // "+30 min", "truth"
  std::vector<std::uint8_t> bytes;  // PNG or WebP, told by its first bytes
};

/// Whatever else is to be shown, such as reliability: charts under a heading.
struct ReportSection {
  std::string title, text;
  std::vector<Chart> charts;
};

/// One number of the protocol over all leads; threshold NaN where there is none.
struct SummaryRow {
  std::string forecaster, score;
  double threshold_mm_h = kNoNumber, value = kNoNumber;
};

using Facts = std::vector<std::pair<std::string, std::string>>;

struct VerifyReport {
  std::string title = "Verification";  // "Verification of raincell nowcasts"
  std::string subtitle;                // "KNMI, 2010-08-26T05:00Z to 07:35Z"
  Facts facts;                         // support, protocol, model, cases, grid, interval level, ...
  std::int64_t cases = 0;
  std::vector<std::string> forecasters;  // in the order of the legend; rows of others are not shown
  std::vector<EventRow> events;
  std::vector<ErrorRow> errors;
  std::vector<FssRow> fss;
  std::vector<SpectrumRow> spectra;
  std::vector<SummaryRow> summary;
  std::vector<ReportPicture> pictures;
  std::vector<ReportSection> further;
  double main_threshold_mm_h = 1.;  // for the head table, the diagram; the nearest one that was scored
};

/// convlstm blue, advection orange, persistence grey, blend green, wherever they appear; others follow.
std::map<std::string, int> styles_of(const std::vector<std::string>& forecasters);
/// Fills scores, cases, protocol and forecasters from a verification; the grid gives the scales in km. The
/// caller adds title, subtitle, facts and pictures.
VerifyReport report_of(const model::VerificationResult&, const io::Grid&);
/// One HTML page; scores without support are dashes.
std::string verify_report(const VerifyReport&);

struct TrainReport {
  std::string title = "Training", subtitle;
  std::string status;          // "finished", "interrupted at step 1200", ...
  Facts facts;                 // model, parameters, best validation, time, samples a second, ...
  Facts environment;           // versions, device, threads
  std::vector<Series> losses;  // against steps: "training", "validation"
  Series learning_rate, gradient_norm, rate;  // rate: samples a second
  std::vector<ReportSection> further;         // validation scores, ...
  std::vector<ReportPicture> pictures;
  std::string config;  // the resolved config, as YAML
};

std::string train_report(const TrainReport&);
/// Curves against the number of the step; long ones are drawn faint behind their running mean.
Chart step_chart(const std::string& title, const std::string& label, const std::vector<Series>& lines,
                 bool log_y);

/// For data URIs.
std::string base64(const std::vector<std::uint8_t>&);

}  // namespace raincell::app
