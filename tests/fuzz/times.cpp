// Texts that providers write: times, time units, units, KNMI's formula, times in file names. Each line of the
// input is tried as each of them.
#include <cmath>
#include <sstream>

#include "io/cf_axes.hpp"
#include "io/formats.hpp"
#include "io/knmi.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace raincell::io;
using raincell::fuzz::require;

template <class Try>
void expect_data_error(Try attempt) {
  try {
    attempt();
  } catch (const DataError&) {
  }
}

void try_line(const std::string& line, const std::string& pattern) {
  if (const auto time = parse_time(line))
    require(parse_time(format_time(*time)) == time, "a time is not read back from its text");
  if (const auto unit = parse_time_unit(line))
    require(unit->first > 0. && std::isfinite(unit->first), "a time unit has no length");
  expect_data_error([&] { knmi_time("fuzz", line); });
  expect_data_error([&] { time_of("fuzz", line.substr(0, 8), line.size() > 8 ? line.substr(8) : ""); });
  expect_data_error([&] {
    Coding coding;
    parse_knmi_formula("fuzz", line, coding);
    require(std::isfinite(coding.gain) && std::isfinite(coding.offset), "a formula without numbers");
  });
  expect_data_error([&] {
    Frame frame;
    frame.window_s = 300;
    const Conversion conversion = conversion_for("fuzz", line, {}, {}, frame);
    require(std::isfinite(conversion.factor) && conversion.factor > 0., "a unit has no size");
  });
  expect_data_error([&] {
    SourceOptions options;
    options.time_from = "filename:" + pattern;
    time_from_name(options, line.substr(0, 255));
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream lines(raincell::fuzz::text_of(data, size));
  std::string line, pattern = R"((\d{8})_?(\d{4}))";
  while (std::getline(lines, line)) {
    try_line(line, pattern);
    if (line.size() < 40) pattern = line;
  }
  return 0;
}
