// Addresses and their checks.
#include "access.h"

#include <fmt/format.h>

#include <algorithm>

#include "../fault.h"

namespace netc::emulator {
namespace {

void check_alignment(Warp& warp, const Instruction& instruction, int lane, Address address) {
  if (address % instruction.width == 0) return;
  warp.set_faulty_lane(lane);
  throw Fault(Result::misaligned_address,
              fmt::format("address {:#x} is no multiple of {}, the bytes of the access", address, instruction.width));
}

[[noreturn]] void out_of_bounds(Warp& warp, int lane, const std::string& where) {
  warp.set_faulty_lane(lane);
  throw Fault(Result::illegal_address, "out of bounds: " + where);
}

std::size_t index_of(Warp& warp, const Instruction& instruction) {
  return static_cast<std::size_t>(&instruction - warp.launch().program.instructions.data());
}

}  // namespace

Addresses addresses(Warp& warp, const Instruction& instruction) {
  Addresses result;
  const auto offset = static_cast<Address>(instruction.immediate);
  if (instruction.narrow_address) {
    const auto* base = warp.row<std::uint32_t>(instruction.rows[1]);
    for (std::size_t lane = 0; lane < kWarpSize; ++lane) result[lane] = base[lane] + offset;
  } else {
    const auto* base = warp.row<std::uint64_t>(instruction.rows[1]);
    for (std::size_t lane = 0; lane < kWarpSize; ++lane) result[lane] = base[lane] + offset;
  }
  return result;
}

Space resolve(Space space, Address* address) {
  if (space != Space::generic) return space;
  if (*address >= kLocalWindow) {
    *address -= kLocalWindow;
    return Space::local;
  }
  if (*address >= kSharedWindow) {
    *address -= kSharedWindow;
    return Space::shared;
  }
  return Space::global;
}

std::uint8_t* locate(Warp& warp, const Instruction& instruction, Space space, int lane, Address address) {
  check_alignment(warp, instruction, lane, address);
  const std::size_t width = instruction.width;
  if (space == Space::local) {
    const auto size = static_cast<Address>(warp.launch().program.local_bytes);
    if (address > size || width > size - address) {
      out_of_bounds(warp, lane, fmt::format("byte {} of {} bytes of local memory", address, size));
    }
    return warp.local(lane) + address;
  }
  const DeviceMemory::Range range = warp.launch().memory.find(address);
  if (range.end == 0 || !range.holds(address, address + width)) {
    out_of_bounds(warp, lane,
                  fmt::format("{} bytes at {:#x}: {}", width, address, warp.launch().memory.describe(address)));
  }
  warp.launch().ranges[index_of(warp, instruction)] = range;
  return DeviceMemory::host(address);
}

std::uint32_t locate_shared(Warp& warp, const Instruction& instruction, int lane, Address address) {
  check_alignment(warp, instruction, lane, address);
  const std::size_t size = warp.launch().shared.size();
  if (address > size || instruction.width > size - address) {
    out_of_bounds(warp, lane, fmt::format("byte {} of {} bytes of shared memory", address, size));
  }
  warp.set_faulty_lane(lane);
  return static_cast<std::uint32_t>(address);
}

bool within_range(Warp& warp, const Instruction& instruction, Mask mask, const Addresses& lanes) {
  if (instruction.space != Space::global || mask != kAllLanes) return false;
  Address low = lanes[0];
  Address high = lanes[0];
  Address bits = 0;
  for (const Address address : lanes) {
    low = std::min(low, address);
    high = std::max(high, address);
    bits |= address;
  }
  const DeviceMemory::Range& range = warp.launch().ranges[index_of(warp, instruction)];
  return range.holds(low, high + instruction.width) && (bits & (instruction.width - 1U)) == 0;
}

void translate_access(Decoder& decoder, Instruction& instruction, const Operand& address, int width) {
  const Statement& statement = decoder.statement();
  instruction.space = statement.has("shared")                             ? Space::shared
                      : statement.has("local")                            ? Space::local
                      : statement.has("global") || statement.has("const") ? Space::global
                                                                          : Space::generic;
  instruction.width = static_cast<std::uint8_t>(width);
  decoder.address(address, instruction);
  if (instruction.space == Space::shared) decoder.limit_shared_unit(width);
  if (instruction.space == Space::generic) decoder.limit_shared_unit(1);
}

}  // namespace netc::emulator
