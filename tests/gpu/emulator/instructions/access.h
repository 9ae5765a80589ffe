// Where the lanes of an instruction access memory.
#pragma once

#include <array>
#include <cstdint>

#include "../decoder.h"
#include "../warp.h"

namespace netc::emulator {

using Addresses = std::array<Address, kWarpSize>;

/// The addresses of all lanes; those of inactive lanes mean nothing.
Addresses addresses(Warp& warp, const Instruction& instruction);

/// The space of a generic address, and the address within it.
Space resolve(Space space, Address* address);

/// Where a lane's `width` bytes lie, in global or local memory. Throws Fault where they lie nowhere or are not aligned.
std::uint8_t* locate(Warp& warp, const Instruction& instruction, Space space, int lane, Address address);
/// Checks bounds and alignment in shared memory.
std::uint32_t locate_shared(Warp& warp, const Instruction& instruction, int lane, Address address);

/// Whether all active lanes lie, aligned, in the allocation that the instruction accessed last.
bool within_range(Warp& warp, const Instruction& instruction, Mask mask, const Addresses& lanes);

/// Sets the space and the address of a load, a store or an atomic operation.
void translate_access(Decoder& decoder, Instruction& instruction, const Operand& address, int width);

}  // namespace netc::emulator
