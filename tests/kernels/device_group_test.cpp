// Devices of several processes, here threads, that sum what each of them has.
#include "kernels/device_group.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "tests/kernels/backends.hpp"

namespace raincell::test {
namespace {

using namespace kernels;

/// Numbers of a rank; of all magnitudes, so that another order of additions would give other bits.
std::vector<float> numbers(int rank, std::int64_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = std::ldexp(normal(random), static_cast<int>(random() % 20) - 10);
  return values;
}

TEST(DeviceGroup, SumsInTheOrderOfTheRanksTheSameBitsOnEach) {
  std::string why;
  const auto first = open_backend(tested_backends().front(), why);
  if (first == nullptr) GTEST_SKIP() << why;
  if (why = first->no_group(); !why.empty()) GTEST_SKIP() << why;
  for (const int size : {1, 2, 3, 5}) {
    const std::string id = first->draw_group_id();
    std::set<std::string> devices;
    for (int rank = 0; rank < size; ++rank)
      devices.insert(make_backend(tested_backends().front().backend, {.device = rank})->info().identity);
    if (static_cast<int>(devices.size()) < size) {
      std::cout << "not with " << size << " ranks: there are " << devices.size() << " GPUs\n";
      continue;
    }
    const std::vector<std::int64_t> counts = {1, 4, 1000, 100003};
    std::vector<std::vector<std::vector<float>>> sums(static_cast<std::size_t>(size));
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&, rank] {
        // In its own thread: which GPU is meant is a matter of the thread.
        const auto own = make_backend(tested_backends().front().backend, {.device = rank});
        Backend& backend = *own;
        const auto group = backend.join_group(id, rank, size, counts.back());
        for (const std::int64_t count : counts) {
          Tensor values = backend.allocate_plain({1, 1, count, 1, 1}, "values");
          backend.write(values.view(), std::span<const float>(numbers(rank, count)));
          group->sum(values.view());
          std::vector<float> sum(static_cast<std::size_t>(count));
          backend.read(values.view(), std::span<float>(sum));
          sums[static_cast<std::size_t>(rank)].push_back(sum);
        }
      });
    }
    for (std::thread& rank : ranks) rank.join();
    for (std::size_t c = 0; c < counts.size(); ++c) {
      std::vector<double> expected(static_cast<std::size_t>(counts[c]));
      for (int rank = 0; rank < size; ++rank) {
        const std::vector<float> own = numbers(rank, counts[c]);
        for (std::size_t i = 0; i < own.size(); ++i) expected[i] += static_cast<double>(own[i]);
      }
      for (int rank = 0; rank < size; ++rank) {
        for (std::size_t i = 0; i < expected.size(); ++i)
          ASSERT_EQ(sums[static_cast<std::size_t>(rank)][c][i], static_cast<float>(expected[i]))
              << "rank " << rank << " of " << size << ", number " << i << " of " << counts[c];
      }
    }
  }
}

TEST(DeviceGroup, ThereIsNoneOnTheProcessor) {
  const auto cpu = make_backend("cpu", {.threads = 1});
  EXPECT_FALSE(cpu->no_group().empty());
  EXPECT_THROW(cpu->join_group("", 0, 1, 1), std::logic_error);
}

}  // namespace
}  // namespace raincell::test
