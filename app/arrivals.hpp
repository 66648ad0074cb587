// inotify as a hint that something arrived in a folder; looking is the truth.
#pragma once

#include <filesystem>

namespace raincell::app {

class Arrivals {
 public:
  /// The folder may be missing or go: then there are no hints until it is back.
  explicit Arrivals(std::filesystem::path folder);
  ~Arrivals();
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  /// Readable when there are hints; -1 where the system has none to give.
  int descriptor() const { return notify_; }
  /// Takes the hints; whether there were any.
  bool happened();

 private:
  void watch();
  std::filesystem::path folder_;
  int notify_ = -1, watched_ = -1;
};

}  // namespace raincell::app
