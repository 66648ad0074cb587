#include "app/unreadable_frames.hpp"

#include <fmt/format.h>

namespace raincell::app {

namespace {

constexpr std::size_t kMostNamed = 5;  // of an archive, each in a line of its own

}  // namespace

void UnreadableFrames::look() {
  said_.resize(archives_.size());
  std::int64_t met = 0, bad = 0;
  std::string first;
  for (std::size_t i = 0; i < archives_.size(); ++i) {
    const std::vector<io::Archive::Unreadable> unreadable = archives_[i].unreadable();
    met += archives_[i].frames_met();
    bad += static_cast<std::int64_t>(unreadable.size());
    if (first.empty() && !unreadable.empty()) first = unreadable.front().why;
    for (; said_[i] < unreadable.size() && said_[i] < kMostNamed; ++said_[i])
      log_.warning(unreadable[said_[i]].why + "; samples with it are left out");
    if (said_[i] < unreadable.size()) {
      log_.warning(fmt::format("{}: {} frames cannot be read by now; samples with them are left out",
                               archives_[i].parts().front().string(), unreadable.size()));
      said_[i] = unreadable.size();
    }
  }
  if (bad == 0 || static_cast<double>(bad) <= most_ * static_cast<double>(met)) return;
  throw io::DataError(fmt::format(
      "{} of {} frames that were read could not be, more than data.unreadable ({}) allows: {}; the same "
      "command goes on from the last checkpoint when the archive is whole again",
      bad, met, most_, first));
}

}  // namespace raincell::app
