// Writing packed archives: frames one by one, a file at the end that was read back whole.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/archive.hpp"
#include "io/frame.hpp"
#include "io/pack_report.hpp"

namespace raincell::io {

struct ArchiveOptions {
  bool compress = false;  // deflate 1 with shuffle: smaller, slower to train from
  bool append =
      false;  // to what is there: a folder gets further parts, a file is written anew with the new frames
  std::int64_t part_bytes = std::int64_t{2} << 30;  // of codes in a part of a folder, which is then published
  bool maps = true;  // in the report; they take a while
  std::string title = "Packed radar archive";
  std::string institution;  // attributes of the file; empty: left out
  std::string history;      // "2024-06-01T00:00Z raincell pack ..."
};

/// Packs frames that arrive in the order of time. What is at the target stays as it is until the new file, or
/// a part of a folder, is verified and synced; an unfinished writer leaves complete parts behind, which
/// appending goes on from, and nothing else.
class ArchiveWriter {
 public:
  /// A target named *.nc is a file; anything else, or an existing folder, is a folder of parts. Throws
  /// WriteError, and DataError when appending to something that is no archive.
  ArchiveWriter(const std::filesystem::path& target, ArchiveOptions);
  ArchiveWriter(const ArchiveWriter&) = delete;
  ArchiveWriter& operator=(const ArchiveWriter&) = delete;
  ~ArchiveWriter();

  /// Appending: false when a frame of that time is there already, so that its file need not be read. Opens
  /// only the parts whose time it can be.
  bool wants(TimePoint);
  /// Packs a frame, from its codes where it has them. A frame that does not fit (duplicate time, earlier than
  /// the one before, other grid or quantity) is left out and noted in the report: false. Throws WriteError.
  bool add(const Frame&, const std::string& source);
  /// Ends, syncs, reads back and compares every frame, publishes. Throws WriteError (the last part, or the
  /// file, is not published then) and DataError when there was no frame to pack.
  PackReport finish();
  /// Takes back the parts that were published so far; nothing can be added afterwards.
  void discard();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Merges the parts of an archive into one: a folder keeps a single part, a file is written anew. Atomic: a
/// crash leaves either the old parts or all of the new one (and old parts that the next compaction removes).
PackReport compact(const std::filesystem::path& archive, ArchiveOptions);

}  // namespace raincell::io
