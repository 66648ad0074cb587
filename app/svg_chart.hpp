// Line charts as inline SVG that follow the page's light or dark colours.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace raincell::app {

inline constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

/// One line. NaN breaks it; `low` and `high`, where given, are drawn as a band.
struct Series {
  std::string name;
  std::vector<double> x{}, y{};
  std::vector<double> low{}, high{};  // empty, or one each x
  int style = 0;                      // colour, dash and marker: 0 ... 7, the CSS classes s0 ... s7
  bool markers = true;
  bool faint = false;  // behind its own smoothed line
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  double y_low = kNoNumber, y_high = kNoNumber;  // NaN: from the data
  double x_low = kNoNumber, x_high = kNoNumber;
  bool log_x = false, log_y = false;
  double reference = kNoNumber;     // a thin horizontal line, such as 1 for the bias
  bool performance = false;         // lines of equal CSI and bias behind points of success ratio and POD
  std::vector<std::string> labels;  // performance: text at each point of a series
  int width = 380, height = 250;
};

/// "&lt;" for "<", and so on.
std::string escape_html(const std::string&);
/// Short, without needless zeros: "0.25", "1.2e-05", "12 345". "–" for NaN.
std::string number_text(double value, int digits = 3);
/// <figure> with the chart. A chart without a finite point says so.
std::string svg_chart(const Chart&);
/// Swatches of the styles in use.
std::string svg_legend(const std::vector<std::pair<std::string, int>>& names_and_styles);
/// The styles of charts: colours for light and dark, dashes.
const char* svg_chart_css();

}  // namespace raincell::app
