// Halide's error handler, a caching allocator for the scratch memory of kernels, and netc's thread pool.
#include "netc/halide_hooks.h"

#include <HalideRuntime.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

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

/// Blocks are never returned to the system: the same kernels ask for the same sizes at every step.
class ScratchPool {
 public:
  void* allocate(std::size_t size) {
    const std::size_t size_class = class_of(size);
    const std::lock_guard lock(mutex_);
    std::vector<Header*>& free = free_[size_class];
    if (free.empty()) return grow(size_class);
    Header* block = free.back();
    free.pop_back();
    return block + 1;
  }

  void release(void* pointer) {
    if (pointer == nullptr) return;
    Header* block = static_cast<Header*>(pointer) - 1;
    const std::lock_guard lock(mutex_);
    free_[block->size_class].push_back(block);
  }

  std::int64_t bytes() {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  /// As wide as the alignment that Halide's vectors ask of the memory behind it.
  struct alignas(128) Header {
    std::size_t size_class;
  };

  // Four classes for each power of two, so that a block is at most a quarter larger than what was asked for.
  static constexpr std::size_t classes = 4 * 64;

  static std::size_t class_of(std::size_t size) {
    const std::size_t units = (size + sizeof(Header) - 1) / sizeof(Header);
    if (units <= 4) return units;
    const auto log2 = static_cast<std::size_t>(std::bit_width(units - 1)) - 1;
    return 4 * (log2 - 1) + ((units - 1) >> (log2 - 2)) - 3;
  }

  static std::size_t units_of(std::size_t size_class) {
    if (size_class <= 4) return size_class;
    const std::size_t log2 = (size_class - 1) / 4 + 1;
    return ((size_class - 1) % 4 + 5) << (log2 - 2);
  }

  void* grow(std::size_t size_class) {
    const std::size_t bytes = (units_of(size_class) + 1) * sizeof(Header);
    auto* block = static_cast<Header*>(std::aligned_alloc(alignof(Header), bytes));
    if (block == nullptr) return nullptr;  // Halide reports that
    block->size_class = size_class;
    bytes_ += static_cast<std::int64_t>(bytes);
    return block + 1;
  }

  std::mutex mutex_;
  std::array<std::vector<Header*>, classes> free_;
  std::int64_t bytes_ = 0;
};

// Never destroyed: Halide's threads may outlive main.
ErrorSlot& error_slot() {
  static ErrorSlot& slot = *new ErrorSlot;
  return slot;
}

ScratchPool& scratch_pool() {
  static ScratchPool& pool = *new ScratchPool;
  return pool;
}

}  // namespace

void install_hooks() {
  static const bool installed = [] {
    halide_set_error_handler([](void*, const char* message) { error_slot().put(message); });
    halide_set_custom_malloc([](void*, std::size_t size) { return scratch_pool().allocate(size); });
    halide_set_custom_do_par_for(parallel_loop);
    halide_set_custom_free([](void*, void* pointer) { scratch_pool().release(pointer); });
    return true;
  }();
  static_cast<void>(installed);
}

std::string take_error() {
  return error_slot().take();
}

std::int64_t scratch_bytes() {
  return scratch_pool().bytes();
}

}  // namespace netc::halide
