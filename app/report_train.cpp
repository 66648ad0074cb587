#include <algorithm>

#include "app/report.hpp"
#include "app/report_page.hpp"

namespace raincell::app {
namespace {

/// Centred running mean of a noisy curve.
Series smoothed(const Series& raw) {
  Series mean = raw;
  const std::size_t reach = raw.y.size() / 100;
  for (std::size_t i = 0; i < raw.y.size(); ++i) {
    double sum = 0.;
    std::size_t count = 0;
    for (std::size_t j = i - std::min(i, reach); j < std::min(raw.y.size(), i + reach + 1); ++j) {
      if (!std::isfinite(raw.y[j])) continue;
      sum += raw.y[j];
      ++count;
    }
    mean.y[i] = count > 0 ? sum / static_cast<double>(count) : kNoNumber;
  }
  return mean;
}

}  // namespace

Chart step_chart(const std::string& title, const std::string& label, const std::vector<Series>& lines,
                 bool log_y) {
  Chart chart;
  chart.title = title;
  chart.x_label = "step";
  chart.y_label = label;
  chart.x_low = 0.;
  chart.log_y = log_y;
  chart.width = 560;
  chart.height = 290;
  for (Series line : lines) {
    line.markers = line.x.size() <= 40;
    if (line.x.size() > 200) {
      chart.series.push_back(line);
      chart.series.back().faint = true;
      line = smoothed(line);
    }
    chart.series.push_back(std::move(line));
  }
  return chart;
}

std::string train_report(const TrainReport& report) {
  Facts facts = report.facts;
  if (!report.status.empty()) facts.insert(facts.begin(), {"status", report.status});
  std::string body = "<p></p>" + facts_panel(facts);
  std::vector<Series> losses = report.losses;
  std::vector<std::pair<std::string, int>> names;
  bool positive = true;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    losses[i].style = static_cast<int>(i % 8);
    names.emplace_back(losses[i].name, losses[i].style);
    for (const double loss : losses[i].y) positive = positive && !(loss <= 0.);
  }
  body += heading("Loss", "Both on the same scale; a gap that opens between them is over-fitting.") +
          svg_legend(names);
  Chart loss = step_chart("Loss", "loss", losses, positive);
  loss.width = 900;
  loss.height = 320;
  body += svg_chart(loss);
  Series rate = report.learning_rate, norm = report.gradient_norm;
  rate.style = 3;
  norm.style = 4;
  Series speed = report.rate;
  speed.style = 5;
  body += heading("Optimizer", "The schedule as it was run, and the norm of the gradient before clipping.");
  std::vector<Chart> optimizer = {step_chart("Learning rate", "rate", {rate}, false),
                                  step_chart("Gradient norm", "norm", {norm}, true)};
  if (!speed.x.empty()) optimizer.push_back(step_chart("Samples a second", "1/s", {speed}, false));
  body += chart_grid(optimizer, "wide");
  body += further_sections(report.further);
  if (!report.pictures.empty()) {
    body += heading("Sample forecasts",
                    "Of samples kept back, or of some to train on where none are. Hatched: no data.");
    body += picture_panels(report.pictures);
  }
  if (!report.environment.empty()) body += heading("Environment", "") + facts_panel(report.environment);
  if (!report.config.empty()) {
    body +=
        "<details><summary>Configuration</summary><pre>" + escape_html(report.config) + "</pre></details>\n";
  }
  return page(report.title, report.subtitle, body);
}

}  // namespace raincell::app
