// Texts from outside: whether they are UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace raincell::app {

/// Where the text stops being UTF-8 (RFC 3629); its length when it does not.
std::size_t end_of_utf8(std::string_view text);

}  // namespace raincell::app
