#include "kernels/cuda/device.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>

namespace raincell::kernels::cuda {

namespace {

std::string described(cudaError_t error) {
  return std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
}

void check(cudaError_t error, const char* call, CodePlace place = CodePlace::current()) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // told once; an error that stays comes back by itself
  throw DeviceError("CUDA", call, described(error), place);
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// As nvidia-smi writes it, but for the dashes.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (const char byte : uuid.bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

constexpr std::size_t kSlotBytes = std::size_t{16} << 20;

/// What keeps this process from a GPU, in the user's words.
[[noreturn]] void unavailable(cudaError_t error) {
  const std::string why = error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice
                              ? "no NVIDIA driver or no GPU (" + described(error) + ")"
                              : described(error);
  throw BackendUnavailable(why + "; nvidia-smi shows what the driver sees, a container needs --gpus all");
}

}  // namespace

void check_launch(const char* kernel, CodePlace place) {
  check(cudaGetLastError(), kernel, place);
}

Device::Device(int number) {
  int count = 0, runtime = 0, driver = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) unavailable(error);
  if (count == 0) unavailable(cudaErrorNoDevice);
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  cudaDeviceProp properties{};
  number %= count;
  check(cudaGetDeviceProperties(&properties, number), "cudaGetDeviceProperties");
  if (const cudaError_t error = cudaSetDevice(number); error != cudaSuccess) unavailable(error);
  if (const cudaError_t error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
      error != cudaSuccess) {
    unavailable(error);
  }
  name_ = std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
          std::to_string(properties.minor) + ", " + Ledger::gibibytes(properties.totalGlobalMem);
  identity_ = uuid_text(properties.uuid);
  versions_ = "CUDA runtime " + version_text(runtime) + ", driver " + version_text(driver);
}

Device::~Device() {
  cudaStreamSynchronize(stream_);
  for (void* const memory : ledger_.all()) cudaFree(memory);
  for (const Slot& slot : slots_) {
    if (slot.memory != nullptr) cudaFreeHost(slot.memory);
    if (slot.free != nullptr) cudaEventDestroy(slot.free);
  }
  cudaStreamDestroy(stream_);
}

void* Device::allocate(std::size_t bytes, std::string_view what) {
  not_captured("cudaMalloc");
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // not sticky: the process may go on with less
    throw OutOfMemory("CUDA", bytes, free_memory(), std::string(what) + " (held: " + ledger_.largest() + ")");
  }
  check(error, "cudaMalloc");
  ledger_.add(memory, bytes, what);
  zero(memory, bytes);
  return memory;
}

std::size_t Device::free_memory() const {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

void Device::release(void* memory) noexcept {
  if (!ledger_.remove(memory)) return;
  cudaStreamSynchronize(stream_);  // for the work that uses it
  cudaFree(memory);
  ++releases_;
}

void Device::make_slots() {
  for (Slot& slot : slots_) {
    if (slot.memory != nullptr) continue;
    if (slot.free == nullptr)
      check(cudaEventCreateWithFlags(&slot.free, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    check(cudaMallocHost(&slot.memory, kSlotBytes), "cudaMallocHost");
  }
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  not_captured("cudaMemcpyAsync to the device");
  make_slots();
  for (std::size_t done = 0; done < bytes; done += kSlotBytes) {
    Slot& slot = slots_[next_slot_];
    next_slot_ = (next_slot_ + 1) % slots_.size();
    const std::size_t piece = std::min(kSlotBytes, bytes - done);
    check(cudaEventSynchronize(slot.free), "cudaEventSynchronize");
    std::memcpy(slot.memory, static_cast<const std::byte*>(from) + done, piece);
    check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, slot.memory, piece, cudaMemcpyHostToDevice,
                          stream_),
          "cudaMemcpyAsync to the device");
    check(cudaEventRecord(slot.free, stream_), "cudaEventRecord");
  }
}

void Device::download(void* to, const void* from, std::size_t bytes) {
  not_captured("cudaMemcpyAsync to the host");
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
  not_captured("cudaStreamSynchronize");
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

namespace {

/// An instantiated CUDA graph.
class CapturedGraph : public Recording {
 public:
  CapturedGraph(const Device& device, cudaGraphExec_t graph)
      : device_(device), graph_(graph), releases_(device.releases()) {}
  ~CapturedGraph() override { cudaGraphExecDestroy(graph_); }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  bool replay() override {
    if (device_.releases() != releases_) return false;
    check(cudaGraphLaunch(graph_, device_.stream()), "cudaGraphLaunch");
    return true;
  }

 private:
  const Device& device_;
  cudaGraphExec_t graph_;
  std::int64_t releases_;
};

}  // namespace

std::unique_ptr<Recording> Device::capture(const std::function<void()>& work) {
  not_captured("cudaStreamBeginCapture");
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  capturing_ = true;
  bool kept = true;
  const auto end = [&] {
    capturing_ = false;
    cudaGraph_t graph = nullptr;
    kept = cudaStreamEndCapture(stream_, &graph) == cudaSuccess && kept;
    return graph;
  };
  try {
    work();
  } catch (const DeviceError&) {  // what cannot be captured is told so; the work is still to be done
    kept = false;
  } catch (...) {
    if (cudaGraph_t const graph = end(); graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  cudaGraph_t const graph = end();
  cudaGraphExec_t executable = nullptr;
  if (kept) kept = cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();  // an error that stays comes back by itself
  if (!kept) return nullptr;
  return std::make_unique<CapturedGraph>(*this, executable);
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
