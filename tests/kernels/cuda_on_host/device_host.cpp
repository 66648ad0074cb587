// Stands in for kernels/cuda/device.cpp: the "GPU" is host memory, its stream does everything at once.
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

constexpr std::size_t kMemory = std::size_t{1} << 30;  // bytes of this "GPU"

Device::Device() : name_("the processor, in the place of a GPU"), versions_("no CUDA") {}

Device::~Device() {
  for (void* const memory : ledger_.all()) std::free(memory);
}

void* Device::allocate(std::size_t bytes, std::string_view what) {
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
  return kMemory - ledger_.held();
}

void Device::release(void* memory) noexcept {
  if (ledger_.remove(memory)) std::free(memory);
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
void Device::download(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
void Device::copy(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
void Device::zero(void* to, std::size_t bytes) {
  std::memset(to, 0, bytes);
}
void Device::synchronize() {}

Stopwatch::Stopwatch(Device& device) : device_(device) {}
Stopwatch::~Stopwatch() = default;
void Stopwatch::start() {
  device_.synchronize();
}
float Stopwatch::stop() {
  return 1;  // every engine is as fast as the first
}

void check_launch(const char*, std::source_location) {}

}  // namespace raincell::kernels::cuda
