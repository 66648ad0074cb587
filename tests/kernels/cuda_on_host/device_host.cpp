// Stands in for kernels/cuda/device.cpp: the "GPU" is host memory, its stream does everything at once. Two
// variables make it misbehave as a GPU would:
//   RAINCELL_TEST_GPU_BYTES  how much memory it has (default 1 GiB)
//   RAINCELL_TEST_GPU_LOST   as soon as a file of this name exists, every call fails, and goes on failing
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/cuda/launch.hpp"

namespace raincell::kernels::cuda {

namespace {

/// Captured work: done when it is replayed, with the addresses and numbers of when it was captured.
using Tape = std::vector<std::function<void()>>;
Tape* tape = nullptr;

std::size_t memory() {
  const char* const bytes = std::getenv("RAINCELL_TEST_GPU_BYTES");
  return bytes == nullptr ? std::size_t{1} << 30 : std::stoull(bytes);
}

void pass(const char* call) {
  static bool lost = false;
  const char* const file = std::getenv("RAINCELL_TEST_GPU_LOST");
  lost = lost || (file != nullptr && std::filesystem::exists(file));
  if (lost)
    throw DeviceError("CUDA", call, "an illegal memory access was encountered (cudaErrorIllegalAddress)");
}

/// Any number of GPUs; all processes share one where RAINCELL_TEST_ONE_GPU is set.
std::string new_identity() {
  if (std::getenv("RAINCELL_TEST_ONE_GPU") != nullptr) return "GPU-0";
  static std::atomic<int> made = 0;
  return "GPU-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
}

}  // namespace

Device::Device(int)
    : name_("the processor, in the place of a GPU"), identity_(new_identity()), versions_("no CUDA") {}

Device::~Device() {
  for (void* const memory : ledger_.all()) std::free(memory);
}

void* Device::allocate(std::size_t bytes, std::string_view what) {
  not_captured("cudaMalloc");
  pass("cudaMalloc");
  if (const std::size_t free = free_memory(); bytes > free)
    throw OutOfMemory("host", bytes, free, std::string(what) + " (held: " + ledger_.largest() + ")");
  // As aligned as cudaMalloc's, so that packs of 16 bytes are.
  void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory == nullptr) throw OutOfMemory("host", bytes, 0, std::string(what));
  ledger_.add(memory, bytes, what);
  zero(memory, bytes);
  return memory;
}

std::size_t Device::free_memory() const {
  return memory() - std::min(memory(), ledger_.held());
}

void Device::release(void* memory) noexcept {
  if (!ledger_.remove(memory)) return;
  std::free(memory);
  ++releases_;
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  not_captured("cudaMemcpyAsync to the device");
  pass("cudaMemcpyAsync to the device");
  std::memcpy(to, from, bytes);
}
void Device::download(void* to, const void* from, std::size_t bytes) {
  not_captured("cudaMemcpyAsync to the host");
  pass("cudaMemcpyAsync to the host");
  std::memcpy(to, from, bytes);
}
void Device::copy(void* to, const void* from, std::size_t bytes) {
  pass("cudaMemcpyAsync");
  queue(stream_, [=] { std::memcpy(to, from, bytes); });
}
void Device::zero(void* to, std::size_t bytes) {
  queue(stream_, [=] { std::memset(to, 0, bytes); });
}
void Device::synchronize() {
  not_captured("cudaStreamSynchronize");
  pass("cudaStreamSynchronize");
}

void queue(Stream, std::function<void()> work) {
  if (tape == nullptr) return work();
  tape->push_back(std::move(work));
}

namespace {

class Taped : public Recording {
 public:
  Taped(const Device& device, Tape kept)
      : device_(device), tape_(std::move(kept)), releases_(device.releases()) {}
  bool replay() override {
    if (device_.releases() != releases_) return false;
    pass("cudaGraphLaunch");
    for (const auto& work : tape_) work();
    return true;
  }

 private:
  const Device& device_;
  Tape tape_;
  std::int64_t releases_;
};

}  // namespace

std::unique_ptr<Recording> Device::capture(const std::function<void()>& work) {
  Tape kept;
  struct End {
    bool& capturing;
    ~End() { tape = nullptr, capturing = false; }
  };
  bool whole = true;
  {
    const End end{capturing_};
    tape = &kept;
    capturing_ = true;
    try {
      work();
    } catch (const DeviceError&) {
      whole = false;
    }
  }
  return whole ? std::make_unique<Taped>(*this, std::move(kept)) : nullptr;
}

Stopwatch::Stopwatch(Device& device) : device_(device) {}
Stopwatch::~Stopwatch() = default;
void Stopwatch::start() {
  device_.synchronize();
}
float Stopwatch::stop() {
  return 1;  // every engine is as fast as the first
}

void check_launch(const char* kernel, CodePlace) {
  pass(kernel);
}

}  // namespace raincell::kernels::cuda
