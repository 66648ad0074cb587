#include "app/report_pack.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/log.hpp"
#include "app/report_page.hpp"
#include "io/picture.hpp"

namespace raincell::app {
namespace {

constexpr std::size_t kShownNotes = 200, kDrawnMoments = 2000;

std::string percent(double share) {
  return fmt::format("{:.2f} %", 100. * share);
}

Facts facts_of(const io::PackReport& report) {
  Facts facts = {{"frames", fmt::format("{}", report.frames)},
                 {"time", io::format_time(report.first) + " to " + io::format_time(report.last)},
                 {"step", format_duration(static_cast<double>(report.step_s))},
                 {"quantity", report.quantity + " [" + report.unit + "]"},
                 {"grid", report.grid},
                 {"covered", percent(report.covered_fraction)},
                 {"wet", percent(report.wet_fraction) + " of what is covered"},
                 {"mean, 99th percentile, maximum",
                  fmt::format("{:.3g}, {:.3g}, {:.4g} {}", report.mean, report.p99, report.max, report.unit)},
                 {"suspected clutter", fmt::format("{} pixels", report.clutter_pixels)}};
  if (!report.zr.empty()) facts.emplace_back("Z-R", report.zr);
  if (report.already_there > 0) facts.emplace_back("already there", fmt::format("{}", report.already_there));
  if (report.clipped > 0) facts.emplace_back("clipped values", fmt::format("{}", report.clipped));
  if (const auto split = io::suggest_split(report.moments)) {
    std::string train;
    for (const auto& ends : split->train) train += (train.empty() ? "" : ", ") + range_text(ends);
    facts.emplace_back("to train on", fmt::format("{} (wet {})", train, percent(split->wet_train)));
    facts.emplace_back("to test on",
                       fmt::format("{} (wet {})", range_text(split->test), percent(split->wet_test)));
  }
  return facts;
}

/// The share of frames, shown with the classes of an intensity: 0.05 to 0.95.
ReportPicture share_map(const io::PackMap& map, const std::string& caption) {
  return {"", caption,
          io::draw_map(map.grid, map.values, {caption, "", io::MapKind::unmarked, io::Quantity::intensity})};
}

std::string maps(const io::PackReport& report) {
  io::Quantity quantity = io::Quantity::rain_rate;
  for (const io::Quantity q : {io::Quantity::reflectivity, io::Quantity::vil, io::Quantity::intensity}) {
    if (report.quantity == io::name_of(q)) quantity = q;
  }
  const std::string mean = "mean of the covering frames";
  std::vector<ReportPicture> all = {share_map(report.cover_map, "share of frames that cover the pixel"),
                                    {"", mean,
                                     io::draw_map(report.mean_map.grid, report.mean_map.values,
                                                  {mean, "", io::MapKind::unmarked, quantity})},
                                    share_map(report.wet_map, "share of covering frames in which it is wet")};
  std::string out = "<div class=\"maps\">\n";
  for (const ReportPicture& picture : all) {
    out += fmt::format(
        "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
        escape_html(picture.caption), base64(picture.bytes));
  }
  return out + "</div>\n";
}

Chart chart(const std::string& title, const std::string& x, const std::string& y) {
  Chart made;
  made.title = title;
  made.x_label = x;
  made.y_label = y;
  made.y_low = 0.;
  return made;
}

/// Covered and wet shares against time; of long archives the mean of neighbours.
std::vector<Chart> curves(const io::PackReport& report) {
  const std::vector<io::PackMoment>& moments = report.moments;
  const std::size_t group = moments.size() / kDrawnMoments + 1;
  const bool days = report.last - report.first > std::chrono::days{4};
  Series covered{.name = "covered", .style = 0, .markers = false},
      wet{.name = "wet", .style = 1, .markers = false};
  for (std::size_t i = 0; i < moments.size(); i += group) {
    double sums[2] = {0., 0.};
    const std::size_t end = std::min(moments.size(), i + group);
    for (std::size_t j = i; j < end; ++j) {
      sums[0] += moments[j].covered;
      sums[1] += moments[j].wet;
    }
    const auto seconds = static_cast<double>((moments[i].time - report.first).count());
    for (const auto& [series, sum] : {std::pair{&covered, sums[0]}, std::pair{&wet, sums[1]}}) {
      // A hole in the archive is a hole in the curve.
      if (i > 0 && moments[i].time - moments[i - 1].time > std::chrono::seconds{report.step_s * 3 / 2}) {
        series->x.push_back(seconds / (days ? 86400. : 3600.));
        series->y.push_back(kNoNumber);
      }
      series->x.push_back(seconds / (days ? 86400. : 3600.));
      series->y.push_back(100. * sum / static_cast<double>(end - i));
    }
  }
  const std::string x = fmt::format("{} after {}", days ? "days" : "hours", io::format_time(report.first));
  Chart cover = chart("Covered", x, "% of all pixels"), rain = chart("Wet", x, "% of the covered pixels");
  cover.y_high = 100.;
  cover.series = {covered};
  rain.series = {wet};
  for (Chart* each : {&cover, &rain}) {
    each->width = 560;
    each->height = 260;
  }
  return {cover, rain};
}

template <std::size_t N>
std::vector<Chart> climate_charts(const std::array<io::Climate, N>& all, const std::string& name,
                                  double first, const std::string& unit) {
  Series wet{.name = "wet", .style = 1}, mean{.name = "mean", .style = 2},
      p99{.name = "99th percentile", .style = 3};
  for (std::size_t i = 0; i < N; ++i) {
    const double x = first + static_cast<double>(i);
    const bool met = all[i].covered > 0.;
    for (const auto& [series, value] : {std::pair{&wet, 100. * all[i].wet / all[i].covered},
                                        std::pair{&mean, all[i].mean}, std::pair{&p99, all[i].p99}}) {
      series->x.push_back(x);
      series->y.push_back(met ? value : kNoNumber);
    }
  }
  const std::string x = name + ", UTC";
  Chart a = chart("Wet by " + name, x, "% of the covered pixels"), b = chart("Mean by " + name, x, unit),
        c = chart("99th percentile by " + name, x, unit);
  a.series = {wet};
  b.series = {mean};
  c.series = {p99};
  for (Chart* each : {&a, &b, &c}) {
    each->x_low = first;
    each->x_high = first + static_cast<double>(N) - 1.;
  }
  return {a, b, c};
}

std::ptrdiff_t months_met(const io::PackReport& report) {
  return std::count_if(report.months.begin(), report.months.end(),
                       [](const io::Climate& climate) { return climate.frames > 0; });
}

/// Mean by month and hour.
std::string month_table(const io::PackReport& report) {
  std::string out =
      "<details><summary>Mean by month and hour</summary><div class=\"scroll\"><table><tr><th>month</th>";
  for (int hour = 0; hour < 24; ++hour) out += fmt::format("<th>{:02}</th>", hour);
  for (std::size_t m = 0; m < report.months.size(); ++m) {
    if (report.months[m].frames == 0) continue;
    out += fmt::format("</tr>\n<tr><td>{}</td>", m + 1);
    for (const io::Climate& climate : report.month_hours[m])
      out += fmt::format("<td>{}</td>", climate.covered > 0. ? number_text(climate.mean, 2) : "–");
  }
  return out + "</tr></table></div></details>\n";
}

struct Remark {
  std::string when, what, where, why;
};

void add_notes(std::vector<Remark>& remarks, const char* what, const std::vector<io::PackNote>& notes) {
  for (const io::PackNote& note : notes)
    remarks.push_back({io::format_time(note.time), what, note.source, note.reason});
}

std::vector<Remark> remarks_of(const io::PackReport& report, const io::Catalogue& catalogue) {
  std::vector<Remark> all;
  for (const io::PackGap& gap : report.gaps) {
    all.push_back({io::format_time(gap.last_before), "gap", "",
                   fmt::format("{} frames missing until {}", gap.missing, io::format_time(gap.first_after))});
  }
  for (std::size_t i = 1; i < report.steps.size(); ++i) {
    all.push_back(
        {io::format_time(report.steps[i].from), "step changes", "",
         fmt::format("{} instead of {}", format_duration(static_cast<double>(report.steps[i].step_s)),
                     format_duration(static_cast<double>(report.steps[i - 1].step_s)))});
  }
  add_notes(all, "duplicate (left out)", report.duplicates);
  for (const NoteList& list : kNoteLists) add_notes(all, list.title, report.*list.notes);
  std::stable_sort(all.begin(), all.end(), [](const Remark& a, const Remark& b) { return a.when < b.when; });
  for (const io::Rejected& file : catalogue.duplicates)
    all.push_back({"", "duplicate (left out)", file.file.string(), file.reason});
  for (const io::Rejected& file : catalogue.rejected)
    all.push_back({"", "rejected", file.file.string(), file.reason});
  return all;
}

std::string remark_table(const std::vector<Remark>& all) {
  if (all.empty()) return "<p>Nothing: no gap, no duplicate, no change, no stuck frame.</p>\n";
  std::string out =
      "<div class=\"panel scroll\"><table><tr><th>time</th><th>what</th><th>file</th><th>why</th></tr>\n";
  for (std::size_t i = 0; i < std::min(all.size(), kShownNotes); ++i) {
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", escape_html(all[i].when),
                       escape_html(all[i].what), escape_html(all[i].where), escape_html(all[i].why));
  }
  out += "</table></div>\n";
  if (all.size() > kShownNotes)
    out += fmt::format("<p class=\"soft\">and {} more: raincell pack --json lists all</p>\n",
                       all.size() - kShownNotes);
  return out;
}

}  // namespace

std::string range_text(const std::pair<io::TimePoint, io::TimePoint>& range) {
  return io::format_time(range.first) + "/" + io::format_time(range.second);
}

std::string pack_report_page(const io::PackReport& report, const io::Catalogue& catalogue,
                             const std::string& archive) {
  std::string body = "<p></p>" + facts_panel(facts_of(report));
  if (report.moments.empty()) return page("Archive " + archive, "nothing new was packed", body);
  const std::vector<Remark> remarks = remarks_of(report, catalogue);
  body += heading("Remarks", fmt::format("{} in all. What was left out is not in the archive; the rest is.",
                                         remarks.size()));
  body += remark_table(remarks);
  body +=
      heading("Maps",
              "Over all frames packed now. Rings and spokes are the radars' reach and their blockage; single "
              "pixels that are nearly always wet are clutter.");
  body += maps(report);
  body += heading("In time", "") + chart_grid(curves(report), "wide");
  body += heading("Climate", "Of the covered pixels.");
  body += chart_grid(climate_charts(report.hours, "hour", 0., report.unit));
  if (months_met(report) > 1)
    body += chart_grid(climate_charts(report.months, "month", 1., report.unit)) + month_table(report);
  return page("Archive " + archive,
              fmt::format("{} frames, {} to {}", report.frames, io::format_time(report.first),
                          io::format_time(report.last)),
              body);
}

}  // namespace raincell::app
