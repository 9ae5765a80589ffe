#include "netc/cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "netc/cuda_driver.h"
#include "netc/error.h"

namespace netc::cuda {

namespace {

constexpr unsigned attach_global = 1;

/// The driver gives more shared memory than the GPU has, and then moves it to and fro while kernels run.
void require_free(std::int64_t bytes, const std::string& purpose) {
  const std::int64_t free = free_bytes();
  if (bytes <= free) return;
  throw Error(ErrorKind::memory,
              fmt::format("cannot allocate {} bytes for {} on the GPU: {} are free", bytes, purpose, free));
}

}  // namespace

const std::string& problem() {
  return Driver::get().problem();
}

void* allocate(std::int64_t bytes, Memory kind, const std::string& purpose) {
  const CurrentContext current;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1));
  const bool shared = kind == Memory::shared;
  if (shared) require_free(bytes, purpose);
  Address memory = 0;
  const Status status =
      shared ? current.call().allocate_managed(&memory, size, attach_global) : current.call().allocate(&memory, size);
  if (status == out_of_memory) {
    throw Error(ErrorKind::memory, fmt::format("cannot allocate {} bytes for {} on the GPU: {}", size, purpose,
                                               Driver::get().name_of(status)));
  }
  require(status, shared ? "cuMemAllocManaged" : "cuMemAlloc");
  auto* allocated = reinterpret_cast<void*>(memory);
  return shared ? std::memset(allocated, 0, size) : allocated;
}

void release(void* memory) noexcept try {
  if (memory == nullptr) return;
  const CurrentContext current;
  current.call().release(address(memory));
} catch (const Error&) {
  // The GPU is lost, and its memory with it.
}

std::int64_t free_bytes() {
  const CurrentContext current;
  std::size_t free = 0;
  std::size_t total = 0;
  require(current.call().memory_info(&free, &total), "cuMemGetInfo");
  return static_cast<std::int64_t>(free);
}

void synchronize() {
  const CurrentContext current;
  require(current.call().synchronize(), "cuCtxSynchronize");
}

}  // namespace netc::cuda
