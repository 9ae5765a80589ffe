// The threads that compute: a program has one pool of them, which all models and their callers share.
#pragma once

#include <cstdint>

namespace netc {

constexpr int max_threads = 1024;

/// Threads that compute: the one that calls, and helpers. 0 asks for one a processor, with which programs begin. May be
/// called at any time; loops that are running take notice at their next iteration. Results do not depend on it. Where
/// more than `processors()` are asked for, they take turns. Throws Error: usage for a number below 0, above max_threads
/// or, while threads are pinned, above `processors()`; device where the system starts no more threads.
void set_threads(int threads);
int threads();

/// Keeps the calling thread on the first processor that this process may use and each helper on one of the others, or
/// lets all of them go again. Threads that the caller starts later inherit its processor. Throws Error: usage where
/// there are more threads than processors, device where the system refuses; nothing is pinned then.
void pin_threads(bool pinned);

/// Calls task(context, i, closure) for i from `min` to `min + size - 1`, several at once, and returns when all calls
/// have: 0, or what one that failed returned; those that had not begun by then are left out. Loops may be nested and
/// may be called from any number of threads. A task must not throw and must not go on in a forked process.
int parallel_loop(void* context, int (*task)(void* context, int index, std::uint8_t* closure), int min, int size,
                  std::uint8_t* closure);

/// Whether the calling thread is within a loop, its caller or a helper.
bool in_loop();

}  // namespace netc
