#include "app/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "app/report_page.hpp"

namespace raincell::app {

std::map<std::string, int> styles_of(const std::vector<std::string>& forecasters) {
  const std::map<std::string, int> known = {
      {"convlstm", 0}, {"advection", 1}, {"persistence", 2}, {"blend", 3}};
  std::map<std::string, int> styles;
  int next = 4;
  for (const std::string& name : forecasters) {
    const auto found = known.find(name);
    styles[name] = found != known.end() ? found->second : next;
    if (found == known.end()) next = next == 7 ? 4 : next + 1;
  }
  return styles;
}

namespace {

template <typename Row>
using ScoreOf = std::function<ReportScore(const Row&)>;

class VerifyPage {
 public:
  explicit VerifyPage(const VerifyReport& report) : report_(report), styles_(styles_of(report.forecasters)) {
    for (const EventRow& row : report.events) {
      thresholds_.insert(row.threshold_mm_h);
      leads_.insert(row.lead_minutes);
    }
    for (const ErrorRow& row : report.errors) leads_.insert(row.lead_minutes);
    main_threshold_ = report.main_threshold_mm_h;
    const auto nearest = std::min_element(thresholds_.begin(), thresholds_.end(), [&](double a, double b) {
      return std::abs(a - report_.main_threshold_mm_h) < std::abs(b - report_.main_threshold_mm_h);
    });
    if (nearest != thresholds_.end()) main_threshold_ = *nearest;
  }

  std::string build() const {
    std::string body = "<p></p>" + facts_panel(report_.facts) + head_table() + legend();
    body += event_sections() + error_section() + fss_section() + diagram_section() + spectrum_section();
    body += further_sections(report_.further);
    if (!report_.pictures.empty()) {
      body += heading("Sample maps",
                      "One case: what was observed, and what each forecaster said. Hatched: no data.");
      body += picture_panels(report_.pictures);
    }
    body += heading("All numbers", "With their support. A dash is a score that no pixel supports.");
    body += summary_table() + event_table() + error_table();
    return page(report_.title, report_.subtitle, body);
  }

 private:
  std::string legend() const {
    std::vector<std::pair<std::string, int>> names;
    for (const std::string& name : report_.forecasters) names.emplace_back(name, styles_.at(name));
    return "<p></p>" + svg_legend(names);
  }

  template <typename Row>
  Series series_of(const std::vector<Row>& rows, const std::string& forecaster,
                   const std::function<bool(const Row&)>& wanted, const ScoreOf<Row>& score) const {
    Series series;
    series.name = forecaster;
    series.style = styles_.at(forecaster);
    bool interval = false;
    for (const Row& row : rows) {
      if (row.forecaster != forecaster || !wanted(row)) continue;
      const ReportScore value = score(row);
      series.x.push_back(row.lead_minutes);
      series.y.push_back(value.value);
      series.low.push_back(value.low);
      series.high.push_back(value.high);
      interval = interval || std::isfinite(value.low);
    }
    if (!interval) {
      series.low.clear();
      series.high.clear();
    }
    return series;
  }

  template <typename Row>
  Chart lead_chart(const std::string& title, const std::string& label, const std::vector<Row>& rows,
                   const std::function<bool(const Row&)>& wanted, const ScoreOf<Row>& score) const {
    Chart chart;
    chart.title = title;
    chart.x_label = "lead time, minutes";
    chart.y_label = label;
    chart.x_low = 0.;
    for (const std::string& name : report_.forecasters)
      chart.series.push_back(series_of(rows, name, wanted, score));
    return chart;
  }

  Chart event_chart(const std::string& label, double threshold, const ScoreOf<EventRow>& score) const {
    return lead_chart<EventRow>(
        fmt::format("{} at {} mm/h", label, number_text(threshold)), label, report_.events,
        [=](const EventRow& row) { return row.threshold_mm_h == threshold; }, score);
  }

  std::string event_sections() const {
    if (report_.events.empty()) return {};
    std::string out = heading("Critical success index",
                              "Hits over hits, misses and false alarms, by threshold. Bands: bootstrap "
                              "interval, where the cases are enough for one.");
    std::vector<Chart> all;
    for (const double threshold : thresholds_) {
      all.push_back(event_chart("CSI", threshold, [](const EventRow& row) { return row.csi; }));
      all.back().y_low = 0.;
    }
    out += chart_grid(all);
    out += heading(
        "Detection, false alarms, bias",
        fmt::format(
            "At {} mm/h: the share of events foreseen, the share of forecasts that did not come true, and "
            "events forecast for each one observed.",
            number_text(main_threshold_)));
    out += chart_grid(detection_charts(main_threshold_));
    out += "<details><summary>The same at the other thresholds</summary>";
    for (const double threshold : thresholds_) {
      if (threshold != main_threshold_) out += chart_grid(detection_charts(threshold));
    }
    return out + "</details>\n";
  }

  std::vector<Chart> detection_charts(double threshold) const {
    std::vector<Chart> all = {
        event_chart("POD", threshold, [](const EventRow& row) { return row.pod; }),
        event_chart("FAR", threshold, [](const EventRow& row) { return row.far; }),
        event_chart("Frequency bias", threshold, [](const EventRow& row) { return row.bias; })};
    for (std::size_t i = 0; i < 2; ++i) {
      all[i].y_low = 0.;
      all[i].y_high = 1.;
    }
    all[2].reference = 1.;
    all[2].y_low = 0.;
    return all;
  }

  std::string error_section() const {
    if (report_.errors.empty()) return {};
    const auto any = [](const ErrorRow&) { return true; };
    std::vector<Chart> all = {lead_chart<ErrorRow>("Mean squared error", "mm²/h²", report_.errors, any,
                                                   [](const ErrorRow& row) { return row.mse; }),
                              lead_chart<ErrorRow>("Mean error", "mm/h", report_.errors, any,
                                                   [](const ErrorRow& row) { return row.me; }),
                              lead_chart<ErrorRow>("Correlation", "correlation", report_.errors, any,
                                                   [](const ErrorRow& row) { return row.correlation; })};
    all[0].y_low = 0.;
    all[1].reference = 0.;
    return heading("Errors of the rain rate", "Over all scored pixels, dry ones included.") + chart_grid(all);
  }

  std::string fss_section() const {
    if (report_.fss.empty()) return {};
    std::set<std::pair<double, double>> panels;
    for (const FssRow& row : report_.fss) panels.insert({row.threshold_mm_h, row.scale_km});
    std::vector<Chart> all;
    for (const auto& [threshold, scale] : panels) {
      all.push_back(lead_chart<FssRow>(
          fmt::format("FSS at {} mm/h within {} km", number_text(threshold), number_text(scale)), "FSS",
          report_.fss,
          [t = threshold, s = scale](const FssRow& row) {
            return row.threshold_mm_h == t && row.scale_km == s;
          },
          [](const FssRow& row) { return row.fss; }));
      all.back().y_low = 0.;
      all.back().y_high = 1.;
    }
    return heading("Fractions skill score",
                   "Agreement of the share of rainy pixels in windows of a scale: 1 is perfect, 0 is none.") +
           chart_grid(all);
  }

  Chart diagram(double threshold) const {
    Chart chart;
    chart.title = fmt::format("{} mm/h", number_text(threshold));
    chart.x_label = "success ratio, 1 − FAR";
    chart.y_label = "probability of detection";
    chart.performance = true;
    chart.x_low = chart.y_low = 0.;
    chart.x_high = chart.y_high = 1.;
    chart.width = 470;
    chart.height = 440;
    for (const double lead : leads_) chart.labels.push_back(fmt::format("{} min", number_text(lead)));
    for (const std::string& name : report_.forecasters) {
      Series series;
      series.name = name;
      series.style = styles_.at(name);
      for (const EventRow& row : report_.events) {
        if (row.forecaster != name || row.threshold_mm_h != threshold) continue;
        series.x.push_back(1. - row.far.value);
        series.y.push_back(row.pod.value);
      }
      chart.series.push_back(std::move(series));
    }
    return chart;
  }

  std::string diagram_section() const {
    if (report_.events.empty()) return {};
    std::vector<Chart> all = {diagram(main_threshold_)};
    const double heavier = [&] {
      const auto next = thresholds_.upper_bound(main_threshold_ * 4.);
      return next == thresholds_.end() ? main_threshold_ : *next;
    }();
    if (heavier != main_threshold_) all.push_back(diagram(heavier));
    return heading("Performance diagram",
                   "Each line runs from the first lead to the last; up and right is better. Curves: equal "
                   "CSI. Rays: equal "
                   "bias, 1 on the diagonal.") +
           chart_grid(all, "wide");
  }

  std::string spectrum_section() const {
    if (report_.spectra.empty()) return {};
    std::set<double> scored;
    for (const SpectrumRow& row : report_.spectra) scored.insert(row.lead_minutes);
    std::vector<Chart> all;
    for (const double lead : few(scored)) {
      Chart chart;
      chart.title = fmt::format("+{} min", number_text(lead));
      chart.x_label = "wavelength, km";
      chart.y_label = "power, forecast / truth";
      chart.log_x = chart.log_y = true;
      chart.reference = 1.;
      for (const SpectrumRow& row : report_.spectra) {
        if (row.lead_minutes != lead || styles_.count(row.forecaster) == 0) continue;
        chart.series.push_back(
            {row.forecaster, row.wavelength_km, row.ratio, {}, {}, styles_.at(row.forecaster), false});
      }
      all.push_back(std::move(chart));
    }
    return heading(
               "Sharpness",
               "Power spectrum of the forecast over that of the truth: below 1 a scale is smoothed away.") +
           chart_grid(all);
  }

  const EventRow* find(const std::string& forecaster, double lead, double threshold) const {
    for (const EventRow& row : report_.events) {
      if (row.forecaster == forecaster && row.lead_minutes == lead && row.threshold_mm_h == threshold)
        return &row;
    }
    return nullptr;
  }

  /// At most six, first and last among them.
  static std::vector<double> few(const std::set<double>& leads) {
    const std::vector<double> all(leads.begin(), leads.end());
    if (all.size() <= 6) return all;
    std::vector<double> chosen;
    for (std::size_t i = 0; i < 6; ++i) chosen.push_back(all[i * (all.size() - 1) / 5]);
    return chosen;
  }

  std::string head_table() const {
    if (report_.events.empty()) return {};
    const std::vector<double> leads = few(leads_);
    std::string out =
        heading("At a glance", fmt::format("CSI at {} mm/h by lead time, with the bootstrap interval where "
                                           "the cases are enough for one; the best is marked. {} cases.",
                                           number_text(main_threshold_), report_.cases));
    out += "<div class=\"panel scroll\"><table><tr><th>forecaster</th>";
    for (const double lead : leads) out += fmt::format("<th>+{} min</th>", number_text(lead));
    out += "</tr>\n";
    for (const std::string& name : report_.forecasters) {
      out += "<tr><td>" + escape_html(name) + "</td>";
      for (const double lead : leads) {
        double best = -INFINITY;
        for (const std::string& other : report_.forecasters) {
          const EventRow* row = find(other, lead, main_threshold_);
          if (row != nullptr && std::isfinite(row->csi.value)) best = std::max(best, row->csi.value);
        }
        const EventRow* row = find(name, lead, main_threshold_);
        const ReportScore score = row == nullptr ? ReportScore{} : row->csi;
        out += fmt::format("<td{}>{}",
                           std::isfinite(score.value) && score.value == best ? " class=\"best\"" : "",
                           std::isfinite(score.value) ? fmt::format("{:.3f}", score.value) : "–");
        if (std::isfinite(score.low))
          out += fmt::format(" <small>{:.2f}–{:.2f}</small>", score.low, score.high);
        out += "</td>";
      }
      out += "</tr>\n";
    }
    return out + "</table></div>\n";
  }

  std::string event_table() const {
    if (report_.events.empty()) return {};
    std::string out =
        "<details><summary>Yes/no scores</summary><div "
        "class=\"scroll\"><table><tr><th>forecaster</th><th>lead, min</th><th>mm/h</th>"
        "<th>CSI</th><th>POD</th><th>FAR</th><th>HSS</th><th>ETS</th><th>bias</th><th>hits</th><th>misses</"
        "th><th>false alarms</th>"
        "<th>correct negatives</th><th>filled</th></tr>\n";
    for (const EventRow& row : report_.events) {
      if (styles_.count(row.forecaster) == 0) continue;
      out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td>", escape_html(row.forecaster),
                         number_text(row.lead_minutes), number_text(row.threshold_mm_h));
      for (const ReportScore* score : {&row.csi, &row.pod, &row.far, &row.hss, &row.ets, &row.bias}) {
        out += std::isfinite(score->value) ? fmt::format("<td>{:.3f}</td>", score->value) : "<td>–</td>";
      }
      for (const std::int64_t count :
           {row.hits, row.misses, row.false_alarms, row.correct_negatives, row.filled_pixels}) {
        out += fmt::format("<td>{}</td>", number_text(static_cast<double>(count)));
      }
      out += "</tr>\n";
    }
    return out + "</table></div></details>\n";
  }

  std::string summary_table() const {
    if (report_.summary.empty()) return {};
    std::string out =
        "<details><summary>Summary of the protocol</summary><div "
        "class=\"scroll\"><table><tr><th>forecaster</th>"
        "<th>score</th><th>threshold</th><th>value</th></tr>\n";
    for (const SummaryRow& row : report_.summary) {
      out +=
          fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", escape_html(row.forecaster),
                      escape_html(row.score), number_text(row.threshold_mm_h), number_text(row.value, 4));
    }
    return out + "</table></div></details>\n";
  }

  std::string error_table() const {
    if (report_.errors.empty()) return {};
    std::string out =
        "<details><summary>Errors</summary><div class=\"scroll\"><table><tr><th>forecaster</th><th>lead, "
        "min</th><th>MSE</th>"
        "<th>MAE</th><th>mean error</th><th>correlation</th><th>pixels</th></tr>\n";
    for (const ErrorRow& row : report_.errors) {
      if (styles_.count(row.forecaster) == 0) continue;
      out += fmt::format(
          "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
          escape_html(row.forecaster), number_text(row.lead_minutes), number_text(row.mse.value, 4),
          number_text(row.mae.value, 4), number_text(row.me.value), number_text(row.correlation.value, 4),
          number_text(static_cast<double>(row.pixels)));
    }
    return out + "</table></div></details>\n";
  }

  const VerifyReport& report_;
  std::map<std::string, int> styles_;
  std::set<double> thresholds_, leads_;
  double main_threshold_ = 1.;
};

}  // namespace

std::string verify_report(const VerifyReport& report) {
  return VerifyPage(report).build();
}

}  // namespace raincell::app
