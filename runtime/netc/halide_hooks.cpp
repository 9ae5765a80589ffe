// Halide's error handler, its allocator, and netc's thread pool.
#include "netc/halide_hooks.h"

#include <HalideRuntime.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

#include "netc/scratch_memory.h"
#include "netc/thread_pool.h"

namespace netc::halide {

namespace {

/// Keeps the first message: the handler may be called by many threads at once and must not throw through Halide's
/// frames.
class ErrorSlot {
 public:
  void put(const char* message) {
    const std::lock_guard lock(mutex_);
    if (message_.empty()) message_ = message;
  }

  std::string take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(message_, {});
  }

 private:
  std::mutex mutex_;
  std::string message_;
};

// Never destroyed: Halide's threads may outlive main.
ErrorSlot& error_slot() {
  static ErrorSlot& slot = *new ErrorSlot;
  return slot;
}

/// What iterations of loops take lies in memory of their thread, so that it stays in its core's cache; what a kernel
/// takes before its loops is shared by the threads that run kernels. Alternative: one memory for all, where threads get
/// each other's blocks. A training step of 8 convolutions of 32 channels, two threads: 33.4 -> 32.4 ms, and 54 -> 37
/// where the cores are on two chiplets; LeNet's 2.75 -> 2.65 (2026-11).
ScratchMemory& scratch_memory() {
  static ScratchMemory& shared = *new ScratchMemory;
  thread_local ScratchMemory own;
  return in_loop() ? own : shared;
}

/// Null where the system has no more.
void* find_block(std::size_t bytes) {
  try {
    return scratch_memory().allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;  // no room for the list of blocks
  }
}

/// Nothing may be thrown through Halide's frames, and other threads are within kernels: nobody is told, nothing is
/// destroyed, and the line takes no memory of its own.
[[noreturn]] void end_out_of_memory(std::size_t bytes) {
  static std::mutex saying;
  const std::lock_guard lock(saying);  // of several threads that get none, the first one says so
  std::fprintf(stderr,
               "out of memory: a kernel needs %zu bytes of scratch memory; use a smaller batch or fewer threads, or "
               "raise the limit of this process's memory\n",
               bytes);
  std::fflush(stderr);
  std::_Exit(1);
}

/// Kernels for the CPU are compiled without Halide's assertions and write wherever the block is, also where it is null.
/// Those for GPUs would see it, but ask in the same way and cannot be told apart.
void* take_block(void* /*user_context*/, std::size_t bytes) {
  void* block = find_block(bytes);
  if (block == nullptr) end_out_of_memory(bytes);
  return block;
}

}  // namespace

void install_hooks() {
  static const bool installed = [] {
    halide_set_error_handler([](void*, const char* message) { error_slot().put(message); });
    halide_set_custom_malloc(take_block);
    halide_set_custom_do_par_for(parallel_loop);
    halide_set_custom_free([](void*, void* pointer) { scratch_memory().release(pointer); });
    return true;
  }();
  static_cast<void>(installed);
}

std::string take_error() {
  return error_slot().take();
}

std::int64_t scratch_bytes() {
  return ScratchMemory::all_bytes();
}

}  // namespace netc::halide
