#include "kernels/cuda/device.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace raincell::kernels::cuda {

namespace {

std::string described(cudaError_t error) {
  return std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
}

void check(cudaError_t error, const char* call,
           std::source_location place = std::source_location::current()) {
  if (error == cudaSuccess) return;
  throw DeviceError("CUDA", call, described(error), place);
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string gibibytes(std::size_t bytes) {
  const std::size_t tenths = bytes / ((std::size_t{1} << 30) / 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

/// What keeps this process from a GPU, in the user's words.
[[noreturn]] void unavailable(cudaError_t error) {
  const std::string why = error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice
                              ? "no NVIDIA driver or no GPU (" + described(error) + ")"
                              : described(error);
  throw BackendUnavailable(why + "; nvidia-smi shows what the driver sees, a container needs --gpus all");
}

}  // namespace

void check_launch(const char* kernel, std::source_location place) {
  check(cudaGetLastError(), kernel, place);
}

Device::Device() {
  int count = 0, runtime = 0, driver = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) unavailable(error);
  if (count == 0) unavailable(cudaErrorNoDevice);
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  if (const cudaError_t error = cudaSetDevice(0); error != cudaSuccess) unavailable(error);
  if (const cudaError_t error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
      error != cudaSuccess) {
    unavailable(error);
  }
  name_ = std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
          std::to_string(properties.minor) + ", " + gibibytes(properties.totalGlobalMem);
  versions_ = "CUDA runtime " + version_text(runtime) + ", driver " + version_text(driver);
}

Device::~Device() {
  for (const auto& [memory, block] : blocks_) cudaFree(memory);
  cudaStreamDestroy(stream_);
}

void* Device::allocate(std::size_t bytes, std::string_view what) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the process may go on with less
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw OutOfMemory("CUDA", bytes, free, std::string(what) + largest_blocks());
  }
  check(error, "cudaMalloc");
  blocks_.emplace(memory, Block{bytes, std::string(what)});
  allocated_ += bytes;
  peak_ = std::max(peak_, allocated_);
  zero(memory, bytes);
  return memory;
}

void Device::release(void* memory) noexcept {
  const auto found = blocks_.find(memory);
  if (found == blocks_.end()) return;
  allocated_ -= found->second.bytes;
  blocks_.erase(found);
  cudaFree(memory);  // waits for the work that uses it
}

std::string Device::largest_blocks() const {
  std::map<std::string, std::size_t> sizes;
  for (const auto& [memory, block] : blocks_) sizes[block.what] += block.bytes;
  std::vector<std::pair<std::size_t, std::string>> sorted;
  for (const auto& [what, bytes] : sizes) sorted.emplace_back(bytes, what);
  std::sort(sorted.rbegin(), sorted.rend());
  sorted.resize(std::min<std::size_t>(sorted.size(), 3));
  std::string text;
  for (const auto& [bytes, what] : sorted) text += (text.empty() ? "" : ", ") + what + " " + gibibytes(bytes);
  return text.empty() ? "" : " (held: " + text + ")";
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync to the device");
  synchronize();
}

void Device::download(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync to the host");
  synchronize();
}

void Device::copy(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync");
}

void Device::zero(void* to, std::size_t bytes) {
  check(cudaMemsetAsync(to, 0, bytes, stream_), "cudaMemsetAsync");
}

void Device::synchronize() {
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

Stopwatch::Stopwatch(Device& device) : device_(device) {
  check(cudaEventCreate(&begin_), "cudaEventCreate");
  const cudaError_t error = cudaEventCreate(&end_);
  if (error != cudaSuccess) cudaEventDestroy(begin_);
  check(error, "cudaEventCreate");
}

Stopwatch::~Stopwatch() {
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
}

void Stopwatch::start() {
  check(cudaEventRecord(begin_, device_.stream()), "cudaEventRecord");
}

float Stopwatch::stop() {
  float milliseconds = 0;
  check(cudaEventRecord(end_, device_.stream()), "cudaEventRecord");
  check(cudaEventSynchronize(end_), "cudaEventSynchronize");
  check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
  return milliseconds;
}

}  // namespace raincell::kernels::cuda
