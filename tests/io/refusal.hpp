#pragma once

#include <string>

#include "io/frame.hpp"

namespace raincell::io {

/// The message with which `read` refuses, or "was read".
template <class Read>
std::string refusal_of(Read read) {
  try {
    read();
  } catch (const DataError& error) {
    return error.what();
  }
  return "was read";
}

}  // namespace raincell::io
