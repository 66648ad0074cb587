// fuzz_NAME [FILE|FOLDER]...: a fuzz target without libFuzzer. Every file is given to the target as it is,
// and a few hundred mutants of it, the same each time.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

extern "C" __attribute__((weak)) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                                     std::size_t room, unsigned) {
  return LLVMFuzzerMutate(data, size, room);
}

namespace {

constexpr std::size_t kRoom = 4096;  // bytes an input may grow by
constexpr int kMutants = 400;        // of an input
constexpr std::size_t kMostBytes = 100'000;

std::mt19937_64& generator() {
  static std::mt19937_64 numbers(1);
  return numbers;
}

std::size_t below(std::size_t limit) {
  return limit == 0 ? 0 : generator()() % limit;
}

std::vector<std::uint8_t> bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void run_mutants(const std::vector<std::uint8_t>& input) {
  LLVMFuzzerTestOneInput(input.data(), input.size());
  for (int i = 0; i < kMutants; ++i) {
    std::vector<std::uint8_t> mutant = input;
    std::size_t size = mutant.size();
    mutant.resize(size + kRoom);
    for (std::size_t change = 0; change <= below(4); ++change)
      size =
          LLVMFuzzerCustomMutator(mutant.data(), size, mutant.size(), static_cast<unsigned>(generator()()));
    mutant.resize(size);
    LLVMFuzzerTestOneInput(mutant.data(), mutant.size());
  }
}

}  // namespace

// A byte, a bit, a number at the edge of its range, a piece out, a piece twice.
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t room) {
  if (size == 0) {
    if (room == 0) return 0;
    data[0] = static_cast<std::uint8_t>(below(256));
    return 1;
  }
  const std::size_t at = below(size), length = 1 + below(std::min<std::size_t>(size - at, 64));
  switch (below(5)) {
    case 0:
      data[at] = static_cast<std::uint8_t>(below(256));
      return size;
    case 1:
      data[at] ^= static_cast<std::uint8_t>(1U << below(8));
      return size;
    case 2:
      std::fill_n(data + at, std::min<std::size_t>(length, 8), below(2) == 0 ? 0xFF : 0x00);
      return size;
    case 3:
      std::copy(data + at + length, data + size, data + at);
      return size - length;
    default:
      if (size + length > room) return size;
      std::copy_backward(data + at, data + size, data + size + length);
      return size + length;
  }
}

int main(int count, char** arguments) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (int i = 1; i < count; ++i) {
    if (!fs::is_directory(arguments[i]))
      files.emplace_back(arguments[i]);
    else
      for (const fs::directory_entry& entry : fs::recursive_directory_iterator(arguments[i]))
        if (entry.is_regular_file() && entry.file_size() <= kMostBytes) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  run_mutants({});
  for (const fs::path& file : files) run_mutants(bytes_of(file));
  std::printf("%zu files and %d mutants of each\n", files.size(), kMutants);
  return 0;
}
