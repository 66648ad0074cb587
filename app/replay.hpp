// Files of the past that arrive in a folder as if they came from the radar now: the demo, and the test bed.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>

#include "app/log.hpp"
#include "io/frame.hpp"
#include "io/reader.hpp"

namespace raincell::app {

class Replay {
 public:
  /// Looks through `from`; files arrive in `to`, which is emptied of what an earlier replay left, `delay`
  /// after the time of their last frame. Throws DataError when nothing is readable.
  Replay(const std::filesystem::path& from, std::filesystem::path to, const io::SourceOptions&,
         std::chrono::seconds delay, Log&);

  io::TimePoint first() const { return files_.begin()->first; }
  io::TimePoint last() const { return files_.rbegin()->first; }
  std::chrono::seconds step() const { return step_; }
  /// Delivers what is due. Throws io::WriteError.
  void feed(io::TimePoint now);
  bool over() const { return next_ == files_.end(); }
  /// When the next file is due.
  io::TimePoint due() const { return next_->first + delay_; }

 private:
  std::filesystem::path to_;
  std::chrono::seconds delay_, step_{0};
  std::multimap<io::TimePoint, std::filesystem::path> files_;  // by the time of their last frame
  std::multimap<io::TimePoint, std::filesystem::path>::const_iterator next_;
};

}  // namespace raincell::app
