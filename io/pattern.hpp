// Regular expressions in linear time (RE2's syntax): the texts they meet come from files, and an expression
// that backtracks can be made to run for ever.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace raincell::io {

class Pattern {
 public:
  /// Throws DataError that begins with `where` when the text is no regular expression.
  Pattern(const std::string& where, const std::string& expression);
  Pattern(Pattern&&) noexcept;
  ~Pattern();

  /// True when the whole text is matched.
  bool matches(const std::string& text) const;
  /// What the groups catch where the whole text is matched; empty when it is not.
  std::optional<std::vector<std::string>> groups(const std::string& text) const;
  /// What the groups catch in the first match, or the match itself where there is no group; empty without
  /// one.
  std::optional<std::vector<std::string>> search(const std::string& text) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raincell::io
