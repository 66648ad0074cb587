#include "app/product_name.hpp"

#include <fmt/format.h>

#include "app/cli.hpp"

namespace raincell::app {

namespace {

const std::string kPrefix = "nowcast_", kSuffix = ".nc";

}  // namespace

std::string stamp(io::TimePoint time) {
  std::string text = io::format_time(time);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::optional<io::TimePoint> parse_stamp(const std::string& text) {
  // 20240601T0855Z or 20240601T085530Z
  if ((text.size() != 14 && text.size() != 16) || text[8] != 'T' || text.back() != 'Z') return std::nullopt;
  return io::parse_time(text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 5) + ":" +
                        text.substr(11, 2) + (text.size() == 16 ? ":" + text.substr(13, 2) : "") + "Z");
}

std::string ProductName::stem() const {
  return stamp(nominal) + (revision > 0 ? fmt::format("_r{}", revision) : "");
}

std::string ProductName::file() const {
  return kPrefix + stem() + kSuffix;
}

std::optional<ProductName> ProductName::parse(const std::string& file) {
  if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) return std::nullopt;
  const std::string stem = file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size());
  const std::size_t mark = stem.find("_r");
  const auto nominal = parse_stamp(stem.substr(0, mark));
  const auto revision = mark == std::string::npos ? 0 : parse_integer(stem.substr(mark + 2));
  if (!nominal || !revision) return std::nullopt;
  const ProductName name{*nominal, *revision};
  return name.file() == file ? std::optional(name) : std::nullopt;
}

}  // namespace raincell::app
