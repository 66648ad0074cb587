#include "app/http_request.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "app/utf8.hpp"

namespace raincell::app {
namespace {

bool is_control(char letter) {
  const auto byte = static_cast<unsigned char>(letter);
  return byte < 0x20 || byte == 0x7f;
}

/// Harmless wherever it ends up: in a path, a log, a page.
bool is_plain(std::string_view text) {
  if (end_of_utf8(text) < text.size()) return false;
  if (std::any_of(text.begin(), text.end(), [](char c) { return is_control(c) || c == '\\'; })) return false;
  while (!text.empty()) {
    const std::string_view segment = text.substr(0, text.find('/'));
    if (segment == "..") return false;
    text.remove_prefix(std::min(text.size(), segment.size() + 1));
  }
  return true;
}

/// The byte of "41"; nothing where two hexadecimal digits are not what the text begins with.
std::optional<char> byte_of(std::string_view text) {
  unsigned value = 0;
  if (text.size() < 2) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 2, value, 16);
  if (error != std::errc() || end != text.data() + 2) return std::nullopt;
  return static_cast<char>(value);
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char letter = text[i];
    if (letter == '#') return std::nullopt;  // what follows it is the browser's
    if (letter == '%') {
      const std::optional<char> byte = byte_of(text.substr(i + 1));
      if (!byte) return std::nullopt;
      letter = *byte;
      i += 2;
    } else if (letter == '+' && plus_is_space) {
      letter = ' ';
    }
    out += letter;
  }
  if (!is_plain(out)) return std::nullopt;
  return out;
}

}  // namespace

std::optional<HttpRequest> parse_target(std::string_view target) {
  if (!target.starts_with('/')) return std::nullopt;
  const std::size_t path_length = std::min(target.find('?'), target.size());
  std::optional<std::string> path = decoded(target.substr(0, path_length), false);
  if (!path) return std::nullopt;
  HttpRequest request;
  request.path = std::move(*path);
  target.remove_prefix(std::min(target.size(), path_length + 1));
  while (!target.empty()) {
    const std::string_view pair = target.substr(0, target.find('&'));
    target.remove_prefix(std::min(target.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t key_length = std::min(pair.find('='), pair.size());
    std::optional<std::string> key = decoded(pair.substr(0, key_length), true);
    std::optional<std::string> value = decoded(pair.substr(std::min(pair.size(), key_length + 1)), true);
    if (!key || !value || !request.query.emplace(std::move(*key), std::move(*value)).second)
      return std::nullopt;
  }
  return request;
}

std::optional<std::string> parse_host(std::string_view field) {
  // An IPv6 address stands in brackets, since it has colons of its own.
  const std::size_t length =
      field.starts_with('[') ? field.find(']') + 1 : std::min(field.find(':'), field.size());
  const std::string_view port = field.substr(length);
  const bool has_port = port.starts_with(':') && port.find_first_not_of("0123456789", 1) == port.npos;
  if (length == 0 || !(port.empty() || has_port)) return std::nullopt;
  std::string host(field.substr(0, length));
  for (char& letter : host)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return host;
}

}  // namespace raincell::app
