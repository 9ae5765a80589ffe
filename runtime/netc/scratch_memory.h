// Scratch memory of kernels: chunks, which they use one after the other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "netc/pages.h"

namespace netc {

/// Blocks lie in chunks, which are kept: the same kernels ask for the same blocks at every step. Where one chunk is not
/// enough another is added, and when all blocks are back one takes the place of all, so that there is soon a single one
/// with room for what is needed at once by the kernel that needs most.
/// Alternative: lists of free blocks by size, which add up what kernels of many sizes need; GoogLeNet's training step
/// kept 160 MB (2026-11).
class ScratchMemory {
 public:
  ScratchMemory() = default;
  ScratchMemory(const ScratchMemory&) = delete;
  ScratchMemory& operator=(const ScratchMemory&) = delete;
  ~ScratchMemory() { drop_chunks(); }

  /// Aligned to 128 bytes; null when the system has no more. Any thread may call.
  void* allocate(std::size_t size);
  /// Takes back a block; null does nothing. Any thread may call.
  void release(void* block);
  /// Bytes of all chunks.
  std::int64_t bytes();
  /// Bytes of all scratch memory of the process.
  static std::int64_t all_bytes() { return bytes_of_all; }

 private:
  struct Block {
    std::size_t begin;
    std::size_t end;
  };
  struct Chunk {
    std::unique_ptr<std::byte[], FreePages> memory;
    std::size_t size = 0;
    std::vector<Block> blocks;  // those that are taken, in order

    void* take(std::size_t bytes);
    /// The size of the block that began there; 0 where none did.
    std::size_t give_back(const void* block);
  };

  bool add_chunk(std::size_t size);
  void drop_chunks();
  std::size_t total() const;
  void merge();

  static std::atomic<std::int64_t> bytes_of_all;

  std::mutex mutex_;
  std::vector<Chunk> chunks_;
  std::size_t taken_ = 0;  // bytes of all blocks
  std::size_t most_ = 0;   // the most since all blocks were back
};

}  // namespace netc
