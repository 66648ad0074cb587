// Layouts described by the user, applied to a small file that knows every kind of array they may name.
#include <hdf5.h>

#include <stdexcept>
#include <vector>

#include "io/formats.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/io/hdf5_fixture.hpp"

namespace {

using namespace raincell::io;

/// Arrays of two to four dimensions, times, attributes of each kind.
std::vector<std::byte> make_file() {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("raincell_fuzz_layout_" + std::to_string(::getpid()) + ".h5");
  {
    Hdf5Fixture file(path);
    const std::vector<double> six = {0., 1., 2., 3., 4., 255.};
    file.array("/rain", {2, 3}, six, H5T_STD_U8LE);
    file.array("/201008260600", {2, 3}, six, H5T_STD_I16BE);
    file.array("/201008260605", {2, 3}, six, H5T_IEEE_F32LE);
    file.array("/times", {2}, {0., 300.}, H5T_IEEE_F64LE);
    file.array("/cube", {2, 3, 2}, std::vector<double>(12, 1.), H5T_STD_U8LE);
    file.array("/vil", {1, 2, 3, 4}, std::vector<double>(24, 77.), H5T_STD_U8LE);
    file.group("/what");
    file.text("/what", "date", "20100826");
    file.text("/what", "time", "060000");
    file.text("/what", "iso", "2010-08-26T06:00Z");
    file.text("/what", "projection", "+proj=longlat +datum=WGS84");
    file.number("/what", "gain", 0.5);
    file.number("/what", "huge", 1e300);
  }
  FILE* const stream = std::fopen(path.c_str(), "rb");
  if (stream == nullptr) throw std::runtime_error("the fuzzed file was not written");
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), stream);
  std::fclose(stream);
  std::filesystem::remove(path);
  if (got != bytes.size()) throw std::runtime_error("the fuzzed file was not read");
  return bytes;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::byte> file = make_file();
  ReadRequest request;
  request.options.format = "described";
  request.options.description = raincell::fuzz::text_of(data, size);
  try {
    for (const Frame& frame : read_content("radar_201008260600.h5", file, request)) {
      const SourceSummary& source = frame.source;
      raincell::fuzz::require(source.missing + source.dry + source.valued == frame.grid.pixels(),
                              "the states do not add up");
    }
  } catch (const DataError&) {
  }
  return 0;
}
