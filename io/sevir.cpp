#include "io/sevir.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace raincell::io {
namespace {

constexpr const char* kColumns[] = {
    "id",        "file_name", "file_index", "img_type", "time_utc", "minute_offsets", "llcrnrlat",
    "llcrnrlon", "proj",      "size_x",     "size_y",   "height_m", "width_m"};

/// The cells of a line; a quoted one may hold commas, and quotes given twice.
std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += line[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  return cells;
}

/// A line by the names of its columns.
class Row {
 public:
  Row(const std::map<std::string, std::size_t>& columns, std::vector<std::string> cells)
      : columns_(columns), cells_(std::move(cells)) {}
  const std::string& text(const char* column) const { return cells_[columns_.at(column)]; }
  double number(const char* column) const {
    const std::string& cell = text(column);
    double value = 0.;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc{} || end != cell.data() + cell.size() || !std::isfinite(value))
      throw DataError(fmt::format("{}: \"{}\" is no number", column, cell.substr(0, 40)));
    return value;
  }
  std::int64_t count(const char* column, double most) const {
    const double value = number(column);
    if (value < 0. || value > most || value != std::floor(value))
      throw DataError(fmt::format("{}: {}; expected a whole number of 0 to {}", column, value, most));
    return static_cast<std::int64_t>(value);
  }

 private:
  const std::map<std::string, std::size_t>& columns_;
  std::vector<std::string> cells_;
};

/// Minutes around time_utc, "-120:-115:...:120", as the start and the step of the frames.
void take_times(const Row& row, SevirEvent& event) {
  const auto centre = parse_time(row.text("time_utc"));
  if (!centre)
    throw DataError(fmt::format("time_utc: \"{}\" is no time", row.text("time_utc").substr(0, 40)));
  std::istringstream offsets(row.text("minute_offsets"));
  std::vector<std::int64_t> seconds;
  for (std::string text; std::getline(offsets, text, ':');) {
    double minutes = 0.;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minutes);
    if (error != std::errc{} || end != text.data() + text.size() || !(std::abs(minutes) < 1e5))
      throw DataError(fmt::format("minute_offsets: \"{}\" is no number of minutes", text.substr(0, 40)));
    seconds.push_back(std::llround(minutes * 60.));
  }
  if (seconds.size() < 2) throw DataError("minute_offsets: expected at least two, as in -120:-115:...:120");
  event.steps = static_cast<std::int64_t>(seconds.size());
  event.step_s = seconds[1] - seconds[0];
  event.start = *centre + std::chrono::seconds{seconds[0]};
  for (std::size_t i = 1; i < seconds.size(); ++i) {
    if (event.step_s <= 0 || seconds[i] - seconds[i - 1] != event.step_s)
      throw DataError(fmt::format("minute_offsets: the steps differ (at place {}); expected one step", i));
  }
}

SevirEvent event_of(const Row& row) {
  constexpr double kMostSide = 32768, kMostIndex = 1e6;
  SevirEvent event;
  event.id = row.text("id");
  event.file = row.text("file_name");
  const bool plain =
      !event.id.empty() && event.id.find_first_of("/\\") == std::string::npos && event.id[0] != '.';
  if (!plain) throw DataError(fmt::format("id: \"{}\" cannot name an archive", event.id.substr(0, 40)));
  if (event.file.empty() || event.file[0] == '/' || event.file.find("..") != std::string::npos)
    throw DataError(fmt::format("file_name: \"{}\"; expected a path below the folder of the data",
                                event.file.substr(0, 80)));
  event.index = row.count("file_index", kMostIndex);
  take_times(row, event);
  Grid& grid = event.grid;
  grid.columns = row.count("size_x", kMostSide);
  grid.rows = row.count("size_y", kMostSide);
  const double width_m = row.number("width_m"), height_m = row.number("height_m");
  if (grid.columns < 1 || grid.rows < 1 || !(width_m > 0.) || !(height_m > 0.))
    throw DataError(
        fmt::format("{}x{} pixels of {} x {} m enclose nothing", grid.columns, grid.rows, width_m, height_m));
  grid.projection = clean_projection(row.text("proj"));
  const auto [west, south] =
      LonLatTransform(grid.projection).from_lonlat(row.number("llcrnrlon"), row.number("llcrnrlat"));
  if (!std::isfinite(west) || !std::isfinite(south))
    throw DataError("its lower left corner cannot be projected");
  grid.dx = width_m / static_cast<double>(grid.columns);
  grid.dy = height_m / static_cast<double>(grid.rows);
  // To the metre, which is more than the corners' own digits give.
  grid.x0 = std::round(west);
  grid.y0 = std::round(south + height_m);
  return event;
}

std::map<std::string, std::size_t> columns_of(const std::string& head) {
  std::map<std::string, std::size_t> columns;
  constexpr std::string_view kMark = "\xef\xbb\xbf";  // spreadsheets begin UTF-8 with it
  const std::vector<std::string> names = cells_of(head.starts_with(kMark) ? head.substr(kMark.size()) : head);
  for (std::size_t i = 0; i < names.size(); ++i) columns.emplace(names[i], i);
  return columns;
}

}  // namespace

bool is_sevir_catalogue(const std::string& text) {
  const auto columns = columns_of(text.substr(0, std::min<std::size_t>(text.find('\n'), 4096)));
  return columns.contains("id") && columns.contains("file_name") &&
         (columns.contains("img_type") || columns.contains("minute_offsets"));
}

SevirCatalogue parse_sevir_catalogue(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  const std::map<std::string, std::size_t> columns = columns_of(line);
  for (const char* name : kColumns) {
    if (!columns.contains(name))
      throw DataError(
          fmt::format("sevir: line 1: the column {} is missing; expected SEVIR's CATALOG.csv", name));
  }
  std::size_t width = 0;
  for (const auto& [name, place] : columns) width = std::max(width, place + 1);
  SevirCatalogue catalogue;
  std::map<std::string, std::int64_t> line_of;  // of an id
  for (std::int64_t number = 2; std::getline(lines, line); ++number) {
    if (line.empty() || line == "\r") continue;
    try {
      std::vector<std::string> cells = cells_of(line);
      if (cells.size() < width)
        throw DataError(fmt::format("has {} cells; expected {}", cells.size(), width));
      const Row row(columns, std::move(cells));
      if (row.text("img_type") != "vil") continue;
      SevirEvent event = event_of(row);
      const auto [known, is_new] = line_of.emplace(event.id, number);
      if (!is_new)
        throw DataError(fmt::format("the id {} is there twice, first in line {}", event.id, known->second));
      catalogue.events.push_back(std::move(event));
    } catch (const DataError& error) {
      catalogue.rejected.push_back(fmt::format("line {}: {}", number, error.what()));
    }
  }
  if (catalogue.events.empty()) {
    throw DataError(fmt::format("sevir: no event of radar VIL (img_type vil){}",
                                catalogue.rejected.empty() ? "" : "; " + catalogue.rejected.front()));
  }
  std::stable_sort(catalogue.events.begin(), catalogue.events.end(),
                   [](const SevirEvent& a, const SevirEvent& b) { return a.start < b.start; });
  return catalogue;
}

std::string sevir_layout(const SevirEvent& event) {
  const Grid& grid = event.grid;
  const nlohmann::json layout = {
      {"dataset", "/vil"},
      {"axes", {"event", "y", "x", "time"}},
      {"select", {{"event", event.index}}},
      {"named", {{"dataset", "/id"}, {"index", event.index}, {"name", event.id}}},
      {"decode", "sevir_vil"},
      {"quantity", "vil"},
      {"rows", "south"},
      {"time", {{"start", format_time(event.start)}, {"step_s", event.step_s}, {"steps", event.steps}}},
      {"grid",
       {{"projection", grid.projection},
        {"x0", grid.x0},
        {"y0", grid.y0},
        {"dx", grid.dx},
        {"dy", grid.dy},
        {"rows", grid.rows},
        {"columns", grid.columns}}}};
  return layout.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace raincell::io
