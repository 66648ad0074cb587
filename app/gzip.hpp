// Smaller answers for those who can read them.
#pragma once

#include <string>
#include <string_view>

namespace raincell::app {

/// The bytes as a file of gzip; empty where that would not be smaller.
std::string gzip(std::string_view bytes);

}  // namespace raincell::app
