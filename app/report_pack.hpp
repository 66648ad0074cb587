// The page of raincell pack: what an archive holds and what is wrong with it, with maps and curves.
#pragma once

#include <string>

#include "io/catalogue.hpp"
#include "io/pack_report.hpp"

namespace raincell::app {

/// One self-contained HTML page. `archive` is its path, for the title.
std::string pack_report_page(const io::PackReport&, const io::Catalogue&, const std::string& archive);

}  // namespace raincell::app
