// Several children that read files ahead; their answers come in the order asked.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/reader.hpp"

namespace raincell::io {

/// What a file gave: its frames, or the reason why it was refused.
struct ReadAnswer {
  std::vector<Frame> frames;
  std::string refused;  // empty: it was read
};

/// Used by one thread. Each child belongs to a thread of its own that lives as long as the pool.
class ReaderPool {
 public:
  /// `readers`: how many children; 0: one a core, at most eight.
  explicit ReaderPool(SourceOptions options = {}, int readers = 0);
  ~ReaderPool();
  ReaderPool(const ReaderPool&) = delete;
  ReaderPool& operator=(const ReaderPool&) = delete;

  const SourceOptions& options() const;
  int readers() const;
  /// Reads the files and calls `take` with each file's place
  /// in the list and its answer, in order, in this thread. At most one file a child is held ahead. What
  /// `take` throws ends it. `layouts`: where they are not empty, one a file, how it is described.
  void read(std::span<const std::filesystem::path> files, Wanted,
            const std::function<void(std::size_t, ReadAnswer&&)>& take,
            std::span<const std::string> layouts = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
