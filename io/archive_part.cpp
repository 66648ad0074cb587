#include "io/archive_part.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <libdeflate.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "io/mapped_read.hpp"
#include "io/publish.hpp"

namespace raincell::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the archive is mapped as it lies in the file");

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw DataError(path.string() + ": " + why);
}

struct DeflateRelease {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

}  // namespace

std::string hash_of_codes(std::span<const std::int16_t> codes) {
  return sha256(std::as_bytes(codes)).substr(0, 32);
}

std::uint32_t crc_of_codes(std::span<const std::int16_t> codes) {
  return libdeflate_crc32(0, codes.data(), codes.size_bytes());
}

std::unique_ptr<ArchivePart> ArchivePart::open(const std::filesystem::path& path) {
  Jail jail;
  return open(path, jail);
}

std::unique_ptr<ArchivePart> ArchivePart::open(const std::filesystem::path& path, Jail& jail) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) refuse(path, fmt::format("cannot open: {}", std::strerror(errno)));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) refuse(path, "is no regular file");
  if (info.st_size <= 0) refuse(path, "is empty; pack it again");
  std::unique_ptr<ArchivePart> part(new ArchivePart);
  part->path_ = path;
  part->size_ = static_cast<std::size_t>(info.st_size);
  try {
    part->table_ = jail.read_table(file, part->size_);
  } catch (const DataError& error) {
    refuse(path, error.what());
  }
  void* const map = ::mmap(nullptr, part->size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (map == MAP_FAILED) refuse(path, fmt::format("cannot map into memory: {}", std::strerror(errno)));
  part->map_ = static_cast<const std::byte*>(map);
  return part;
}

ArchivePart::~ArchivePart() {
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), size_);
}

void ArchivePart::advise(std::size_t frame, int advice) const {
  const PackedFrame& place = table_.frames[frame];
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = place.offset / page * page;
  // Whatever the kernel says: the bytes are the same, sooner or later.
  ::madvise(const_cast<std::byte*>(map_) + first, place.offset + place.bytes - first, advice);
}

void ArchivePart::prefetch(std::size_t frame) const {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ of Linux 5.14, which older headers do not name
  advise(frame, kPopulateRead);
}

void ArchivePart::release(std::size_t frame) const {
  advise(frame, MADV_DONTNEED);
}

std::span<const std::int16_t> ArchivePart::mapped(std::size_t frame) const {
  const PackedFrame& place = table_.frames[frame];
  const bool aligned = place.offset % alignof(std::int16_t) == 0;
  if (place.deflated || place.shuffled || !aligned) return {};
  return {reinterpret_cast<const std::int16_t*>(map_ + place.offset),
          static_cast<std::size_t>(table_.grid.pixels())};
}

std::string ArchivePart::decode(std::size_t frame, std::span<std::int16_t> codes) const {
  const PackedFrame& place = table_.frames[frame];
  const std::size_t bytes = codes.size_bytes();
  std::vector<std::byte> inflated(place.deflated ? bytes : 0);
  static thread_local const std::unique_ptr<libdeflate_decompressor, DeflateRelease> inflater(
      libdeflate_alloc_decompressor());
  bool inflates = true;
  const bool read = read_mapped([&, inflater = inflater.get()] {
    const std::byte* source = map_ + place.offset;
    if (place.deflated) {
      // Without a place for the size, anything but exactly `bytes` is an error.
      inflates = inflater != nullptr &&
                 libdeflate_zlib_decompress(inflater, source, place.bytes, inflated.data(), bytes, nullptr) ==
                     LIBDEFLATE_SUCCESS;
      source = inflated.data();
    }
    if (!inflates) return;
    if (!place.shuffled) {
      std::memcpy(codes.data(), source, bytes);
      return;
    }
    const auto* low = reinterpret_cast<const std::uint8_t*>(source);
    const std::uint8_t* high = low + codes.size();
    for (std::size_t i = 0; i < codes.size(); ++i) {
      codes[i] = static_cast<std::int16_t>(low[i] | (high[i] << 8));
    }
  });
  return !read ? kCutShort : !inflates ? "it does not decompress; the file is damaged" : "";
}

}  // namespace raincell::io
