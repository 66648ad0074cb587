// Has cuDNN an engine for every convolution that we ask for? It answers for a GPU that is described to it, so
// this needs the library and no device. Built, not run: whether results are right, cases_test says on a GPU.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "kernels/cuda/cudnn.hpp"
#include "tests/kernels/cases.hpp"

namespace raincell::test {
namespace {

using namespace kernels;
using namespace kernels::cuda;

/// An H200 as cuDNN describes one.
constexpr const char* kH200 = R"({"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],
"regsPerBlock":65536,"multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,
"maxSharedMemoryPerBlockOptin":232448,"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,
"maxCtasPerSM":32,"maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,
"supportCoopLaunch":1,"totalGlobalMem":150754820096,"smClockRateKHz":1980000,"memClockRateKHz":3201000,
"l2CacheSize":62914560,"cudaDeviceId":0,"deviceVer":900,"driverVer":13000,"deviceName":"NVIDIA H200"})";

class CudnnSupport : public testing::TestWithParam<Arithmetic> {
 protected:
  void SetUp() override {
    // cuDNN wants a driver to load what it compiles.
    if (dlopen("libcuda.so.1", RTLD_NOW) == nullptr) {
      ASSERT_NE(dlopen(RAINCELL_DRIVER_STAND_IN, RTLD_NOW), nullptr) << dlerror();
    }
    try {
      cudnn_ = std::make_unique<Cudnn>(std::string(kH200));
    } catch (const BackendUnavailable& absence) {
      GTEST_SKIP() << absence.what();
    } catch (const DeviceError& refused) {
      GTEST_SKIP() << "cuDNN answers for no GPU but its own: " << refused.what();
    }
  }
  void expect_engines(const ConvSpec& spec) {
    for (const auto result : {Correlation::Result::b, Correlation::Result::a, Correlation::Result::filter}) {
      const Correlation asked = correlation_of(spec, result);
      for (const bool deterministic : {false, true}) {
        EXPECT_FALSE(cudnn_->engines(asked, GetParam(), deterministic, 1, SIZE_MAX).empty())
            << asked.text() << (deterministic ? ", deterministic" : "");
      }
    }
  }
  std::unique_ptr<Cudnn> cudnn_;
};

TEST_P(CudnnSupport, EveryConvolutionOfTheCaseTable) {
  for (const ConvSpec& spec : convolution_specs()) expect_engines(spec);
}

/// One input channel, the odd channels of a mask and a guide, and the batched steps of the large workloads.
TEST_P(CudnnSupport, EveryConvolutionOfTheWorkloads) {
  for (const std::int64_t images : {1, 16, 160}) {
    for (const auto& [in, out, kernel] :
         {std::tuple{1, 256, 5}, {64, 256, 5}, {64, 256, 3}, {128, 256, 3}, {64, 1, 1}}) {
      expect_engines({.images = images,
                      .channels_in = in,
                      .channels_out = out,
                      .height = 128,
                      .width = 128,
                      .kernel = kernel,
                      .padding = kernel / 2,
                      .bias = true});
    }
    expect_engines({.images = images,
                    .channels_in = 2,
                    .channels_out = 8,
                    .height = 96,
                    .width = 96,
                    .kernel = 5,
                    .stride = 4,
                    .padding = 2});
    expect_engines({.images = images,
                    .channels_in = 24,
                    .channels_out = 8,
                    .height = 24,
                    .width = 24,
                    .kernel = 8,
                    .stride = 4,
                    .padding = 2,
                    .transposed = true});
  }
}

/// Where the gates are large, additions of biases and of what is there cost no pass of their own. In f32
/// without tensor cores there is no engine that adds to what is there.
TEST_P(CudnnSupport, TheAdditionsOfTheWorkloadsAreFused) {
  for (const auto& [in, kernel] : {std::pair<std::int64_t, std::int64_t>{32, 1}, {64, 3}, {64, 5}}) {
    Correlation asked = correlation_of({.images = 16,
                                        .channels_in = in,
                                        .channels_out = 256,
                                        .height = 128,
                                        .width = 128,
                                        .kernel = kernel,
                                        .padding = kernel / 2},
                                       Correlation::Result::b);
    for (const auto then : {Correlation::Then::add_bias, Correlation::Then::add_before}) {
      if (then == Correlation::Then::add_before && GetParam() == Arithmetic::f32) continue;
      asked.then = then;
      const auto found = cudnn_->engines(asked, GetParam(), false, 2, std::size_t{512} << 20);
      EXPECT_FALSE(found.empty()) << asked.text();
    }
  }
}

std::string name_of_arithmetic(const testing::TestParamInfo<Arithmetic>& tested) {
  return tested.param == Arithmetic::f32 ? "f32" : tested.param == Arithmetic::tf32 ? "tf32" : "bf16";
}

INSTANTIATE_TEST_SUITE_P(Gpu, CudnnSupport,
                         testing::Values(Arithmetic::f32, Arithmetic::tf32, Arithmetic::bf16),
                         name_of_arithmetic);

}  // namespace
}  // namespace raincell::test
