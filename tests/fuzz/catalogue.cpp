// SEVIR's CATALOG.csv.
#include <filesystem>

#include "io/sevir.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace raincell;
  const std::string text = fuzz::text_of(data, size);
  try {
    for (const io::SevirEvent& event : io::parse_sevir_catalogue(text).events) {
      fuzz::require(event.steps > 1 && event.step_s > 0 && event.index >= 0 && event.grid.pixels() > 0,
                    "an event that cannot be");
      fuzz::require(std::filesystem::path(event.id + ".nc").filename() == event.id + ".nc",
                    "an archive would lie in another folder");
      const std::filesystem::path file = std::filesystem::path(event.file).lexically_normal();
      fuzz::require(file.is_relative() && *file.begin() != "..", "a file above the folder of the data");
      io::sevir_layout(event);
    }
  } catch (const io::DataError&) {
  }
  return 0;
}
