// One GPU: its stream, memory and errors. The kernels and plans of the cuda backend know the CUDA runtime
// only through this file and launch.hpp; device_host.cpp in the tests stands in for it on machines without a
// GPU.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/backend.hpp"
#include "kernels/cuda/ledger.hpp"

struct CUstream_st;  // cudaStream_t points to it
struct CUevent_st;

namespace raincell::kernels::cuda {

using Stream = CUstream_st*;
using Event = CUevent_st*;

/// All work is queued on one stream and done in its order. Errors of earlier work may show at any later call:
/// DeviceError then names the call that met them.
class Device {
 public:
  /// The `number`-th GPU of those that CUDA_VISIBLE_DEVICES leaves, counted anew from the first. Throws
  /// BackendUnavailable with what is missing: driver, GPU, or code for its architecture.
  explicit Device(int number);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  Stream stream() const { return stream_; }
  const std::string& name() const { return name_; }          // "NVIDIA H200, compute capability 9.0, 140 GiB"
  const std::string& identity() const { return identity_; }  // its UUID
  const std::string& versions() const { return versions_; }  // "CUDA runtime 13.0, driver 13.0"

  /// Zero-filled. Throws OutOfMemory that tells what is free and the largest tensors held.
  void* allocate(std::size_t bytes, std::string_view what);
  void release(void* memory) noexcept;
  const Ledger& ledger() const { return ledger_; }
  std::size_t free_memory() const;

  /// Copies. upload() returns when the host memory may be used again, and does not wait for the device;
  /// download() waits for its values.
  void upload(void* to, const void* from, std::size_t bytes);
  void download(void* to, const void* from, std::size_t bytes);
  void copy(void* to, const void* from, std::size_t bytes);
  void zero(void* to, std::size_t bytes);
  /// Waits for all queued work.
  void synchronize();
  /// What `work` queues, kept as a CUDA graph instead of done. Null when something in it cannot be kept.
  std::unique_ptr<Recording> capture(const std::function<void()>& work);
  /// How often memory was given back: what was captured before may use it.
  std::int64_t releases() const { return releases_; }

 private:
  /// Page-locked host memory on its way to the device: only from there does a copy run beside the host.
  struct Slot {
    void* memory = nullptr;
    Event free = nullptr;  // recorded behind the copy that reads it
  };
  void make_slots();
  /// Throws when `call`, which waits or allocates, is asked for inside captured work.
  void not_captured(const char* call) const {
    if (capturing_) throw DeviceError("CUDA", call, "not possible while work is captured");
  }

  Stream stream_ = nullptr;
  std::array<Slot, 2> slots_;
  std::size_t next_slot_ = 0;
  std::int64_t releases_ = 0;
  bool capturing_ = false;
  std::string name_, identity_, versions_;
  Ledger ledger_;
};

/// Device memory with an owner; grows on demand, never shrinks.
class Scratch {
 public:
  Scratch(Device& device, std::string what) : device_(device), what_(std::move(what)) {}
  ~Scratch() { device_.release(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  /// At least `bytes`; contents are lost when it grows. Waits for queued work before it lets go of memory.
  void* reserve(std::size_t bytes) {
    if (bytes <= bytes_) return memory_;
    device_.synchronize();
    device_.release(std::exchange(memory_, nullptr));
    bytes_ = 0;
    memory_ = device_.allocate(bytes, what_);
    bytes_ = bytes;
    return memory_;
  }
  void* memory() const { return memory_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device& device_;
  std::string what_;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Milliseconds of queued work between two points of the stream.
class Stopwatch {
 public:
  explicit Stopwatch(Device&);
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  void start();
  /// Waits until the work is done.
  float stop();

 private:
  Device& device_;
  Event begin_ = nullptr, end_ = nullptr;
};

/// Throws DeviceError when the launch before it was refused. Names the kernel.
void check_launch(const char* kernel, CodePlace place = CodePlace::current());

}  // namespace raincell::kernels::cuda
