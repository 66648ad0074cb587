#include "app/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>

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

}  // namespace

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

std::string chart_grid(const std::vector<Chart>& all, const char* layout) {
  std::string out = fmt::format("<div class=\"{}\">\n", layout);
  for (const Chart& chart : all) out += svg_chart(chart);
  return out + "</div>\n";
}

std::string picture_panels(const std::vector<ReportPicture>& all) {
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
  for (const ReportSection& section : sections) {
    std::vector<std::pair<std::string, int>> names;
    for (const Chart& chart : section.charts) {
      for (const Series& series : chart.series) {
        const std::pair<std::string, int> entry{series.name, series.style};
        if (std::find(names.begin(), names.end(), entry) == names.end()) names.push_back(entry);
      }
    }
    out += heading(section.title, section.text) + svg_legend(names) + chart_grid(section.charts);
  }
  return out;
}

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

}  // namespace raincell::app
