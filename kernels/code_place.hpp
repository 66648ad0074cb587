// A place in the code, for messages: std::source_location, which Clang knows only since version 16.
#pragma once

namespace raincell::kernels {

struct CodePlace {
  const char* file;
  unsigned line;
  static constexpr CodePlace current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace raincell::kernels
