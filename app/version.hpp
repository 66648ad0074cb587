#pragma once

namespace raincell::app {

/// "0.1.0"
const char* version();

}  // namespace raincell::app
