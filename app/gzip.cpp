#include "app/gzip.hpp"

#include <libdeflate.h>

#include <memory>
#include <new>

namespace raincell::app {
namespace {

constexpr int kLevel = 6;  // a page of 300 kB in some milliseconds

struct Release {
  void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
};

}  // namespace

std::string gzip(std::string_view bytes) {
  const std::unique_ptr<libdeflate_compressor, Release> compressor(libdeflate_alloc_compressor(kLevel));
  if (!compressor) throw std::bad_alloc();
  std::string out(bytes.size(), '\0');
  out.resize(libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size()));
  return out;
}

}  // namespace raincell::app
