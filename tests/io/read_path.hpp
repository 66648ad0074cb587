// Reads a file as raincell-reader does, in this process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/formats.hpp"
#include "io/publish.hpp"

namespace raincell::io {

inline std::vector<Frame> read_path(const std::filesystem::path& path, const SourceOptions& options = {}) {
  const std::string bytes = read_file(path);
  return read_content(path.filename().string(), std::as_bytes(std::span(bytes.data(), bytes.size())),
                      {options, Wanted::values});
}

/// The message with which `read` refuses, or "was read".
template <class Read>
std::string refusal_of(Read read) {
  try {
    read();
  } catch (const DataError& error) {
    return error.what();
  }
  return "was read";
}

}  // namespace raincell::io
