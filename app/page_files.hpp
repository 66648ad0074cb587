// The map page, as it stands in the program: app/page and Leaflet.
#pragma once

#include <span>
#include <string_view>

namespace raincell::app {

struct PageFile {
  std::string_view path;   // as a browser asks for it: "/", "/page.css", ...
  std::string_view type;   // of the content: "text/html; charset=utf-8"
  std::string_view bytes;  // UTF-8
};

/// Every file that the page needs beside the service's own answers.
std::span<const PageFile> page_files();

}  // namespace raincell::app
