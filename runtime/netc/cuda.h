// The CUDA driver, as far as the runtime needs it. It is looked for when it is first asked for, and never linked.
#pragma once

#include <cstdint>
#include <string>

namespace netc::cuda {

/// Why there is no GPU that kernels could run on; "" where there is one.
const std::string& problem();

/// Memory of the GPU alone, or memory that the GPU and the CPU see at the same addresses: the driver moves its pages to
/// whichever touches them.
enum class Memory : std::uint8_t { device, shared };

// All of these use the first GPU and throw Error (device) with what `problem` says where there is none, or with the
// name that the driver has for what went wrong; Error (memory) where memory is short. A lost GPU is such an error, too.

/// Aligned for every type, shared memory all zero; `purpose` is for the message.
void* allocate(std::int64_t bytes, Memory kind, const std::string& purpose);
/// Says nothing where the GPU is lost.
void release(void* memory) noexcept;
/// Bytes that could be allocated.
std::int64_t free_bytes();

/// Waits for all kernels; after that the CPU may touch shared memory.
void synchronize();

}  // namespace netc::cuda
