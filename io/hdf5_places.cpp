#include "io/hdf5_places.hpp"

#include <fmt/format.h>

#include <cstring>

#include "io/hdf5_handle.hpp"

namespace raincell::io {

#if H5_VERSION_GE(1, 14, 0)

namespace {

int note_chunk(const hsize_t* offset, unsigned skipped, haddr_t address, hsize_t bytes, void* data) {
  auto& places = *static_cast<std::vector<ChunkPlace>*>(data);
  if (offset[0] < places.size()) places[offset[0]] = {address, bytes, skipped};
  return H5_ITER_CONT;
}

}  // namespace

std::vector<ChunkPlace> chunk_places(std::span<const std::byte> bytes, const std::string& dataset, int,
                                     std::size_t chunks) {
  const Hdf5Handle file = hdf5_open_image(bytes);
  const Hdf5Handle data =
      hdf5_checked(H5Dopen2(file.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose, dataset, "cannot be opened");
  std::vector<ChunkPlace> places(chunks);
  if (H5Dchunk_iter(data.get(), H5P_DEFAULT, note_chunk, &places) < 0)
    throw hdf5_error(dataset, "its chunks cannot be listed: " + hdf5_reason());
  return places;
}

#else

// HDF5 before 1.14 answers where a chunk lies by walking its index from the start: minutes for 100,000
// frames. It finds a chunk to read quickly, though. So the file is opened by a driver that answers reads of
// raw data with nothing but a note of where they were to begin.

namespace {

struct NotedImage {
  const std::byte* bytes;
  std::size_t size;
  ChunkPlace* noted;
};

struct NotedFile {
  H5FD_t base;  // first: the library knows the file by it
  NotedImage image;
  haddr_t end = 0;
};

NotedFile& file_of(H5FD_t* file) {
  return *reinterpret_cast<NotedFile*>(file);
}
const NotedFile& file_of(const H5FD_t* file) {
  return *reinterpret_cast<const NotedFile*>(file);
}

H5FD_t* open_noted(const char*, unsigned, hid_t access, haddr_t) {
  const auto* image = static_cast<const NotedImage*>(H5Pget_driver_info(access));
  if (image == nullptr) return nullptr;
  return &(new NotedFile{{}, *image})->base;
}

herr_t read_noted(H5FD_t* file, H5FD_mem_t kind, hid_t, haddr_t address, std::size_t size, void* buffer) {
  const NotedImage& image = file_of(file).image;
  if (address > image.size || size > image.size - address) return -1;
  if (kind == H5FD_MEM_DRAW) {
    image.noted->address = address;
    image.noted->bytes = size;
  } else {
    std::memcpy(buffer, image.bytes + address, size);
  }
  return 0;
}

/// The driver's identifier; of the process.
hid_t noting_driver() {
  static const hid_t driver = [] {
    static H5FD_class_t driver_class{};
    driver_class.name = "raincell_places";
    driver_class.maxaddr = ~haddr_t{0} >> 1U;
    driver_class.fc_degree = H5F_CLOSE_STRONG;
    driver_class.fapl_size = sizeof(NotedImage);
    driver_class.open = open_noted;
    driver_class.close = [](H5FD_t* file) -> herr_t {
      delete &file_of(file);
      return 0;
    };
    driver_class.cmp = [](const H5FD_t* a, const H5FD_t* b) { return a < b ? -1 : a > b ? 1 : 0; };
    driver_class.query = [](const H5FD_t*, unsigned long* features) -> herr_t {
      if (features != nullptr) *features = 0;
      return 0;
    };
    driver_class.get_eoa = [](const H5FD_t* file, H5FD_mem_t) { return file_of(file).end; };
    driver_class.set_eoa = [](H5FD_t* file, H5FD_mem_t, haddr_t end) -> herr_t {
      file_of(file).end = end;
      return 0;
    };
    driver_class.get_eof = [](const H5FD_t* file, H5FD_mem_t) -> haddr_t { return file_of(file).image.size; };
    driver_class.read = read_noted;
    driver_class.write = [](H5FD_t*, H5FD_mem_t, hid_t, haddr_t, std::size_t, const void*) -> herr_t {
      return -1;
    };
    constexpr H5FD_mem_t kMap[H5FD_MEM_NTYPES] = H5FD_FLMAP_DICHOTOMY;
    std::memcpy(driver_class.fl_map, kMap, sizeof kMap);
    return H5FDregister(&driver_class);
  }();
  return driver;
}

}  // namespace

std::vector<ChunkPlace> chunk_places(std::span<const std::byte> bytes, const std::string& dataset, int rank,
                                     std::size_t chunks) {
  ChunkPlace noted;
  const NotedImage image{bytes.data(), bytes.size(), &noted};
  const Hdf5Handle access = hdf5_checked(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, dataset, "no access list");
  if (H5Pset_driver(access.get(), noting_driver(), &image) < 0)
    throw hdf5_error(dataset, "no driver: " + hdf5_reason());
  const Hdf5Handle file =
      hdf5_checked(H5Fopen("archive", H5F_ACC_RDONLY, access.get()), H5Fclose, "/", "cannot be opened");
  const Hdf5Handle data =
      hdf5_checked(H5Dopen2(file.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose, dataset, "cannot be opened");
  std::vector<ChunkPlace> places(chunks);
  std::vector<hsize_t> at(static_cast<std::size_t>(rank), 0);
  for (std::size_t i = 0; i < chunks; ++i) {
    at[0] = i;
    noted = {};
    std::byte nothing{};  // where a chunk would go
    std::uint32_t skipped = 0;
    const bool found = H5Dread_chunk(data.get(), H5P_DEFAULT, at.data(), &skipped, &nothing) >= 0;
    if (!found) {
      const std::string reason = hdf5_reason();
      if (reason.find("isn't defined") == std::string::npos &&
          reason.find("not allocated") == std::string::npos)
        throw hdf5_error(dataset, fmt::format("chunk {} cannot be found: {}", i, reason));
    }
    places[i] = noted;
    places[i].skipped = skipped;
  }
  return places;
}

#endif

}  // namespace raincell::io
