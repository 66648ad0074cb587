// Stands in for nccl.cpp in a build for one process.
#include <stdexcept>

#include "kernels/cuda/nccl.hpp"

namespace raincell::kernels::cuda {

struct Nccl::State {};

namespace {

[[noreturn]] void refuse() {
  throw std::logic_error("NCCL is asked for in a build without it");
}

}  // namespace

std::string Nccl::missing() {
  return "this build has no NCCL; configure with -DRAINCELL_MPI=ON where nccl.h is";
}
std::string Nccl::version() {
  refuse();
}
std::string Nccl::draw_id() {
  refuse();
}
Nccl::Nccl(const std::string&, int, int, Stream) {
  refuse();
}
Nccl::~Nccl() = default;
void Nccl::exchange(std::span<const Piece>, std::span<const Piece>) {
  refuse();
}
void Nccl::gather(const float*, std::size_t, float*) {
  refuse();
}

}  // namespace raincell::kernels::cuda
