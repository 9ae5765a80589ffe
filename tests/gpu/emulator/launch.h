// Runs the blocks of a launch, one after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "warp.h"

namespace netc::emulator {

struct LaunchCounts {
  std::int64_t instructions = 0;   ///< of single threads
  std::int64_t multiply_adds = 0;  ///< of floats
  std::int64_t uninitialized_reads = 0;
};

/// `parameters` are laid out as the program says; `dynamic_shared` bytes come after its own shared memory. Throws Fault
/// with kernel, block, thread and statement in the message.
LaunchCounts run(const Program& program, const Dim3& grid, const Dim3& block, std::uint32_t dynamic_shared,
                 std::vector<std::uint8_t> parameters, DeviceMemory& memory);

}  // namespace netc::emulator
