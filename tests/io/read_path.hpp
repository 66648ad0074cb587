// Reads a file as raincell-reader does, in this process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/formats.hpp"
#include "io/publish.hpp"
#include "tests/io/refusal.hpp"

namespace raincell::io {

inline std::vector<Frame> read_path(const std::filesystem::path& path, const SourceOptions& options = {}) {
  const std::string bytes = read_file(path);
  return read_content(path.filename().string(), std::as_bytes(std::span(bytes.data(), bytes.size())),
                      {options, Wanted::values});
}

}  // namespace raincell::io
