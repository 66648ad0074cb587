// The only place that prints: stdout carries results, stderr carries messages.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace raincell::app {

/// Control characters, and bytes that are no UTF-8, as \xNN, so that a file name cannot forge a line or a
/// terminal command.
std::string printable(std::string_view text);
/// "1.5 GiB"
std::string format_bytes(double bytes);
/// "1:02:03 h", "1:30 h", "2 h", "4:05 min", "5 min", "12 s"
std::string format_duration(double seconds);

/// Names in files and of files need not be UTF-8: what is not is replaced. indent -1: one line.
std::string json_text(const nlohmann::ordered_json&, int indent = -1);

/// Writes results and messages. Colours only on a terminal, never with NO_COLOR set or TERM=dumb.
class Log {
 public:
  Log();
  /// One line (or several) of result. Throws OutputClosed when nobody reads, io::WriteError when the disk is
  /// full.
  void result(std::string_view text);
  void info(std::string_view text);
  void warning(std::string_view text);
  void error(std::string_view text);
  /// One of several processes: its errors begin with `who`; where it does not `report`, they are all it
  /// prints.
  void speak_as(std::string who, bool report);
  bool terminal() const { return terminal_; }
  bool color() const { return color_; }

 private:
  friend class Progress;
  void message(std::string_view color, std::string_view prefix, std::string_view text);
  void raw(std::string_view text);
  bool terminal_ = false, color_ = false, reports_ = true;
  std::atomic<bool> bar_shown_ = false;  // threads may speak at any time, a line each
  std::string who_;
};

/// Progress of long work: a bar with rate and remaining time on a terminal, now and then a plain line
/// otherwise.
class Progress {
 public:
  Progress(Log&, std::string what, std::int64_t total, std::string unit, std::int64_t done_before = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `note` is shown behind the numbers, e.g. "loss 0.0123".
  void update(std::int64_t done, std::string_view note = {});
  /// When the total is known only later.
  void total(std::int64_t total) { total_ = total; }

 private:
  using Clock = std::chrono::steady_clock;
  std::string line(bool bar) const;
  Log& log_;
  std::string what_, unit_, note_;
  std::int64_t total_, start_, done_;
  Clock::time_point begin_, shown_;
};

}  // namespace raincell::app
