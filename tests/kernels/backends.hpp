// The backends that a test program asks, chosen by the source file that it is linked with.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.hpp"

namespace raincell::test {

struct TestedBackend {
  const char* name;     // of the test
  const char* backend;  // of the registry
  int threads;
  kernels::Precision precision = kernels::Precision::f32;
  /// Largest deviation from the reference in double, of the largest value of a tensor.
  double tolerance = 2e-6;
};

std::vector<TestedBackend> tested_backends();

/// Null, and why, where the machine has no such device.
inline std::unique_ptr<kernels::Backend> open_backend(const TestedBackend& tested, std::string& why) {
  try {
    return kernels::make_backend(tested.backend, {.threads = tested.threads, .precision = tested.precision});
  } catch (const kernels::BackendUnavailable& absence) {
    why = std::string(tested.backend) + ": " + absence.what();
    return nullptr;
  }
}

/// A test of every one of them, skipped where it has none.
class OnEveryBackend : public testing::TestWithParam<TestedBackend> {
 protected:
  void SetUp() override {
    std::string why;
    if ((backend_ = open_backend(GetParam(), why)) == nullptr) GTEST_SKIP() << why;
  }
  /// The same one with the same bits in every process.
  std::unique_ptr<kernels::Backend> deterministic() const {
    const TestedBackend& tested = GetParam();
    return kernels::make_backend(
        tested.backend, {.threads = tested.threads, .deterministic = true, .precision = tested.precision});
  }
  std::unique_ptr<kernels::Backend> backend_;
};

inline void PrintTo(const TestedBackend& tested, std::ostream* out) {
  *out << tested.name;
}

inline std::string name_of_backend(const testing::TestParamInfo<TestedBackend>& tested) {
  return tested.param.name;
}

}  // namespace raincell::test
