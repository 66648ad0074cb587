#include "app/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "app/version.hpp"
#include "io/colours.hpp"

namespace raincell::app {
namespace {

constexpr const char* kPageCss = R"css(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1c232e;--soft:#5f6b7a;--line:#dfe3e8;--accent:#0072b2;--best:#e4f1fa}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--card:#1a2028;--text:#e6eaf0;--soft:#9aa5b3;--line:#2c343f;--accent:#56b4e9;--best:#1d3346}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0}h2{font-size:1.2rem;margin:2.4rem 0 .3rem}
.soft{color:var(--soft)}header p{margin:.3rem 0 0}h2+p{margin:.1rem 0 .8rem;max-width:75ch}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:1rem}
.chart,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .9rem .5rem}
.wide{display:grid;grid-template-columns:repeat(auto-fit,minmax(460px,1fr));gap:1rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}th,td{padding:.28rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left}
td.best{background:var(--best);font-weight:600}td small{color:var(--soft);font-weight:400}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:0;font-size:.93rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.maps{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:.8rem}
.maps figure{margin:0}.maps img{width:100%;height:auto;border-radius:8px;border:1px solid var(--line);background:#fff;display:block}
.maps figcaption{font-size:.88rem;color:var(--soft);padding:.25rem .1rem}
.key{display:flex;flex-wrap:wrap;gap:.2rem .8rem;font-size:.85rem;margin:0 0 .3rem;max-width:none}
.key span{display:inline-flex;align-items:center;gap:.3rem}.key i{width:1.3rem;height:.8rem;border:1px solid var(--line);border-radius:2px}
h3{font-size:1rem;margin:1.1rem 0 .4rem}
details{margin-top:1rem;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.6rem .9rem}
summary{cursor:pointer;font-weight:600}details>*:not(summary){margin-top:.7rem}
pre{overflow-x:auto;font-size:.85rem;line-height:1.45;margin:0}
footer{margin-top:3rem;font-size:.85rem;color:var(--soft)}
@media print{body{background:#fff}.chart,.panel,details{break-inside:avoid}}
)css";

std::string page(const std::string& title, const std::string& subtitle, const std::string& body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n<title>{0}</title>\n<style>{1}{2}</style>\n</"
      "head>\n<body>\n<main>\n"
      "<header><h1>{0}</h1><p class=\"soft\">{3}</p></header>\n{4}<footer>raincell "
      "{5}</footer>\n</main>\n</body>\n</html>\n",
      escape_html(title), kPageCss, svg_chart_css(), escape_html(subtitle), body, version());
}

std::string heading(const std::string& title, const std::string& text) {
  return fmt::format("<h2>{}</h2>\n<p class=\"soft\">{}</p>\n", escape_html(title), escape_html(text));
}

std::string facts_panel(const Facts& facts) {
  if (facts.empty()) return {};
  std::string out = "<div class=\"panel\"><dl>";
  for (const auto& [name, value] : facts) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", escape_html(name), escape_html(value));
  }
  return out + "</dl></div>\n";
}

std::string charts(const std::vector<Chart>& all, const char* layout = "cards") {
  std::string out = fmt::format("<div class=\"{}\">\n", layout);
  for (const Chart& chart : all) out += svg_chart(chart);
  return out + "</div>\n";
}

std::string mime_of(const std::vector<std::uint8_t>& bytes) {
  const bool webp = bytes.size() > 12 && std::equal(bytes.begin() + 8, bytes.begin() + 12, "WEBP");
  return webp ? "image/webp" : "image/png";
}

/// The classes of rain, for maps that are drawn bare.
std::string colour_key() {
  const io::ColourScale scale = io::colour_scale(io::Quantity::rain_rate);
  std::string out = "<p class=\"key\"><span>" + scale.unit + "</span>";
  for (std::size_t i = 0; i < scale.colours.size(); ++i) {
    out += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", scale.colours[i].hex(),
                       number_text(scale.bounds[i]));
  }
  return out + fmt::format("<span><i style=\"background:{}\"></i>no data</span></p>\n", scale.missing.hex());
}

std::string pictures(const std::vector<ReportPicture>& all) {
  std::vector<std::string> groups;
  for (const ReportPicture& picture : all) {
    if (std::find(groups.begin(), groups.end(), picture.group) == groups.end())
      groups.push_back(picture.group);
  }
  std::string out = colour_key();
  for (const std::string& group : groups) {
    if (!group.empty()) out += fmt::format("<h3>{}</h3>\n", escape_html(group));
    out += "<div class=\"maps\">\n";
    for (const ReportPicture& picture : all) {
      if (picture.group != group) continue;
      const std::string words = escape_html(picture.caption);
      out += fmt::format(
          "<figure><img alt=\"{0}\" src=\"data:{1};base64,{2}\"><figcaption>{0}</figcaption></figure>\n",
          words, mime_of(picture.bytes), base64(picture.bytes));
    }
    out += "</div>\n";
  }
  return out;
}

std::string further_sections(const std::vector<ReportSection>& sections) {
  std::string out;
  for (const ReportSection& section : sections)
    out += heading(section.title, section.text) + charts(section.charts);
  return out;
}

/// convlstm blue, advection orange, persistence grey, blend green, wherever they appear; others follow.
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
      body += pictures(report_.pictures);
    }
    body += heading("All numbers", "With their support. A dash is a score that no pixel supports.");
    body += event_table() + error_table();
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
    std::string out = heading(
        "Critical success index",
        "Hits over hits, misses and false alarms, by threshold. Bands: bootstrap interval over cases.");
    std::vector<Chart> all;
    for (const double threshold : thresholds_) {
      all.push_back(event_chart("CSI", threshold, [](const EventRow& row) { return row.csi; }));
      all.back().y_low = 0.;
    }
    out += charts(all);
    out += heading(
        "Detection, false alarms, bias",
        fmt::format(
            "At {} mm/h: the share of events foreseen, the share of forecasts that did not come true, and "
            "events forecast for each one observed.",
            number_text(main_threshold_)));
    out += charts(detection_charts(main_threshold_));
    out += "<details><summary>The same at the other thresholds</summary>";
    for (const double threshold : thresholds_) {
      if (threshold != main_threshold_) out += charts(detection_charts(threshold));
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
    return heading("Errors of the rain rate", "Over all scored pixels, dry ones included.") + charts(all);
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
           charts(all);
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
           charts(all, "wide");
  }

  std::string spectrum_section() const {
    if (report_.spectra.empty()) return {};
    std::set<double> leads;
    for (const SpectrumRow& row : report_.spectra) leads.insert(row.lead_minutes);
    std::vector<Chart> all;
    for (const double lead : leads) {
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
           charts(all);
  }

  const EventRow* find(const std::string& forecaster, double lead, double threshold) const {
    for (const EventRow& row : report_.events) {
      if (row.forecaster == forecaster && row.lead_minutes == lead && row.threshold_mm_h == threshold)
        return &row;
    }
    return nullptr;
  }

  /// About six leads, first and last among them.
  std::vector<double> few_leads() const {
    const std::vector<double> all(leads_.begin(), leads_.end());
    if (all.size() <= 6) return all;
    std::vector<double> few;
    for (std::size_t i = 0; i < 6; ++i) few.push_back(all[i * (all.size() - 1) / 5]);
    return few;
  }

  std::string head_table() const {
    if (report_.events.empty()) return {};
    const std::vector<double> leads = few_leads();
    std::string out = heading(
        "At a glance",
        fmt::format("CSI at {} mm/h by lead time, with the bootstrap interval; the best is marked. {} cases.",
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

/// Long curves are drawn faint behind their running mean.
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

}  // namespace

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = std::uint32_t{bytes[i]} << 16;
    if (left > 1) group |= std::uint32_t{bytes[i + 1]} << 8;
    if (left > 2) group |= bytes[i + 2];
    out += kDigits[group >> 18];
    out += kDigits[(group >> 12) & 63];
    out += left > 1 ? kDigits[(group >> 6) & 63] : '=';
    out += left > 2 ? kDigits[group & 63] : '=';
  }
  return out;
}

std::string verify_report(const VerifyReport& report) {
  return VerifyPage(report).build();
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
  body += heading("Optimizer", "The schedule as it was run, and the norm of the gradient before clipping.");
  body += charts(
      {step_chart("Learning rate", "rate", {rate}, false), step_chart("Gradient norm", "norm", {norm}, true)},
      "wide");
  body += further_sections(report.further);
  if (!report.pictures.empty()) {
    body += heading("Sample forecasts", "From the validation part of the archive. Hatched: no data.");
    body += pictures(report.pictures);
  }
  if (!report.environment.empty()) body += heading("Environment", "") + facts_panel(report.environment);
  if (!report.config.empty()) {
    body +=
        "<details><summary>Configuration</summary><pre>" + escape_html(report.config) + "</pre></details>\n";
  }
  return page(report.title, report.subtitle, body);
}

}  // namespace raincell::app
