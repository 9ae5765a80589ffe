// What CUDA's `fatbinary` packs: the PTX among binaries for devices.
#pragma once

#include <optional>
#include <string>

namespace netc::emulator {

/// The PTX of a fat binary; nothing where `image` is none. Throws Fault (no_binary_for_gpu) where it has no PTX that is
/// not compressed.
std::optional<std::string> ptx_in_fat_binary(const char* image);

}  // namespace netc::emulator
