// Memory of the GPU that kernels use between their own launches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace netc::cuda {

/// Blocks begin at multiples of so many bytes.
constexpr std::int64_t scratch_line = 256;

/// Blocks that kernels of one queue take and give back. The queue's work is done in order, so a block may be taken
/// again at once. Networks lend what the plan says that their kernels need. What goes beyond that, or kernels of
/// nobody's queue take, is allocated, and not freed while the pool lives, as recorded launches use it, too. Choice:
/// this in place of Halide's cache, which frees what it finds behind 32 unused blocks: under a recording's feet, and
/// waiting for the GPU (2026-11).
class ScratchPool {
 public:
  ScratchPool() = default;
  ~ScratchPool();
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  /// Memory that blocks are taken from first, in place of what was lent before; at a multiple of scratch_line. No block
  /// may be taken.
  void lend(std::byte* memory, std::int64_t bytes);

  /// Of what was lent; else the smallest block that is free and large enough, but not twice as large; or a new one.
  /// Throws Error (device, memory).
  void* take(std::int64_t bytes);
  void give_back(void* block);
  /// Of what was lent, and of that and all other blocks.
  std::int64_t lent_bytes() const { return lent_.bytes(); }
  std::int64_t bytes() const { return lent_.bytes() + bytes_; }

 private:
  /// Blocks one behind the other, until all of them are given back: those of one kernel.
  class Lent {
   public:
    Lent() = default;
    Lent(std::byte* memory, std::int64_t bytes) : memory_(memory), bytes_(bytes) {}

    /// nullptr where no room is left.
    void* take(std::int64_t bytes);
    /// Whether it was one of these.
    bool give_back(void* block);
    std::int64_t bytes() const { return bytes_; }

   private:
    std::byte* memory_ = nullptr;
    std::int64_t bytes_ = 0;
    std::int64_t taken_bytes_ = 0;
    int taken_ = 0;
  };

  std::mutex mutex_;
  Lent lent_;
  std::multimap<std::int64_t, void*> free_;
  std::map<void*, std::int64_t> taken_;
  std::int64_t bytes_ = 0;  // of these
};

}  // namespace netc::cuda
