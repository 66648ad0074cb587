#pragma once

#include <string>

namespace raincell::app {

/// "0.1.0"
const char* version();
/// "raincell 0.1.0 (GCC 12.2.0; backends reference, cpu)"
std::string version_text();

}  // namespace raincell::app
