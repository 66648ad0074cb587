// Stands in for kernels/cuda/device.cpp: the "GPU" is host memory, its stream does everything at once.
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

Device::Device() : name_("the processor, in the place of a GPU"), versions_("no CUDA") {}

Device::~Device() {
  for (const auto& [memory, block] : blocks_) std::free(memory);
}

void* Device::allocate(std::size_t bytes, std::string_view what) {
  // As aligned as cudaMalloc's, so that packs of 16 bytes are.
  void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory == nullptr) throw OutOfMemory("host", bytes, 0, std::string(what) + largest_blocks());
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
  std::free(memory);
}

std::string Device::largest_blocks() const {
  return "";
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
