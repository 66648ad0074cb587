// What browsers and others send: each line of the input is a target, and a field Host.
#include "app/http_request.hpp"

#include <sstream>

#include "tests/fuzz/fuzz.hpp"

namespace {

using raincell::app::HttpRequest;
using raincell::fuzz::require;

/// Every byte as %XX, but for slashes.
std::string encoded(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    out += letter == '/' ? "/" : std::string{'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
  }
  return out;
}

void check_text(const std::string& text) {
  require(("/" + text + "/").find("/../") == std::string::npos, "a text leads out of its folder");
  for (const char letter : text)
    require(static_cast<unsigned char>(letter) >= 0x20 && letter != 0x7f && letter != '\\',
            "a text is not plain");
}

void try_target(const std::string& line) {
  const std::optional<HttpRequest> request = raincell::app::parse_target(line);
  if (!request) return;
  require(request->path.starts_with('/'), "a path does not begin at the root");
  check_text(request->path);
  std::string again = encoded(request->path), separator = "?";
  for (const auto& [key, value] : request->query) {
    check_text(key);
    check_text(value);
    again += separator + encoded(key) + "=" + encoded(value);
    separator = "&";
  }
  const std::optional<HttpRequest> second = raincell::app::parse_target(again);
  require(second && second->path == request->path && second->query == request->query,
          "a target is not read back from its text");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream lines(raincell::fuzz::text_of(data, size));
  for (std::string line; std::getline(lines, line);) {
    try_target(line);
    const std::optional<std::string> host = raincell::app::parse_host(line);
    require(!host || line.size() >= host->size(), "a host is longer than its field");
  }
  return 0;
}
