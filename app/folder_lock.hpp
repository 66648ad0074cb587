// One process at a time at home in a folder.
#pragma once

#include <filesystem>
#include <string>

namespace raincell::app {

/// Who is at home, in messages: "trains", and the option that names the folder.
struct FolderUse {
  std::string does;    // "trains"
  std::string choose;  // "another --run"
};

/// Holds the file `lock` of a folder that is there.
class FolderLock {
 public:
  /// Throws UsageError when another process holds it, io::WriteError when it cannot be locked.
  FolderLock(const std::filesystem::path& folder, const FolderUse&);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  /// Whether the folder is still the one that was locked: whoever removes a folder removes the lock with it,
  /// and another process may be at home there. True where that cannot be told.
  bool still_own() const;

 private:
  std::filesystem::path file_;
  int lock_ = -1;
};

/// Who holds the lock of a folder: "process 123 on host", or empty when nobody does.
std::string holder_of(const std::filesystem::path& folder);

}  // namespace raincell::app
