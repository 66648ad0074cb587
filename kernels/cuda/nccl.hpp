// From the memory of one GPU to that of others: NCCL, loaded at run time. nccl.cpp is the only code that sees
// nccl.h.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/cuda/device.hpp"

namespace raincell::kernels::cuda {

class Nccl {
 public:
  /// Why there is none; empty when there is.
  static std::string missing();
  /// "NCCL 2.28.9"
  static std::string version();
  /// Drawn by one process, given to all.
  static std::string draw_id();

  /// Returns when all ranks have joined. Their work is queued on the stream.
  Nccl(const std::string& id, int rank, int size, Stream stream);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  /// Numbers that go to a rank, or come from it.
  struct Piece {
    float* memory = nullptr;
    std::size_t count = 0;
    int rank = 0;
  };
  /// What one sends to another, the other must want to receive.
  void exchange(std::span<const Piece> sent, std::span<const Piece> received);
  /// all [ranks, count]: what each of them has in `mine`.
  void gather(const float* mine, std::size_t count, float* all);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace raincell::kernels::cuda
