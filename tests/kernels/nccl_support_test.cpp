// Has NCCL's library what is asked of it? It loads, and draws ids, without a GPU.
#include <gtest/gtest.h>

#include "kernels/cuda/nccl.hpp"

namespace raincell::test {
namespace {

using kernels::cuda::Nccl;

TEST(NcclSupport, TheLibraryLoadsAndDrawsIds) {
  if (const std::string why = Nccl::missing(); !why.empty()) GTEST_SKIP() << why;
  EXPECT_EQ(Nccl::version().rfind("NCCL 2.", 0), 0U) << Nccl::version();
  const std::string first = Nccl::draw_id(), second = Nccl::draw_id();
  EXPECT_EQ(first.size(), 128U);
  EXPECT_NE(first, second);
  EXPECT_THROW(Nccl("short", 0, 1, nullptr), std::logic_error);
}

}  // namespace
}  // namespace raincell::test
