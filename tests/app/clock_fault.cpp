// Preloaded into a training: the clock of the wall jumps back by 400 days and then forward by 4000, again and
// again, each time it is asked.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <ctime>

extern "C" int clock_gettime(clockid_t clock, timespec* time) {
  static std::atomic<unsigned> asked{0};
  const long result = ::syscall(SYS_clock_gettime, clock, time);
  constexpr time_t kDay = 86400;
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += ++asked % 2 == 0 ? 4000 * kDay : -400 * kDay;
  return static_cast<int>(result);
}
