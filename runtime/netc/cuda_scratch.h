// Memory of the GPU that kernels use between their own launches.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

namespace netc::cuda {

/// Blocks that kernels of one queue take and give back. The queue's work is done in order, so a block may be taken
/// again at once; none is freed while the pool lives, as recorded launches use them, too. Choice: this in place of
/// Halide's cache, which frees what it finds behind 32 unused blocks: under a recording's feet, and waiting for the GPU
/// (2026-11).
class ScratchPool {
 public:
  ScratchPool() = default;
  ~ScratchPool();
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  /// The smallest block that is free and large enough, but not twice as large; or a new one. Throws Error (device,
  /// memory).
  void* take(std::int64_t bytes);
  void give_back(void* block);
  /// Of all blocks.
  std::int64_t bytes() const { return bytes_; }

 private:
  std::mutex mutex_;
  std::multimap<std::int64_t, void*> free_;
  std::map<void*, std::int64_t> taken_;
  std::int64_t bytes_ = 0;
};

}  // namespace netc::cuda
