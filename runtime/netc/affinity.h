// Which processors threads may run on.
#pragma once

#include <pthread.h>

namespace netc {

/// Processors that this process may use, at least 1: what `taskset` or a container left of the machine's when the
/// program began to compute.
int processors();

constexpr int any_processor = -1;

/// Keeps a thread on one of them, counted from 0, or lets it run on all of them again. Returns 0, or the system's error
/// number.
int bind_thread(pthread_t thread, int processor);

}  // namespace netc
