// The map page in the program is the one in app/page, and asks nobody but its own service.
#include "app/page_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

namespace raincell::app {
namespace {

std::string bytes_of(const std::string& path) {
  std::ifstream file(std::string(RAINCELL_SOURCE) + "/app/page/" + path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

const PageFile* find(std::string_view path) {
  const auto files = page_files();
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const PageFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

TEST(PageFiles, AreTheFilesOfTheFolderByteForByte) {
  for (const auto& [path, name] : {std::pair{"/", "index.html"},
                                   {"/page.css", "page.css"},
                                   {"/page.js", "page.js"},
                                   {"/chart.js", "chart.js"},
                                   {"/map.js", "map.js"},
                                   {"/timeline.js", "timeline.js"},
                                   {"/words.js", "words.js"},
                                   {"/outlines.json", "outlines.json"}}) {
    const PageFile* file = find(path);
    ASSERT_NE(file, nullptr) << path;
    EXPECT_GT(file->bytes.size(), 1000U);
    EXPECT_TRUE(file->bytes == bytes_of(name)) << name;
  }
}

TEST(PageFiles, HaveTypesThatBrowsersInsistOn) {
  for (const PageFile& file : page_files()) {
    const std::string_view ending = file.path.substr(std::min(file.path.size(), file.path.find('.')));
    const std::string_view type = ending == ".js"     ? "text/javascript; charset=utf-8"
                                  : ending == ".css"  ? "text/css; charset=utf-8"
                                  : ending == ".json" ? "application/json"
                                                      : "text/html; charset=utf-8";
    EXPECT_EQ(file.type, type) << file.path;
  }
}

TEST(PageFiles, HoldWhateverThePageAsksFor) {
  const std::regex own(R"re((?:src|href)="(/[^"]*)"|(?:from|fetch\() ?"(/[^"]*)")re");
  int asked = 0;
  for (const PageFile& file : page_files()) {
    if (file.path.find("leaflet") != std::string_view::npos || file.path == "/outlines.json") continue;
    const std::string text(file.bytes);
    for (std::sregex_iterator found(text.begin(), text.end(), own), end; found != end; ++found, ++asked) {
      const std::string path = (*found)[1].matched ? (*found)[1] : (*found)[2];
      EXPECT_NE(find(path), nullptr) << path << " in " << file.path;
    }
  }
  EXPECT_GT(asked, 10);
}

TEST(PageFiles, NameNoOtherHostAndHaveNoScriptInThePage) {
  const std::regex host(R"((https?:)?//[a-z0-9.-]+\.[a-z]{2,})");
  for (const PageFile& file : page_files()) {
    if (file.path.find("leaflet") != std::string_view::npos) continue;
    std::string text(file.bytes);
    for (const std::string known : {"http://www.w3.org/2000/svg"}) {  // a name, not an address
      for (std::size_t at = 0; (at = text.find(known)) != std::string::npos;) text.erase(at, known.size());
    }
    std::smatch match;
    EXPECT_FALSE(std::regex_search(text, match, host)) << file.path << ": " << match.str();
  }
  const std::string page(find("/")->bytes);
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_FALSE(std::regex_search(page, std::regex(R"( on[a-z]+=| style=)")));
}

TEST(PageFiles, CarryLeafletWithItsNotice) {
  const PageFile* script = find("/leaflet.js");
  const PageFile* style = find("/leaflet.css");
  ASSERT_TRUE(script && style);
  EXPECT_NE(script->bytes.find("imageOverlay"), std::string_view::npos);
  EXPECT_NE(style->bytes.find(".leaflet-container"), std::string_view::npos);
  EXPECT_NE(script->bytes.find("BSD-2-Clause"), std::string_view::npos);
  EXPECT_EQ(script->bytes.find("sourceMappingURL"), std::string_view::npos);
}

}  // namespace
}  // namespace raincell::app
