// What a rolling service says of itself, from the files of its output.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace raincell::app {

/// Whether a folder is the output of a rolling service.
bool is_watch_output(const std::filesystem::path&);
nlohmann::ordered_json watch_status(const std::filesystem::path&);
std::string watch_status_text(const nlohmann::ordered_json&);

}  // namespace raincell::app
