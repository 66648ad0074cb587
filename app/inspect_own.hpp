// Recognises raincell's own files: weights, packed archives, products.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/frame.hpp"

namespace raincell::app {

struct OwnFile {
  std::string json;                    // one line
  std::string text;                    // for people
  std::vector<io::Frame> frames = {};  // of a product, one a lead: what can be drawn
};

/// Empty when the file is none of ours (a radar file, or anything else). Throws DataError or
/// model::WeightsError when it is one of ours and damaged.
std::optional<OwnFile> inspect_own_file(const std::filesystem::path&, bool with_values);

/// The `grid` of every inspect --json: size, projection, upper left corner, pixel size.
nlohmann::ordered_json grid_json(const io::Grid&);

}  // namespace raincell::app
