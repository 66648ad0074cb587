// Frames of a training's archives that cannot be read, as they come to light while it runs.
#pragma once

#include <cstdint>
#include <vector>

#include "app/log.hpp"
#include "io/archive.hpp"

namespace raincell::app {

class UnreadableFrames {
 public:
  /// `most`: the share of the frames met that may be unreadable. The archives must outlive it.
  UnreadableFrames(const std::vector<io::Archive>& archives, double most, Log& log)
      : archives_(archives), most_(most), log_(log) {}
  /// Says those that are new. Throws DataError when there are too many.
  void look();

 private:
  const std::vector<io::Archive>& archives_;
  double most_;
  Log& log_;
  std::vector<std::size_t> said_;  // by archive
};

}  // namespace raincell::app
