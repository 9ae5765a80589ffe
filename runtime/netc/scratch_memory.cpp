#include "netc/scratch_memory.h"

#include <algorithm>
#include <utility>

#include "netc/round_up.h"

namespace netc {

std::atomic<std::int64_t> ScratchMemory::bytes_of_all = 0;

void* ScratchMemory::Chunk::take(std::size_t bytes) {
  std::size_t begin = 0;
  auto behind = blocks.begin();
  for (; behind != blocks.end() && behind->begin < begin + bytes; ++behind) begin = behind->end;
  if (begin + bytes > size) return nullptr;
  blocks.insert(behind, {begin, begin + bytes});
  return memory.get() + begin;
}

std::size_t ScratchMemory::Chunk::give_back(const void* block) {
  const auto found =
      std::find_if(blocks.begin(), blocks.end(), [&](const Block& b) { return memory.get() + b.begin == block; });
  if (found == blocks.end()) return 0;
  const std::size_t bytes = found->end - found->begin;
  blocks.erase(found);
  return bytes;
}

void* ScratchMemory::allocate(std::size_t size) {
  if (size > SIZE_MAX / 2) return nullptr;
  const std::size_t bytes = round_up(std::max<std::size_t>(size, 1), vector_alignment);
  const std::lock_guard lock(mutex_);
  void* block = nullptr;
  for (Chunk& chunk : chunks_) {
    if (block == nullptr) block = chunk.take(bytes);
  }
  if (block == nullptr) {
    if (taken_ == 0) drop_chunks();  // too small for what is to come
    if (!add_chunk(bytes)) return nullptr;
    block = chunks_.back().take(bytes);
  }
  taken_ += bytes;
  most_ = std::max(most_, taken_);
  return block;
}

void ScratchMemory::release(void* block) {
  if (block == nullptr) return;
  const std::lock_guard lock(mutex_);
  for (Chunk& chunk : chunks_) taken_ -= chunk.give_back(block);
  if (taken_ > 0) return;
  if (chunks_.size() > 1) merge();
  most_ = 0;
}

std::int64_t ScratchMemory::bytes() {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(total());
}

bool ScratchMemory::add_chunk(std::size_t size) {
  auto memory = make_pages<std::byte>(size);
  if (memory == nullptr) return false;
  chunks_.push_back({std::move(memory), whole_pages(size), {}});
  bytes_of_all += static_cast<std::int64_t>(chunks_.back().size);
  return true;
}

void ScratchMemory::drop_chunks() {
  bytes_of_all -= static_cast<std::int64_t>(total());
  chunks_.clear();
}

std::size_t ScratchMemory::total() const {
  std::size_t sum = 0;
  for (const Chunk& chunk : chunks_) sum += chunk.size;
  return sum;
}

void ScratchMemory::merge() {
  // Where the first would have held them, had they not lain scattered, it has to be larger than their sum.
  const std::size_t size = most_ > chunks_.front().size ? most_ : total();
  drop_chunks();
  add_chunk(size);  // if the system refuses, the next block asks again
}

}  // namespace netc
