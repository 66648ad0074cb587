// Pieces of the HTML pages that both reports are made of.
#pragma once

#include <string>
#include <vector>

#include "app/report.hpp"

namespace raincell::app {

/// The whole page around a body; title and subtitle are escaped.
std::string page(const std::string& title, const std::string& subtitle, const std::string& body);
std::string heading(const std::string& title, const std::string& text);
std::string facts_panel(const Facts&);
/// Charts side by side; `layout` "cards" (three a row on a desk screen) or "wide" (two).
std::string chart_grid(const std::vector<Chart>&, const char* layout = "cards");
/// Pictures by group, below a key of the rain classes.
std::string picture_panels(const std::vector<ReportPicture>&);
std::string further_sections(const std::vector<ReportSection>&);

}  // namespace raincell::app
