#include "io/hdf5_superblock.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "io/hdf5_handle.hpp"

namespace raincell::io {
namespace {

/// Where HDF5 begins, which may be after a user block.
std::optional<std::size_t> signature_place(std::span<const std::byte> bytes) {
  static constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  for (std::size_t at = 0; at + kSignature.size() <= bytes.size(); at = at == 0 ? 512 : at * 2) {
    if (std::memcmp(bytes.data() + at, kSignature.data(), kSignature.size()) == 0) return at;
  }
  return std::nullopt;
}

}  // namespace

bool looks_like_hdf5(std::span<const std::byte> bytes) {
  return signature_place(bytes).has_value();
}

void refuse_driver_block(std::span<const std::byte> bytes) {
  const std::size_t start = signature_place(bytes).value_or(bytes.size());
  constexpr std::size_t kVersion = 8, kAddressSize = 13, kLast = 60;
  if (bytes.size() < kLast || start > bytes.size() - kLast) return;
  const auto at = [&](std::size_t place) { return std::to_integer<unsigned>(bytes[start + place]); };
  if (at(kVersion) > 1 || at(kAddressSize) != sizeof(std::uint64_t)) return;
  const std::size_t place = at(kVersion) == 0 ? 48 : 52;
  std::uint64_t address = 0;
  std::memcpy(&address, bytes.data() + start + place, sizeof address);
  if (address != ~std::uint64_t{0})
    throw hdf5_error(
        "/", "names a driver block, as the pieces of a split file do; expected one whole file; damaged?");
}

}  // namespace raincell::io
