// Numbers for tests: the same on every machine and standard library.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace raincell::test {

/// Reproducible; every value is exact in f32, so that a double reference sees the same input as a float
/// backend.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : engine_(seed) {}

  /// Uniform in [low, high).
  double uniform(double low, double high) {
    const double unit = static_cast<double>(engine_() >> 40) / static_cast<double>(1 << 24);
    return static_cast<double>(static_cast<float>(low + unit * (high - low)));
  }
  std::vector<double> uniform(std::int64_t count, double low, double high) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = uniform(low, high);
    return values;
  }
  /// Small integers in [-size, size]: sums of products of them are exact in f32.
  std::vector<double> integers(std::int64_t count, int size) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) {
      value = static_cast<double>(engine_() % static_cast<std::uint64_t>(2 * size + 1)) - size;
    }
    return values;
  }
  /// 1 with the given probability, else 0.
  std::vector<double> mask(std::int64_t count, double valid) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = uniform(0, 1) < valid ? 1. : 0.;
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace raincell::test
