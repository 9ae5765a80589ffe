// Threads of a warp, which run in step.
#pragma once

#include <cstdint>

namespace netc::emulator {

constexpr int kWarpSize = 32;

/// A bit for each lane of a warp.
using Mask = std::uint32_t;
constexpr Mask kAllLanes = ~Mask{0};

}  // namespace netc::emulator
