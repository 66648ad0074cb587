#include "kernels/cpu/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "kernels/backend.hpp"
#include "kernels/cpu/threads.hpp"

namespace raincell::kernels::cpu {

namespace {

constexpr std::size_t kCacheLine = 64, kHugePage = std::size_t{2} << 20;

void release(void*, void* memory, std::size_t) noexcept {
  std::free(memory);
}

std::size_t pages_of(int name) {
  const long pages = sysconf(name), page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) : 0;
}

}  // namespace

Buffer allocate_host(std::size_t bytes, std::string_view what, int threads) {
  // Linux grants more memory than there is and kills on use: refuse what cannot fit before that.
  const std::size_t machine = pages_of(_SC_PHYS_PAGES);
  void* memory = nullptr;
  const bool large = bytes >= 4 * kHugePage;
  if ((machine != 0 && bytes > machine) ||
      posix_memalign(&memory, large ? kHugePage : kCacheLine, bytes) != 0) {
    throw OutOfMemory("host", bytes, pages_of(_SC_AVPHYS_PAGES), std::string(what));
  }
  if (large) (void)madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: slower without, never wrong
  auto* const first = static_cast<std::byte*>(memory);
  parallel_parts(threads, static_cast<std::int64_t>(bytes), 1 << 20,
                 [first](std::int64_t begin, std::int64_t end, int) {
                   std::memset(first + begin, 0, static_cast<std::size_t>(end - begin));
                 });
  return {memory, bytes, release, nullptr};
}

}  // namespace raincell::kernels::cpu
