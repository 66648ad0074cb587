// Runs the built program as a user would, and keeps what it said.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace raincell::test {

struct Outcome {
  int code = -1;  // 128 + signal when it was killed
  std::string out, err;
  long peak_bytes = 0;  // most memory of the program, or of a reader that it started
  std::string no_disk;  // why there was no disk of its own; empty: there was, or none was asked for
  std::vector<std::string> disk_files;  // what lies on it at the end, relative
};

struct Limits {
  long file_bytes = -1;             // RLIMIT_FSIZE; -1: none
  std::filesystem::path disk = {};  // a file system of its own is mounted at this folder, for this run alone
  long disk_bytes = -1;             // its size; -1: it is read-only
  std::filesystem::path kill_at = {};   // SIGKILL as soon as this file exists
  std::string shipped_weights = {};     // RAINCELL_WEIGHTS; empty: the program ships none
  std::vector<std::string> under = {};  // a command that starts the program: strace and its options
  long signal_after_ms = -1;            // then it gets `signal`; -1: never
  int signal = 9;
  std::string program = {};  // another build of it; empty: RAINCELL_PROGRAM
};

/// raincell ARGUMENTS in the folder.
Outcome run_raincell(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                     Limits = {});

/// A new empty folder, removed at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_text(const std::filesystem::path&);
void write_text(const std::filesystem::path&, const std::string&);
/// Names of all files below, relative, sorted.
std::vector<std::string> files_below(const std::filesystem::path&);

}  // namespace raincell::test
