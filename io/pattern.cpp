#include "io/pattern.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include "io/frame.hpp"

namespace raincell::io {
namespace {

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(RE2::Options::EncodingLatin1);  // any bytes are a text
  options.set_max_mem(1 << 22);
  return options;
}

}  // namespace

struct Pattern::State {
  RE2 expression;

  std::optional<std::vector<std::string>> caught(const std::string& text, RE2::Anchor anchor) const {
    std::vector<re2::StringPiece> parts(static_cast<std::size_t>(expression.NumberOfCapturingGroups()) + 1);
    if (!expression.Match(text, 0, text.size(), anchor, parts.data(), static_cast<int>(parts.size())))
      return std::nullopt;
    std::vector<std::string> groups;
    for (const re2::StringPiece& part : parts) groups.emplace_back(part.data(), part.size());
    return groups;
  }
};

Pattern::Pattern(const std::string& where, const std::string& expression)
    : state_(new State{RE2(expression, quiet())}) {
  if (state_->expression.ok()) return;
  throw DataError(fmt::format("{}: \"{}\" is no regular expression: {}", where, expression.substr(0, 200),
                              state_->expression.error()));
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

bool Pattern::matches(const std::string& text) const {
  return RE2::FullMatch(text, state_->expression);
}

std::optional<std::vector<std::string>> Pattern::groups(const std::string& text) const {
  auto caught = state_->caught(text, RE2::ANCHOR_BOTH);
  if (caught) caught->erase(caught->begin());
  return caught;
}

std::optional<std::vector<std::string>> Pattern::search(const std::string& text) const {
  auto caught = state_->caught(text, RE2::UNANCHORED);
  if (caught && caught->size() > 1) caught->erase(caught->begin());
  return caught;
}

}  // namespace raincell::io
