#include "app/svg_chart.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace raincell::app {
namespace {

constexpr double kLeft = 58., kRight = 12., kTop = 12., kBottom = 40.;

struct Axis {
  double low = 0., high = 1.;
  bool log = false;
  std::vector<double> ticks;

  double place(double value) const {
    return log ? (std::log10(value) - std::log10(low)) / (std::log10(high) - std::log10(low))
               : (value - low) / (high - low);
  }
  bool drawable(double value) const { return std::isfinite(value) && (!log || value > 0.); }
};

void set_linear_ticks(Axis& axis, int about) {
  const double span = axis.high - axis.low;
  const double power = std::pow(10., std::floor(std::log10(span / about)));
  double step = 10. * power;
  for (const double factor : {1., 2., 2.5, 5.}) {
    if (span / (factor * power) <= about) {
      step = factor * power;
      break;
    }
  }
  for (double tick = std::ceil(axis.low / step - 1e-9) * step; tick <= axis.high + 1e-9 * span;
       tick += step) {
    axis.ticks.push_back(std::abs(tick) < 1e-12 * span ? 0. : tick);
  }
}

void set_log_ticks(Axis& axis) {
  const int decades = static_cast<int>(std::ceil(std::log10(axis.high / axis.low)));
  for (double power = std::pow(10., std::floor(std::log10(axis.low))); power <= axis.high; power *= 10.) {
    for (const double factor : {1., 2., 5.}) {
      if (decades > 3 && factor != 1.) continue;
      const double tick = factor * power;
      if (tick >= axis.low * 0.999 && tick <= axis.high * 1.001) axis.ticks.push_back(tick);
    }
  }
  if (axis.ticks.size() > 2) return;
  axis.ticks.clear();
  set_linear_ticks(axis, 5);
  std::erase_if(axis.ticks, [](double tick) { return tick <= 0.; });
}

Axis make_axis(double low, double high, double wanted_low, double wanted_high, bool log, int about,
               bool pad) {
  Axis axis{std::isnan(wanted_low) ? low : wanted_low, std::isnan(wanted_high) ? high : wanted_high, log, {}};
  if (!(axis.high > axis.low)) {
    const double middle = axis.low;
    axis.low = log ? middle / 2. : middle - std::max(0.5, std::abs(middle) / 2.);
    axis.high = log ? middle * 2. : middle + std::max(0.5, std::abs(middle) / 2.);
  } else if (pad && !log) {
    const double span = axis.high - axis.low;
    if (std::isnan(wanted_high)) axis.high += 0.05 * span;
    if (std::isnan(wanted_low)) axis.low -= 0.05 * span;
  } else if (pad && log) {
    if (std::isnan(wanted_high)) axis.high *= 1.15;
    if (std::isnan(wanted_low)) axis.low /= 1.15;
  }
  if (log) {
    set_log_ticks(axis);
  } else {
    set_linear_ticks(axis, about);
  }
  return axis;
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    const auto include = [](double value, bool log, double& low, double& high) {
      if (!std::isfinite(value) || (log && value <= 0.)) return;
      low = std::min(low, value);
      high = std::max(high, value);
    };
    for (const Series& series : chart.series) {
      for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
        if (!std::isfinite(series.y[i])) continue;
        include(series.x[i], chart.log_x, x_low, x_high);
        include(series.y[i], chart.log_y, y_low, y_high);
        if (i < series.low.size()) include(series.low[i], chart.log_y, y_low, y_high);
        if (i < series.high.size()) include(series.high[i], chart.log_y, y_low, y_high);
      }
    }
    empty_ = !std::isfinite(x_low) || !std::isfinite(y_low);
    if (empty_) return;
    include(chart.reference, chart.log_y, y_low, y_high);
    x_ = make_axis(x_low, x_high, chart.x_low, chart.x_high, chart.log_x, 7, false);
    y_ = make_axis(y_low, y_high, chart.y_low, chart.y_high, chart.log_y, 5, true);
  }

  std::string draw() {
    out_ = fmt::format("<figure class=\"chart\"><figcaption>{}</figcaption>", escape_html(chart_.title));
    if (empty_) return out_ + "<p class=\"soft\">No case supports this score.</p></figure>\n";
    out_ += fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", chart_.width,
                        chart_.height, escape_html(chart_.title));
    draw_axes();
    out_ += fmt::format(
        "<svg x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" viewBox=\"{:.1f} {:.1f} {:.1f} "
        "{:.1f}\">",
        kLeft, kTop, plot_width(), plot_height(), kLeft, kTop, plot_width(), plot_height());
    if (chart_.performance) draw_performance_lines();
    if (std::isfinite(chart_.reference)) {
      line("ref", {{x_.low, chart_.reference}, {x_.high, chart_.reference}});
    }
    for (const Series& series : chart_.series) draw_band(series);
    for (const Series& series : chart_.series) draw_line(series);
    out_ += "</svg>";
    for (const Series& series : chart_.series) draw_markers(series);
    return out_ + "</svg></figure>\n";
  }

 private:
  double plot_width() const { return chart_.width - kLeft - kRight; }
  double plot_height() const { return chart_.height - kTop - kBottom; }
  double px(double x) const { return kLeft + x_.place(x) * plot_width(); }
  double py(double y) const { return kTop + (1. - y_.place(y)) * plot_height(); }

  void draw_axes() {
    const double bottom = kTop + plot_height(), right = kLeft + plot_width();
    for (const double tick : y_.ticks) {
      out_ += fmt::format(
          "<path class=\"grid\" d=\"M{:.1f} {:.1f}H{:.1f}\"/><text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" "
          "text-anchor=\"end\">{}</text>",
          kLeft, py(tick), right, kLeft - 6., py(tick) + 3.5, number_text(tick));
    }
    for (const double tick : x_.ticks) {
      out_ += fmt::format(
          "<path class=\"grid\" d=\"M{:.1f} {:.1f}V{:.1f}\"/><text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" "
          "text-anchor=\"middle\">{}</text>",
          px(tick), kTop, bottom, px(tick), bottom + 14., number_text(tick));
    }
    out_ +=
        fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>", kLeft, kTop, bottom, right);
    out_ += fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                        kLeft + plot_width() / 2., chart_.height - 8., escape_html(chart_.x_label));
    const double middle = kTop + plot_height() / 2.;
    out_ += fmt::format(
        "<text class=\"label\" transform=\"translate(12 {:.1f}) rotate(-90)\" "
        "text-anchor=\"middle\">{}</text>",
        middle, escape_html(chart_.y_label));
  }

  void line(const char* style, const std::vector<std::pair<double, double>>& points) {
    std::string path;
    bool down = false;
    for (const auto& [x, y] : points) {
      if (!x_.drawable(x) || !y_.drawable(y)) {
        down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", px(x), py(y));
      down = true;
    }
    if (!path.empty()) out_ += fmt::format("<path class=\"{}\" d=\"{}\"/>", style, path);
  }

  /// CSI = 1 / (1/success + 1/POD - 1) and bias = POD / success.
  void draw_performance_lines() {
    for (const double csi : {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}) {
      std::vector<std::pair<double, double>> points;
      for (double success = csi; success <= 1.0001; success += 0.01) {
        points.emplace_back(success, 1. / (1. / csi + 1. - 1. / std::min(1., success)));
      }
      line("csi", points);
      out_ += fmt::format("<text class=\"csitext\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
                          px(1.) - 4., py(csi) + 3., csi);  // where the success ratio is 1, POD is the CSI
    }
    for (const double bias : {0.3, 0.5, 0.8, 1., 1.3, 2., 4.}) {
      line("bias", {{0., 0.}, {std::min(1., 1. / bias), std::min(1., bias)}});
    }
  }

  void draw_band(const Series& series) {
    if (series.low.size() != series.x.size() || series.high.size() != series.x.size()) return;
    std::string upper, lower;
    const auto flush = [&] {
      if (!upper.empty())
        out_ += fmt::format("<path class=\"band s{}\" d=\"M{}L{}Z\"/>", series.style, upper, lower);
      upper.clear();
      lower.clear();
    };
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      if (!y_.drawable(series.low[i]) || !y_.drawable(series.high[i]) || !x_.drawable(series.x[i])) {
        flush();
        continue;
      }
      upper += fmt::format("{}{:.1f} {:.1f}", upper.empty() ? "" : "L", px(series.x[i]), py(series.high[i]));
      lower = fmt::format("{:.1f} {:.1f}{}", px(series.x[i]), py(series.low[i]),
                          lower.empty() ? "" : "L" + lower);
    }
    flush();
  }

  void draw_line(const Series& series) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
      points.emplace_back(series.x[i], series.y[i]);
    }
    line(fmt::format("line s{}{}", series.style, series.faint ? " faint" : "").c_str(), points);
  }

  /// Circles carry the number as a tool tip.
  void draw_markers(const Series& series) {
    if (!series.markers) return;
    for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
      const double x = series.x[i], y = series.y[i];
      if (!x_.drawable(x) || !y_.drawable(y) || x < x_.low || x > x_.high || y < y_.low || y > y_.high)
        continue;
      std::string text = fmt::format("{}: {} at {}", series.name, number_text(y), number_text(x));
      if (i < series.low.size() && std::isfinite(series.low[i])) {
        text += fmt::format(" ({} to {})", number_text(series.low[i]), number_text(series.high[i]));
      }
      if (i < chart_.labels.size()) text += ", " + chart_.labels[i];
      out_ += fmt::format(
          "<circle class=\"dot s{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\"><title>{}</title></circle>",
          series.style, px(x), py(y), escape_html(text));
      if (i < chart_.labels.size() && i + 1 == chart_.labels.size()) {
        out_ += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", px(x) + 5.,
                            py(y) - 4., escape_html(chart_.labels[i]));
      }
    }
  }

  const Chart& chart_;
  Axis x_, y_;
  bool empty_ = false;
  std::string out_;
};

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string number_text(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  if (value == 0.) return "0";
  if (std::abs(value) < 1e-4 || std::abs(value) >= 1e9) return fmt::format("{:.{}g}", value, digits);
  if (std::abs(value) < 9999.5) {
    std::string text =
        fmt::format("{:.{}g}", value, std::max(digits, static_cast<int>(std::log10(std::abs(value))) + 1));
    return text;
  }
  std::string text = fmt::format("{:.0f}", std::abs(value));
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "\u202f");
  return (value < 0. ? "-" : "") + text;
}

std::string svg_chart(const Chart& chart) {
  return Drawing(chart).draw();
}

std::string svg_legend(const std::vector<std::pair<std::string, int>>& names_and_styles) {
  std::string out = "<p class=\"legend\">";
  for (const auto& [name, style] : names_and_styles) {
    out += fmt::format(
        "<span><svg viewBox=\"0 0 34 12\" width=\"34\" height=\"12\"><path class=\"line s{0}\" d=\"M1 "
        "6H33\"/>"
        "<circle class=\"dot s{0}\" cx=\"17\" cy=\"6\" r=\"2.6\"/></svg>{1}</span>",
        style, escape_html(name));
  }
  return out + "</p>\n";
}

const char* svg_chart_css() {
  return R"css(
:root{--s0:#0072b2;--s1:#d55e00;--s2:#7a8089;--s3:#009e73;--s4:#aa3377;--s5:#b8860b;--s6:#5b4bc4;--s7:#a0522d;
--grid:#e3e7ec;--axis:#98a1ac}
@media (prefers-color-scheme:dark){:root{--s0:#56b4e9;--s1:#f0894a;--s2:#a4abb5;--s3:#3fc79d;--s4:#e08cc0;--s5:#e0b84c;
--s6:#a79cf0;--s7:#d9926b;--grid:#2b323c;--axis:#68717d}}
.chart{margin:0;min-width:0}.chart figcaption{font-weight:600;font-size:.92rem;margin:0 0 .2rem .2rem}
.chart svg{display:block;width:100%;height:auto}
.chart text{font-family:inherit;fill:var(--soft);font-size:10.5px}.chart .label{font-size:11px;fill:var(--text)}
.grid{stroke:var(--grid);stroke-width:1;fill:none}.axis{stroke:var(--axis);stroke-width:1;fill:none}
.ref{stroke:var(--axis);stroke-width:1.2;fill:none;stroke-dasharray:3 3}
.csi{stroke:var(--axis);stroke-width:.8;fill:none;opacity:.7}.bias{stroke:var(--axis);stroke-width:.7;fill:none;stroke-dasharray:2 4;opacity:.7}
.chart .csitext{font-size:9px;paint-order:stroke;stroke:var(--page);stroke-width:3px}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.band{opacity:.16;stroke:none}
.dot{stroke:var(--card);stroke-width:.8}.faint{opacity:.28;stroke-width:1}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1);stroke-dasharray:7 4}.line.s2{stroke:var(--s2);stroke-dasharray:2 4}
.line.s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}.line.s4{stroke:var(--s4)}.line.s5{stroke:var(--s5);stroke-dasharray:5 3}
.line.s6{stroke:var(--s6)}.line.s7{stroke:var(--s7);stroke-dasharray:4 4}
.band.s0,.dot.s0{fill:var(--s0)}.band.s1,.dot.s1{fill:var(--s1)}.band.s2,.dot.s2{fill:var(--s2)}.band.s3,.dot.s3{fill:var(--s3)}
.band.s4,.dot.s4{fill:var(--s4)}.band.s5,.dot.s5{fill:var(--s5)}.band.s6,.dot.s6{fill:var(--s6)}.band.s7,.dot.s7{fill:var(--s7)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;margin:.2rem 0 .8rem;font-size:.92rem}
.legend span{display:inline-flex;align-items:center;gap:.45rem}
)css";
}

}  // namespace raincell::app
