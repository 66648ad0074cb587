#include "app/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/errors.hpp"
#include "io/frame.hpp"

namespace raincell::app {

namespace {

constexpr int kBarWidth = 24;
constexpr double kBarSeconds = 0.1;    // between two drawings of the bar
constexpr double kPlainSeconds = 15.;  // between two plain lines

int write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

bool set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

/// Bytes of the UTF-8 character that the text begins with; 0 where it begins with none.
std::size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const std::size_t length = first < 0x80                     ? 1
                             : first >= 0xc2 && first <= 0xdf ? 2
                             : (first & 0xf0) == 0xe0         ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f ||
                         (byte == 0xc2 && length == 2 && static_cast<unsigned char>(text[1]) < 0xa0);
    if (length == 0 || control) {
      for (const char c : text.substr(0, std::max<std::size_t>(1, length)))
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return out;
}

std::string format_bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024. && unit < 4) {
    bytes /= 1024.;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string format_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(seconds + 0.5);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600 && total % 60 == 0) return fmt::format("{} min", total / 60);
  if (total < 3600) return fmt::format("{}:{:02} min", total / 60, total % 60);
  if (total % 3600 == 0) return fmt::format("{} h", total / 3600);
  if (total % 60 == 0) return fmt::format("{}:{:02} h", total / 3600, total / 60 % 60);
  return fmt::format("{}:{:02}:{:02} h", total / 3600, total / 60 % 60, total % 60);
}

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Log::Log() : terminal_(::isatty(STDERR_FILENO) == 1) {
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::strcmp(term, "dumb") == 0;
  color_ = terminal_ && !set("NO_COLOR") && !dumb;
  terminal_ = terminal_ && !dumb;
}

void Log::result(std::string_view text) {
  if (bar_shown_) raw("\r\x1b[K");
  bar_shown_ = false;
  const int failure = write_all(STDOUT_FILENO, printable(text) + '\n');
  if (failure == EPIPE) throw OutputClosed();
  if (failure != 0) {
    throw io::WriteError(fmt::format(
        "stdout: cannot write the result: {}; free some space or write elsewhere", std::strerror(failure)));
  }
}

void Log::raw(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

void Log::message(std::string_view color, std::string_view prefix, std::string_view text) {
  std::string line = bar_shown_ ? "\r\x1b[K" : "";
  bar_shown_ = false;
  if (color_ && !prefix.empty()) {
    line += fmt::format("\x1b[{}m{}\x1b[0m", color, prefix);
  } else {
    line += prefix;
  }
  raw(line + printable(text) + '\n');
}

void Log::speak_as(std::string who, bool report) {
  who_ = std::move(who) + ": ";
  reports_ = report;
  terminal_ = terminal_ && report;
}

void Log::info(std::string_view text) {
  if (reports_) message("", "", text);
}
void Log::warning(std::string_view text) {
  if (reports_) message("33", "warning: ", text);
}
void Log::error(std::string_view text) {
  message("31", "error: ", who_ + std::string(text));
}

Progress::Progress(Log& log, std::string what, std::int64_t total, std::string unit, std::int64_t done_before)
    : log_(log),
      what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      start_(done_before),
      done_(done_before),
      begin_(Clock::now()),
      shown_(begin_) {}

Progress::~Progress() {
  if (log_.bar_shown_) log_.raw("\r\x1b[K");
  log_.bar_shown_ = false;
}

std::string Progress::line(bool bar) const {
  const double elapsed = seconds_between(begin_, Clock::now());
  const double rate = elapsed > 0. ? static_cast<double>(done_ - start_) / elapsed : 0.;
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 0.;
  std::string text = what_ + "  ";
  if (bar) {
    const int full = static_cast<int>(share * kBarWidth);
    text += '[' + std::string(static_cast<std::size_t>(full), '#') +
            std::string(static_cast<std::size_t>(kBarWidth - full), '.') + "] ";
  }
  text += fmt::format("{:3.0f} %  {}/{} {}", 100. * share, done_, total_, unit_);
  if (rate > 0.) {
    text += rate >= 1. ? fmt::format("  {:.1f}/s", rate) : fmt::format("  {:.1f} s each", 1. / rate);
    text += "  " + format_duration(static_cast<double>(total_ - done_) / rate) + " left";
  }
  return note_.empty() ? text : text + "  " + note_;
}

void Progress::update(std::int64_t done, std::string_view note) {
  done_ = done < total_ ? done : total_;
  note_ = note;
  const auto now = Clock::now();
  const double waited = seconds_between(shown_, now);
  if (log_.terminal_ && (waited >= kBarSeconds || done_ == total_)) {
    shown_ = now;
    log_.raw("\r\x1b[K" + printable(line(true)));
    log_.bar_shown_ = true;
  } else if (!log_.terminal_ && waited >= kPlainSeconds) {
    shown_ = now;
    log_.info(line(false));
  }
}

}  // namespace raincell::app
