#include "netc/cuda_scratch.h"

#include <HalideRuntimeCuda.h>

#include <functional>

#include "netc/cuda.h"
#include "netc/cuda_queue.h"
#include "netc/error.h"
#include "netc/round_up.h"

namespace netc::cuda {

ScratchPool::~ScratchPool() {
  for (const auto& [size, block] : free_) release(block);
  for (const auto& [block, size] : taken_) release(block);
}

void ScratchPool::lend(std::byte* memory, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  lent_ = {memory, bytes};
}

void* ScratchPool::Lent::take(std::int64_t bytes) {
  const std::int64_t lines = round_up(bytes, scratch_line);
  if (lines > bytes_ - taken_bytes_) return nullptr;
  void* block = memory_ + taken_bytes_;
  taken_bytes_ += lines;
  ++taken_;
  return block;
}

bool ScratchPool::Lent::give_back(void* block) {
  const std::less<> before;
  if (memory_ == nullptr || before(block, memory_) || !before(block, memory_ + bytes_)) return false;
  if (--taken_ == 0) taken_bytes_ = 0;
  return true;
}

void* ScratchPool::take(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (void* block = lent_.take(bytes); block != nullptr) return block;
  auto found = free_.lower_bound(bytes);
  if (found == free_.end() || found->first >= 2 * bytes) {
    found = free_.emplace(bytes, allocate(bytes, Memory::device, "a kernel's scratch"));
    bytes_ += bytes;
  }
  void* block = found->second;
  taken_.emplace(block, found->first);
  free_.erase(found);
  return block;
}

void ScratchPool::give_back(void* block) {
  const std::lock_guard lock(mutex_);
  if (lent_.give_back(block)) return;
  const auto found = taken_.find(block);
  if (found == taken_.end()) return;
  free_.emplace(found->second, block);
  taken_.erase(found);
}

}  // namespace netc::cuda

// In place of those of Halide's runtime, which are weak.

extern "C" int halide_cuda_device_malloc(void* user_context, halide_buffer_t* buffer) try {
  if (buffer->device != 0) return 0;
  void* block = netc::cuda::current_scratch().take(static_cast<std::int64_t>(buffer->size_in_bytes()));
  buffer->device = reinterpret_cast<std::uint64_t>(block);
  buffer->device_interface = halide_cuda_device_interface();
  return halide_error_code_success;
} catch (const netc::Error& error) {
  halide_error(user_context, error.what());
  return halide_error_code_device_malloc_failed;
}

extern "C" int halide_cuda_device_free(void* /*user_context*/, halide_buffer_t* buffer) {
  netc::cuda::current_scratch().give_back(reinterpret_cast<void*>(buffer->device));
  buffer->device = 0;
  buffer->device_interface = nullptr;
  return halide_error_code_success;
}
