// SEVIR (Veillette et al., NeurIPS 2020): thousands of four-hour events of radar VIL, each on a grid of its
// own, in HDF5 files beside a table, CATALOG.csv, that alone says where and when they were.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::io {

struct SevirEvent {
  std::string id, file;    // file: below the folder "data"
  std::int64_t index = 0;  // in the file
  TimePoint start;
  std::int64_t step_s = 0, steps = 0;
  Grid grid;
};

struct SevirCatalogue {
  std::vector<SevirEvent> events;     // of radar VIL, in order of time
  std::vector<std::string> rejected;  // "line 7: what is wrong": lines that no event was made of
};

/// True when the text begins with the head of such a table.
bool is_sevir_catalogue(const std::string& text);
/// Throws DataError when a column is missing or there is no event; a line that is wrong costs that line, and
/// of events with the same id the first is taken.
SevirCatalogue parse_sevir_catalogue(const std::string& text);
/// How the reader finds the event in its file: SourceOptions::description.
std::string sevir_layout(const SevirEvent&);

}  // namespace raincell::io
