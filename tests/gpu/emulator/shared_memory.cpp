// Shared memory and its races.
#include "shared_memory.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <string_view>

#include "fault.h"
#include "warp_size.h"

namespace netc::emulator {
namespace {

constexpr std::uint32_t kSeveral = std::numeric_limits<std::uint32_t>::max();

std::string name_of(std::uint32_t thread) {
  if (thread == kSeveral) return "several threads";
  if (thread == SharedMemory::kAtomic) return "an atomic operation";
  return fmt::format("thread {}", thread);
}

[[noreturn]] void race(std::uint32_t address, std::string_view action, std::string_view other_action,
                       std::uint32_t thread, std::uint32_t other) {
  throw Fault(Result::launch_failed,
              fmt::format("race in shared memory: {} {} byte {}, which {} {} with no barrier between", name_of(thread),
                          action, address, name_of(other), other_action));
}

}  // namespace

SharedMemory::SharedMemory(std::size_t bytes, int unit)
    : bytes_(bytes),
      cells_(bytes / static_cast<std::size_t>(unit) + 1),
      unit_shift_(std::countr_zero(static_cast<unsigned>(unit))) {}

void SharedMemory::start_block() {
  std::memset(bytes_.data(), 0xff, bytes_.size());
  start_ = block_since_ = ++now_;
}

bool SharedMemory::conflicts(std::uint32_t time, std::uint32_t thread, const Accessor& accessor) const {
  if (time < block_since_ || thread == accessor.thread) return false;
  const bool same_warp = thread < kAtomic && thread / kWarpSize == accessor.thread / kWarpSize;
  return !same_warp || time >= accessor.warp_since;
}

void SharedMemory::record_read(Cell& cell, std::uint32_t address, const Accessor& reader) {
  if (conflicts(cell.write_time, cell.writer, reader)) race(address, "reads", "wrote", reader.thread, cell.writer);
  if (cell.write_time < start_) ++uninitialized_reads_;
  const bool joins = conflicts(cell.read_time, cell.reader, reader);
  cell.reader = joins ? kSeveral : reader.thread;
  cell.read_time = now_;
}

const std::uint8_t* SharedMemory::read(std::uint32_t address, int bytes, const Accessor& reader) {
  const std::uint32_t last = (address + static_cast<std::uint32_t>(bytes) - 1) >> unit_shift_;
  for (std::uint32_t unit = address >> unit_shift_; unit <= last; ++unit) record_read(cells_[unit], address, reader);
  return &bytes_[address];
}

void SharedMemory::write(std::uint32_t address, const std::uint8_t* value, int bytes, const Accessor& writer) {
  const bool changes = std::memcmp(&bytes_[address], value, static_cast<std::size_t>(bytes)) != 0;
  const std::uint32_t last = (address + static_cast<std::uint32_t>(bytes) - 1) >> unit_shift_;
  for (std::uint32_t unit = address >> unit_shift_; unit <= last; ++unit) {
    Cell& cell = cells_[unit];
    if (changes && conflicts(cell.write_time, cell.writer, writer)) {
      race(address, "writes", "wrote", writer.thread, cell.writer);
    }
    if (conflicts(cell.read_time, cell.reader, writer)) race(address, "writes", "read", writer.thread, cell.reader);
    cell.writer = writer.thread;
    cell.write_time = now_;
  }
  std::memcpy(&bytes_[address], value, static_cast<std::size_t>(bytes));
}

std::uint8_t* SharedMemory::update(std::uint32_t address, int bytes) {
  const Accessor atomic{kAtomic, now_};
  const std::uint32_t last = (address + static_cast<std::uint32_t>(bytes) - 1) >> unit_shift_;
  for (std::uint32_t unit = address >> unit_shift_; unit <= last; ++unit) {
    Cell& cell = cells_[unit];
    record_read(cell, address, atomic);
    if (conflicts(cell.read_time, cell.reader, atomic)) race(address, "updates", "read", kAtomic, cell.reader);
    cell.writer = kAtomic;
    cell.write_time = now_;
  }
  return &bytes_[address];
}

}  // namespace netc::emulator
