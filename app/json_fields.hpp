// Fields of JSON that somebody else may have written: what is not there, or of another kind, is nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "io/frame.hpp"

namespace raincell::app {

std::string text_in(const nlohmann::ordered_json&, const char* key);  // empty: nothing
std::optional<io::TimePoint> time_in(const nlohmann::ordered_json&, const char* key);
std::int64_t integer_in(const nlohmann::ordered_json&, const char* key, std::int64_t otherwise);

}  // namespace raincell::app
