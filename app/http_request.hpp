// What an HTTP request asks for, decoded and checked. Whatever is odd is nothing: a browser does not send it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace raincell::app {

/// Texts are UTF-8 without control characters, backslashes and ".." between slashes.
struct HttpRequest {
  std::string path;  // "/api/latest"
  std::map<std::string, std::string> query;
};

/// The target of a request line, "/path?key=value&key=value" with %41 for bytes and + for a space of the
/// query; nothing where it is none, or has a key twice.
std::optional<HttpRequest> parse_target(std::string_view target);

/// The host of a field Host, without its port and in small letters; nothing where it is none.
std::optional<std::string> parse_host(std::string_view field);

}  // namespace raincell::app
