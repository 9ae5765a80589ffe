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

}  // namespace

int processors() {
  const int count = CPU_COUNT(&allowed());
  if (count > 0) return count;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int bind_thread(pthread_t thread, int processor) {
  if (processor == any_processor) return pthread_setaffinity_np(thread, sizeof(cpu_set_t), &allowed());
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0, index = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed()) && index++ == processor) CPU_SET(cpu, &one);
  }
  return pthread_setaffinity_np(thread, sizeof(one), &one);
}

}  // namespace netc
