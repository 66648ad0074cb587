// The backends that a test program asks, chosen by the source file that it is linked with.
#pragma once

#include <gtest/gtest.h>

#include <memory>
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

/// A test of every one of them; skipped, with the reason, where the machine has no such device.
class OnEveryBackend : public testing::TestWithParam<TestedBackend> {
 protected:
  void SetUp() override {
    try {
      backend_ = kernels::make_backend(GetParam().backend,
                                       {.threads = GetParam().threads, .precision = GetParam().precision});
    } catch (const kernels::BackendUnavailable& absence) {
      GTEST_SKIP() << GetParam().backend << ": " << absence.what();
    }
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
