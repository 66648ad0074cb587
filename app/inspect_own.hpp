// Recognises raincell's own files: weights, packed archives, products.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace raincell::app {

struct OwnFile {
  std::string json;  // one line
  std::string text;  // for people
};

/// Empty when the file is none of ours (a radar file, or anything else). Throws DataError or
/// model::WeightsError when it is one of ours and damaged.
std::optional<OwnFile> inspect_own_file(const std::filesystem::path&);

}  // namespace raincell::app
