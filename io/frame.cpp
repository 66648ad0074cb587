#include "io/frame.hpp"

#include <cstdio>

namespace raincell::io {

const char* name_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return "rain_rate";
    case Quantity::reflectivity:
      return "reflectivity";
    case Quantity::vil:
      return "vil";
    case Quantity::intensity:
      return "intensity";
  }
  return "?";
}

const char* unit_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::rain_rate:
      return "mm h-1";
    case Quantity::reflectivity:
      return "dBZ";
    case Quantity::vil:
      return "kg m-2";
    case Quantity::intensity:
      return "1";
  }
  return "?";
}

std::string format_time(TimePoint time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  char text[40];
  const int length =
      std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()));
  std::string out(text, static_cast<std::size_t>(length));
  if (clock.seconds().count() != 0) {
    std::snprintf(text, sizeof text, ":%02d", static_cast<int>(clock.seconds().count()));
    out += text;
  }
  return out + "Z";
}

std::optional<TimePoint> parse_time(const std::string& text) {
  // YYYY-MM-DDTHH:MM[:SS][Z]; a strict grammar, no locale.
  const auto digits = [&](std::size_t at, std::size_t count) -> int {
    int value = 0;
    if (at + count > text.size()) return -1;
    for (std::size_t i = at; i < at + count; ++i) {
      if (text[i] < '0' || text[i] > '9') return -1;
      value = value * 10 + (text[i] - '0');
    }
    return value;
  };
  const auto is = [&](std::size_t at, char c) { return at < text.size() && text[at] == c; };
  const int year = digits(0, 4), month = digits(5, 2), day = digits(8, 2), hour = digits(11, 2),
            minute = digits(14, 2);
  if (!is(4, '-') || !is(7, '-') || !(is(10, 'T') || is(10, ' ')) || !is(13, ':')) return std::nullopt;
  std::size_t end = 16;
  int second = 0;
  if (is(16, ':')) {
    second = digits(17, 2);
    end = 19;
  }
  if (is(end, 'Z')) ++end;
  if (end != text.size() || year < 1 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0) {
    return std::nullopt;
  }
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second};
}

}  // namespace raincell::io
