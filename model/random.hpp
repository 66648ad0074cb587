// Random numbers as a pure function of counters: the same on every backend and for any worker count.
#pragma once

#include <cstdint>
#include <string_view>

namespace raincell::model {

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): a bijection with good avalanche.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// FNV-1a, to make a stream number of a name.
constexpr std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3ULL;
  return hash;
}

/// Uniform in [0, 1), 53 bits, of (seed, stream, index).
constexpr double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const std::uint64_t bits = mix_bits(mix_bits(mix_bits(seed) ^ stream) ^ index);
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

}  // namespace raincell::model
