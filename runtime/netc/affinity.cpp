#include "netc/affinity.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace netc {

namespace {

/// Read once, since a thread that is bound later would see its own processor only.
const cpu_set_t& allowed() {
  static const cpu_set_t set = [] {
    cpu_set_t found;
    CPU_ZERO(&found);
    sched_getaffinity(0, sizeof(found), &found);
    return found;
  }();
  return set;
}

/// That one alone; none where there are fewer.
cpu_set_t nth_of(const cpu_set_t& set, int n) {
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0, index = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set) && index++ == n) CPU_SET(cpu, &one);
  }
  return one;
}

int bind(pthread_t thread, const cpu_set_t& processors) {
  return pthread_setaffinity_np(thread, sizeof(processors), &processors);
}

}  // namespace

int processors() {
  const int count = CPU_COUNT(&allowed());
  if (count > 0) return count;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int bind_thread(pthread_t thread, int processor) {
  if (processor == any_processor) return bind(thread, allowed());
  return bind(thread, nth_of(allowed(), processor));
}

void start_elsewhere(pthread_t thread, int number) {
  const int here = sched_getcpu();
  cpu_set_t others = allowed();
  if (here >= 0) CPU_CLR(here, &others);
  const int count = CPU_COUNT(&others);
  if (count == 0) return;
  bind(thread, nth_of(others, number % count));
  bind(thread, allowed());
}

}  // namespace netc
