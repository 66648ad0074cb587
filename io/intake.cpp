#include "io/intake.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "io/catalogue.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kLongestLook{2};
constexpr std::size_t kManyFiles = 1000;  // of which those that were judged are not looked at every time

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
    : folder_(folder.has_filename() ? folder : folder.parent_path()),
      spec_(std::move(spec)),
      reader_(spec_.source) {}

/// False when they are not all; trouble_ says why.
bool Intake::list_names(std::vector<fs::path>& names) {
  std::error_code error;
  const fs::directory_iterator readable(folder_, error);  // one without a file is no trouble
  trouble_ =
      error ? fmt::format("{}: cannot be listed: {}; it is tried again", folder_.string(), error.message())
            : "";
  if (error) return false;
  std::vector<Rejected> rejected;
  try {
    names = list_files({folder_}, rejected);
  } catch (const DataError&) {  // there is none
  }
  if (!rejected.empty()) trouble_ = rejected.front().file.string() + ": " + rejected.front().reason;
  return rejected.empty();
}

/// Names that came and went.
bool Intake::list(Moment now) {
  const bool same = !listed_.empty() && std::all_of(listed_.begin(), listed_.end(), [](const auto& folder) {
    return stamp_of(folder.first) == folder.second;
  });
  if (same && !stirred_ && now.steady - listed_at_ < spec_.relist) return false;
  listed_at_ = now.steady;
  stirred_ = false;
  listed_.clear();
  std::vector<fs::path> names;
  const bool complete = list_names(names);
  if (complete) listed_[folder_] = stamp_of(folder_).value_or(FileStamp{});
  std::map<fs::path, File> present;
  std::vector<std::pair<std::int64_t, fs::path>> new_ones;
  for (const fs::path& name : names) {
    for (fs::path folder = name.parent_path(); complete && listed_.find(folder) == listed_.end();
         folder = folder.parent_path())
      listed_[folder] = stamp_of(folder).value_or(FileStamp{});
    const auto stamp = stamp_of(name);
    if (!stamp) continue;
    if (const auto known = files_.find(name); known != files_.end()) {
      present.insert(files_.extract(known));
      continue;
    }
    File file;
    file.stamp = *stamp;
    file.since = file.next = now.steady;
    present.emplace(name, std::move(file));
    new_ones.emplace_back(stamp->changed_ns, name);
  }
  if (!complete) present.merge(files_);  // what was not listed may be there
  files_ = std::move(present);
  std::sort(new_ones.rbegin(), new_ones.rend());
  for (std::size_t i = spec_.files; i < new_ones.size(); ++i) files_[new_ones[i].second].done = true;
  return true;
}

std::vector<Intake::Read> Intake::due(Moment now, bool listed) {
  std::vector<Read> found;
  for (auto& [path, file] : files_) {
    if (file.done && !file.due && !listed && files_.size() > kManyFiles) continue;
    const auto stamp = stamp_of(path);
    if (!stamp) continue;  // the next list leaves it out
    if (*stamp != file.stamp) {
      file.stamp = *stamp;
      file.since = file.next = now.steady;
      file.tries = 0;
      file.done = false;
      file.due.reset();
    }
    const bool waited = file.due && now.wall + spec_.ahead >= *file.due;
    if ((file.done && !waited) || now.steady < file.next || now.steady - file.since < spec_.settle) continue;
    found.push_back({&path, &file, {}, waited});
  }
  std::stable_sort(found.begin(), found.end(), [](const Read& a, const Read& b) {
    return a.file->stamp.changed_ns > b.file->stamp.changed_ns;
  });
  if (found.size() > spec_.files) found.resize(spec_.files);
  return found;
}

std::vector<IntakeEvent> Intake::look(Moment now) {
  const bool listed = list(now);
  std::vector<IntakeEvent> events;
  std::vector<Read> files = due(now, listed);
  // A look that takes long ends; what is left is still due at the next.
  const auto begun = std::chrono::steady_clock::now();
  std::erase_if(files, [&](Read& file) {
    return std::chrono::steady_clock::now() - begun > kLongestLook || !read(file, now, events);
  });
  const Kind kind = kind_of(files);
  // Of two files for one time the one that was written later counts, also after a restart.
  std::reverse(files.begin(), files.end());
  for (Read& file : files) {
    for (Frame& frame : file.frames) {
      if (auto event = judge(file, std::move(frame), kind, now)) events.push_back(std::move(*event));
    }
    file.frames.clear();
    trim();
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const IntakeEvent& a, const IntakeEvent& b) { return a.time < b.time; });
  return events;
}

bool Intake::read(Read& what, Moment now, std::vector<IntakeEvent>& events) {
  File& file = *what.file;
  file.due.reset();
  try {
    what.frames = reader_.read(*what.path);
  } catch (const ReaderFailure& error) {  // no fault of the file
    file.next = now.steady + spec_.pause;
    events.push_back({*what.path, Verdict::unreadable, now.wall, error.what()});
    return false;
  } catch (const DataError& error) {
    file.next = now.steady + spec_.pause * (1 << std::min(file.tries, 20));
    file.done = ++file.tries >= spec_.tries;
    events.push_back(
        {*what.path, file.done ? Verdict::refused : Verdict::unreadable, now.wall, error.what()});
    return false;
  }
  file.done = true;
  return true;
}

Intake::Kind Intake::kind_of(const std::vector<Read>& files) const {
  if (!frames_.empty()) return {frames_.rbegin()->second.quantity, frames_.rbegin()->second.grid};
  std::vector<std::pair<const Frame*, int>> kinds;
  for (const Read& file : files) {
    for (const Frame& frame : file.frames) {
      const auto like = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) {
        return kind.first->quantity == frame.quantity && same_grid(kind.first->grid, frame.grid);
      });
      if (like == kinds.end()) {
        kinds.emplace_back(&frame, 1);
      } else {
        ++like->second;
      }
    }
  }
  const auto most = std::max_element(kinds.begin(), kinds.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == kinds.end() ? Kind{} : Kind{most->first->quantity, most->first->grid};
}

/// By the newest frame, not by a clock that may be set wrong.
void Intake::trim() {
  bool any = false;
  while (!frames_.empty() &&
         (frames_.size() > spec_.kept || frames_.begin()->first < frames_.rbegin()->first - spec_.oldest)) {
    origins_.erase(frames_.begin()->first);
    frames_.erase(frames_.begin());
    any = true;
  }
  if (!any) return;
  for (auto& [path, file] : files_)
    file.hashes.erase(file.hashes.begin(), file.hashes.lower_bound(frames_.begin()->first));
}

std::optional<IntakeEvent> Intake::judge(const Read& from, Frame&& frame, const Kind& kind, Moment now) {
  const TimePoint time = frame.valid_time;
  File& file = *from.file;
  const auto verdict = [&](Verdict what, const std::string& reason) {
    return IntakeEvent{*from.path, what, time, reason};
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
  if (frame.quantity != kind.quantity || !same_grid(frame.grid, kind.grid)) {
    return verdict(Verdict::foreign,
                   fmt::format("holds {} on {}, but other frames hold {} on {}; keep one kind a folder",
                               name_of(frame.quantity), describe(frame.grid), name_of(kind.quantity),
                               describe(kind.grid)));
  }
  std::string hash = hash_of(frame);
  const auto own = file.hashes.find(time);
  const bool unchanged = own != file.hashes.end() && own->second == hash;
  if (unchanged && from.waited) return std::nullopt;
  file.hashes[time] = hash;
  const auto there = origins_.find(time);
  if (there != origins_.end() && (unchanged || there->second.second == hash)) {
    return verdict(Verdict::duplicate, fmt::format("holds the frame of {} again, as {}", format_time(time),
                                                   there->second.first.string()));
  }
  const std::string before = there != origins_.end() ? there->second.first.string() : "";
  origins_[time] = {*from.path, std::move(hash)};
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
