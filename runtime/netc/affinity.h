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

/// Moves a new thread, the caller's `number`-th, to one of the processors that the caller does not run on; later it may
/// run on all. Choice: the system may start a thread where its maker runs, and lets one of them wait for 4 ms before it
/// moves either, a fifth of the time from ResNet-18's start to its first result. Alternative: to leave it there
/// (2026-11).
void start_elsewhere(pthread_t thread, int number);

}  // namespace netc
