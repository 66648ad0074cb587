// What a fuzz target is made of: libFuzzer's entry points, and how a target says that an answer is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" {
/// One input. Returns 0; anything but an expected exception is a finding.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// Optional: changes an input in place, up to `room` bytes, and returns its new size.
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t room, unsigned seed);
/// The mutations of the driver.
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t room);
}

namespace raincell::fuzz {

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A finding: the input was understood, but not rightly.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

/// Input for a mutator that starts anew from `good` now and then: what is checked by counts and sums is never
/// found by chance.
inline std::size_t mutate_from(const std::string& good, std::uint8_t* data, std::size_t size,
                               std::size_t room, unsigned seed) {
  if ((size < 8 || seed % 32 == 0) && good.size() <= room) {
    good.copy(reinterpret_cast<char*>(data), good.size());
    size = good.size();
  }
  return LLVMFuzzerMutate(data, size, room);
}

}  // namespace raincell::fuzz
