#include "app/version.hpp"

namespace raincell::app {

const char* version() { return RAINCELL_VERSION; }

}  // namespace raincell::app
