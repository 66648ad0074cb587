// Frames of a folder that files keep arriving in: every file is taken once it is whole, and judged once.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/file_stamp.hpp"
#include "io/reader.hpp"

namespace raincell::io {

/// Two clocks: that of the wall, which frames are dated by and which may be set, and one that only goes on.
struct Moment {
  TimePoint wall;
  std::chrono::milliseconds steady{0};
};

struct IntakeSpec {
  SourceOptions source;
  std::chrono::milliseconds settle{2000};  // a file is read when it was the same for so long
  std::chrono::seconds oldest{7200};       // frames further back than that are not of interest
  std::chrono::seconds ahead{60};          // frames stamped later than now by more wait until it is time
  std::size_t kept = 32;                   // newest frames in memory
  std::size_t files = 32;                  // that are read at one look
  int tries = 5;                           // of a file that cannot be read
  std::chrono::milliseconds pause{1000};   // before it is tried again; doubles each time
  std::chrono::milliseconds relist{
      30000};  // a folder whose list of names is the same is listed again after so long
};

/// What became of a frame, or of a file without one.
enum class Verdict : std::uint8_t {
  accepted,    // the newest, or one that came late
  revised,     // other values for a time that was there; the latest to arrive counts
  duplicate,   // the same values for a time that was there
  early,       // stamped ahead of the clock: waits
  old,         // further back than is of interest
  foreign,     // another grid or quantity
  unreadable,  // will be tried again
  refused,     // cannot be read, and will not be until it changes
};
const char* name_of(Verdict);  // "accepted", ...

struct IntakeEvent {
  std::filesystem::path file;
  Verdict verdict = Verdict::accepted;
  TimePoint time;      // of the frame; of the moment when there is none
  std::string reason;  // empty when it was accepted
};

class Intake {
 public:
  /// The folder may be missing, now and later: look() says so.
  Intake(std::filesystem::path folder, IntakeSpec);

  /// Looks at the folder, and takes what is whole: at most `files`, those that were written last first, and
  /// what is left at the next look. Of more new files than that at once the others are left alone until
  /// they change. Frames of one look come ordered by time.
  std::vector<IntakeEvent> look(Moment now);
  /// Something has happened in the folder: the next look lists it.
  void stir() { stirred_ = true; }
  /// Why the folder cannot be listed; empty when it can.
  const std::string& trouble() const { return trouble_; }

  /// By time; complete as far back as `kept` reaches.
  const std::map<TimePoint, Frame>& frames() const { return frames_; }
  /// Where a frame came from.
  std::filesystem::path file_of(TimePoint) const;
  /// Files that wait: still growing, to be tried again, or with frames ahead of the clock.
  std::int64_t waiting() const;

 private:
  struct File {
    FileStamp stamp;
    std::chrono::milliseconds since{0};  // it has had this stamp
    std::chrono::milliseconds next{0};   // not read before
    int tries = 0;
    bool done = false;                        // judged, or left alone
    std::optional<TimePoint> due;             // of its earliest frame ahead of the clock
    std::map<TimePoint, std::string> hashes;  // of the values that were taken from it
  };
  /// False when there was no reason to.
  bool list(Moment now);
  bool list_names(std::vector<std::filesystem::path>& names);
  /// What all frames lie on: as those that are there, or most of those that have just been read.
  struct Kind {
    Quantity quantity = Quantity::rain_rate;
    Grid grid;
  };
  struct Read {
    const std::filesystem::path* path = nullptr;
    File* file = nullptr;
    std::vector<Frame> frames;
    bool waited = false;  // read before, when a frame of it was ahead of the clock
  };
  /// Whole files that have not been judged, last written first. `listed`: those that have may have changed.
  std::vector<Read> due(Moment now, bool listed);
  bool read(Read&, Moment now, std::vector<IntakeEvent>&);
  Kind kind_of(const std::vector<Read>&) const;
  /// Nothing for a frame that this file has brought already, and waited since.
  std::optional<IntakeEvent> judge(const Read&, Frame&&, const Kind&, Moment now);
  void trim();

  std::filesystem::path folder_;
  IntakeSpec spec_;
  FrameReader reader_;
  std::map<std::filesystem::path, File> files_;
  std::map<TimePoint, Frame> frames_;
  std::map<TimePoint, std::pair<std::filesystem::path, std::string>> origins_;  // file and hash of the values
  std::map<std::filesystem::path, FileStamp> listed_;                           // the folder and those in it
  std::chrono::milliseconds listed_at_{0};
  bool stirred_ = true;
  std::string trouble_;
};

}  // namespace raincell::io
