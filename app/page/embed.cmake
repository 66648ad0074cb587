# Turns the map page into one C++ source, so that the program is the page's server and nothing else is:
#   cmake -D OUT=page_files.cpp -D LEAFLET_SCRIPT=... -D LEAFLET_STYLE=... -P app/page/embed.cmake
# All of it is text, and stands as raw strings.
set(notice "/* Leaflet. (c) 2010-2023 Volodymyr Agafonkin, (c) 2010-2011 CloudMade. BSD-2-Clause: app/page/README.md */\n")
set(table "")

# add(PATH TYPE FILE [text before it]): one file, under the path that a browser asks for.
function(add path type file)
  file(READ "${file}" bytes)
  # The map of a packed script is not served.
  string(REGEX REPLACE "\n//# sourceMappingURL=[^\n]*\n?" "\n" bytes "${bytes}")
  string(FIND "${bytes}" ")raincell\"" clash)
  if(bytes STREQUAL "" OR NOT clash EQUAL -1)
    message(FATAL_ERROR "${file}: empty, or ends a raw string early; look at it")
  endif()
  set(table "${table}    {\"${path}\", \"${type}\", R\"raincell(${ARGN}${bytes})raincell\"sv},\n" PARENT_SCOPE)
endfunction()

set(page "${CMAKE_CURRENT_LIST_DIR}")
add(/ "text/html; charset=utf-8" "${page}/index.html")
add(/page.css "text/css; charset=utf-8" "${page}/page.css")
foreach(script page chart map timeline words)
  add(/${script}.js "text/javascript; charset=utf-8" "${page}/${script}.js")
endforeach()
add(/outlines.json "application/json" "${page}/outlines.json")
add(/leaflet.js "text/javascript; charset=utf-8" "${LEAFLET_SCRIPT}" "${notice}")
add(/leaflet.css "text/css; charset=utf-8" "${LEAFLET_STYLE}" "${notice}")

file(WRITE "${OUT}" "// Made by app/page/embed.cmake.
#include \"app/page_files.hpp\"

namespace raincell::app {

std::span<const PageFile> page_files() {
  using namespace std::string_view_literals;
  static constexpr PageFile kFiles[] = {
${table}  };
  return kFiles;
}

}  // namespace raincell::app
")
