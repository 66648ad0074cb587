// The page of raincell pack: what an archive holds and what is wrong with it, with maps and curves.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/catalogue.hpp"
#include "io/pack_report.hpp"

namespace raincell::app {

/// The lists of remarks of a report, by key and title.
struct NoteList {
  const char *key, *title;
  std::vector<io::PackNote> io::PackReport::*notes;
};
inline constexpr NoteList kNoteLists[] = {
    {"stuck", "stuck (rain identical to the frame before; packed)", &io::PackReport::stuck},
    {"changes", "other grid or quantity (left out)", &io::PackReport::changes},
    {"unit_changes", "unit or window changed (packed)", &io::PackReport::unit_changes},
    {"coding_changes", "gain, offset or codes changed (packed)", &io::PackReport::coding_changes},
    {"jitter", "off the steps (packed)", &io::PackReport::jitter},
    {"overlapping", "amounts that overlap (packed)", &io::PackReport::overlapping},
    {"out_of_order", "out of order (left out)", &io::PackReport::out_of_order},
    {"all_missing", "nothing observed (packed)", &io::PackReport::all_missing}};

/// "FROM/TO", as data.train takes it.
std::string range_text(const std::pair<io::TimePoint, io::TimePoint>&);

/// One self-contained HTML page. `archive` is its path, for the title.
std::string pack_report_page(const io::PackReport&, const io::Catalogue&, const std::string& archive);

}  // namespace raincell::app
