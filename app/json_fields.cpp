#include "app/json_fields.hpp"

#include <nlohmann/json.hpp>

namespace raincell::app {

using Json = nlohmann::ordered_json;

std::string text_in(const Json& json, const char* key) {
  const Json value = json.is_object() ? json.value(key, Json()) : Json();
  return value.is_string() ? value.get<std::string>() : "";
}

std::optional<io::TimePoint> time_in(const Json& json, const char* key) {
  const std::string text = text_in(json, key);
  return text.empty() ? std::nullopt : io::parse_time(text);
}

std::int64_t integer_in(const Json& json, const char* key, std::int64_t otherwise) {
  const Json value = json.is_object() ? json.value(key, Json()) : Json();
  return value.is_number_integer() ? value.get<std::int64_t>() : otherwise;
}

}  // namespace raincell::app
