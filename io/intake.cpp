#include "io/intake.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>
#include <utility>

#include "io/catalogue.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// Of values and of what is missing: a file that was copied again holds the same.
std::string hash_of(const Frame& frame) {
  const auto values = std::as_bytes(std::span(frame.values));
  return sha256(values).substr(0, 32);
}

}  // namespace

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::revised:
      return "revised";
    case Verdict::duplicate:
      return "duplicate";
    case Verdict::early:
      return "early";
    case Verdict::old:
      return "old";
    case Verdict::foreign:
      return "foreign";
    case Verdict::unreadable:
      return "unreadable";
    case Verdict::refused:
      return "refused";
  }
  return "";
}

Intake::Intake(fs::path folder, IntakeSpec spec)
    : folder_(std::move(folder)), spec_(std::move(spec)), reader_(spec_.source) {}

std::optional<Intake::Stamp> Intake::stamp_of(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return Stamp{static_cast<std::uintmax_t>(info.st_size),
               static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec,
               info.st_ino};
}

/// Names that came and went; those that were there before the first look, but for the newest, are left alone.
void Intake::list(Moment now) {
  const auto folder = stamp_of(folder_);
  if (folder && !stirred_ && listed_ == folder && now.steady - listed_at_ < spec_.relist) return;
  std::vector<Rejected> rejected;
  std::vector<fs::path> names;
  try {
    names = list_files({folder_}, rejected);
    trouble_ = rejected.empty() ? "" : rejected.front().file.string() + ": " + rejected.front().reason;
  } catch (const DataError& error) {  // an empty folder too
    std::error_code none;
    trouble_ = fs::is_directory(folder_, none) && fs::is_empty(folder_, none) ? "" : error.what();
  }
  listed_ = folder;
  listed_at_ = now.steady;
  stirred_ = false;
  std::map<fs::path, File> present;
  std::vector<std::pair<std::int64_t, fs::path>> new_ones;
  for (const fs::path& name : names) {
    const auto stamp = stamp_of(name);
    if (!stamp) continue;
    const auto known = files_.find(name);
    if (known != files_.end()) {
      present.insert(files_.extract(known));
    } else {
      present.emplace(name, File{*stamp, now.steady, now.steady, 0, false, {}});
      new_ones.emplace_back(stamp->changed_ns, name);
    }
  }
  files_ = std::move(present);
  if (first_ && !names.empty()) {
    first_ = false;
    std::sort(new_ones.rbegin(), new_ones.rend());
    for (std::size_t i = spec_.kept; i < new_ones.size(); ++i) files_[new_ones[i].second].done = true;
  }
}

std::vector<IntakeEvent> Intake::look(Moment now) {
  list(now);
  std::vector<IntakeEvent> events;
  for (auto& [path, file] : files_) {
    const auto stamp = stamp_of(path);
    if (!stamp) continue;  // the next list leaves it out
    if (*stamp != file.stamp) file = {*stamp, now.steady, now.steady, 0, false, {}};
    if (file.due && now.wall + spec_.ahead >= *file.due) file.done = false;
    if (file.done || now.steady < file.next || now.steady - file.since < spec_.settle) continue;
    take(path, file, now, events);
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const IntakeEvent& a, const IntakeEvent& b) { return a.time < b.time; });
  while (frames_.size() > spec_.kept) {
    origins_.erase(frames_.begin()->first);
    frames_.erase(frames_.begin());
  }
  return events;
}

void Intake::take(const fs::path& path, File& file, Moment now, std::vector<IntakeEvent>& events) {
  std::vector<Frame> frames;
  try {
    frames = reader_.read(path);
  } catch (const DataError& error) {
    file.next = now.steady + spec_.pause * (1 << std::min(file.tries, 20));
    file.done = ++file.tries >= spec_.tries;
    events.push_back({path, file.done ? Verdict::refused : Verdict::unreadable, now.wall, error.what()});
    return;
  }
  file.done = true;
  file.due.reset();
  for (Frame& frame : frames) events.push_back(judge(path, std::move(frame), file, now));
}

IntakeEvent Intake::judge(const fs::path& path, Frame&& frame, File& file, Moment now) {
  const TimePoint time = frame.valid_time;
  const auto verdict = [&](Verdict what, const std::string& reason) {
    return IntakeEvent{path, what, time, reason};
  };
  if (time > now.wall + spec_.ahead) {
    if (!file.due || time < *file.due) file.due = time;
    return verdict(Verdict::early, fmt::format("is of {}, and it is {}; it waits until then",
                                               format_time(time), format_time(now.wall)));
  }
  const bool beyond = frames_.size() >= spec_.kept && time < frames_.begin()->first;
  if (time < now.wall - spec_.oldest || beyond) {
    return verdict(Verdict::old, fmt::format("is of {}, and it is {}; so old a frame is of no use any more",
                                             format_time(time), format_time(now.wall)));
  }
  if (!frames_.empty()) {
    const Frame& like = frames_.rbegin()->second;
    if (frame.quantity != like.quantity || !same_grid(frame.grid, like.grid)) {
      return verdict(
          Verdict::foreign,
          fmt::format("holds {} on {}, but the frames before hold {} on {}; put it into another folder, "
                      "or start again once all frames are so",
                      name_of(frame.quantity), describe(frame.grid), name_of(like.quantity),
                      describe(like.grid)));
    }
  }
  std::string hash = hash_of(frame);
  const auto there = origins_.find(time);
  if (there != origins_.end() && there->second.second == hash) {
    return verdict(Verdict::duplicate, fmt::format("holds the frame of {} again, as {}", format_time(time),
                                                   there->second.first.string()));
  }
  const std::string before = there != origins_.end() ? there->second.first.string() : "";
  origins_[time] = {path, std::move(hash)};
  frames_.insert_or_assign(time, std::move(frame));
  if (before.empty()) return verdict(Verdict::accepted, "");
  return verdict(Verdict::revised,
                 fmt::format("holds other values of {} than {}", format_time(time), before));
}

fs::path Intake::file_of(TimePoint time) const {
  const auto found = origins_.find(time);
  return found == origins_.end() ? fs::path() : found->second.first;
}

std::int64_t Intake::waiting() const {
  return std::count_if(files_.begin(), files_.end(),
                       [](const auto& entry) { return !entry.second.done || entry.second.due.has_value(); });
}

}  // namespace raincell::io
