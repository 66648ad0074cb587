// Stands in for kernels/cuda/nccl.cpp: processes or threads of one machine exchange by shared memory.
#include "kernels/cuda/nccl.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/cuda/launch.hpp"

namespace raincell::kernels::cuda {

namespace {

constexpr int kMostRanks = 8;
constexpr std::size_t kRoom = std::size_t{64} << 20;  // bytes of a rank; taken only as far as it is used

/// At the beginning of the shared memory; behind it, kRoom for every rank.
struct Meeting {
  std::atomic<int> begun;
  pthread_barrier_t barrier;
  std::array<std::array<std::size_t, kMostRanks>, kMostRanks> places;  // [from][to], bytes
};

}  // namespace

struct Nccl::State {
  std::string name;
  int rank = 0, size = 1;
  Meeting* meeting = nullptr;
  std::size_t bytes = 0;

  std::byte* room(int of) const {
    return reinterpret_cast<std::byte*>(meeting) + sizeof(Meeting) + static_cast<std::size_t>(of) * kRoom;
  }
  void wait() const { pthread_barrier_wait(&meeting->barrier); }
};

std::string Nccl::missing() {
  return std::getenv("RAINCELL_TEST_NO_NCCL") == nullptr ? "" : "NCCL cannot be loaded (libnccl.so.2)";
}
std::string Nccl::version() {
  return "shared memory, in the place of NCCL";
}
std::string Nccl::draw_id() {
  static std::atomic<int> drawn = 0;
  return "/raincell-test-" + std::to_string(::getpid()) + "-" + std::to_string(drawn++);
}

Nccl::Nccl(const std::string& id, int rank, int size, Stream) : state_(std::make_unique<State>()) {
  state_->name = id;
  state_->rank = rank;
  state_->size = size;
  state_->bytes = sizeof(Meeting) + static_cast<std::size_t>(size) * kRoom;
  int file = -1;
  if (rank == 0) {
    file = ::shm_open(id.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(state_->bytes)) != 0)
      throw DeviceError("NCCL", "shm_open", std::strerror(errno));
  }
  while (file < 0) {
    file = ::shm_open(id.c_str(), O_RDWR, 0);
    if (file >= 0 && ::lseek(file, 0, SEEK_END) < static_cast<off_t>(state_->bytes))
      ::close(std::exchange(file, -1));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void* const memory = ::mmap(nullptr, state_->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) throw DeviceError("NCCL", "mmap", std::strerror(errno));
  state_->meeting = static_cast<Meeting*>(memory);
  if (rank == 0) {
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&state_->meeting->barrier, &shared, static_cast<unsigned>(size));
    state_->meeting->begun = 1;
  }
  while (state_->meeting->begun == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  state_->wait();
  if (rank == 0) ::shm_unlink(id.c_str());
}

Nccl::~Nccl() {
  if (state_->meeting != nullptr) ::munmap(state_->meeting, state_->bytes);
}

void Nccl::exchange(std::span<const Piece> sent, std::span<const Piece> received) {
  std::size_t at = 0;
  for (const Piece& piece : sent) {
    const std::size_t bytes = piece.count * sizeof(float);
    if (at + bytes > kRoom) throw DeviceError("NCCL", "exchange", "more than the stand-in has room for");
    state_->meeting->places[static_cast<std::size_t>(state_->rank)][static_cast<std::size_t>(piece.rank)] =
        at;
    std::memcpy(state_->room(state_->rank) + at, piece.memory, bytes);
    at += bytes;
  }
  state_->wait();
  for (const Piece& piece : received) {
    const std::size_t place =
        state_->meeting->places[static_cast<std::size_t>(piece.rank)][static_cast<std::size_t>(state_->rank)];
    std::memcpy(piece.memory, state_->room(piece.rank) + place, piece.count * sizeof(float));
  }
  state_->wait();
}

void Nccl::gather(const float* mine, std::size_t count, float* all) {
  const std::size_t bytes = count * sizeof(float);
  std::memcpy(state_->room(state_->rank), mine, bytes);
  state_->wait();
  for (int rank = 0; rank < state_->size; ++rank)
    std::memcpy(all + static_cast<std::size_t>(rank) * count, state_->room(rank), bytes);
  state_->wait();
}

}  // namespace raincell::kernels::cuda
