// The device's global memory.
#include "device_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace netc::emulator {
namespace {

constexpr Address kBias = Address{1} << 52;  // no host has pointers that large
constexpr std::size_t kAlignment = 256;      // as drivers allocate

}  // namespace

void DeviceMemory::Free::operator()(std::uint8_t* block) const {
  std::free(block);
}

Address DeviceMemory::allocate(std::size_t bytes, Visible visible) {
  if (bytes > total_ - live_) return 0;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::unique_ptr<std::uint8_t[], Free> block(static_cast<std::uint8_t*>(std::aligned_alloc(kAlignment, rounded)));
  if (block == nullptr) return 0;
  std::memset(block.get(), 0xff, rounded);
  live_ += bytes;
  peak_ = std::max(peak_, live_);
  const Address address = reinterpret_cast<Address>(block.get()) + (visible == Visible::to_both ? 0 : kBias);
  allocations_[address] = {bytes, std::move(block)};
  return address;
}

bool DeviceMemory::free(Address address) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end()) return false;
  live_ -= found->second.bytes;
  allocations_.erase(found);
  return true;
}

DeviceMemory::Range DeviceMemory::find(Address address) const {
  const auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return {};
  const auto& [begin, allocation] = *std::prev(after);
  const Range range{begin, begin + allocation.bytes};
  return address < range.end ? range : Range{};
}

std::uint8_t* DeviceMemory::host(Address address) {
  return reinterpret_cast<std::uint8_t*>(address < kBias ? address : address - kBias);
}

std::uint8_t* DeviceMemory::host(Address address, std::size_t bytes) const {
  const Range range = find(address);
  return range.end != 0 && range.holds(address, address + bytes) ? host(address) : nullptr;
}

std::string DeviceMemory::describe(Address address) const {
  if (address < kBias) return "a pointer of the host, or none";
  const auto after = allocations_.upper_bound(address);
  if (after != allocations_.begin()) {
    const auto& [begin, allocation] = *std::prev(after);
    const Address end = begin + allocation.bytes;
    if (address < end) return fmt::format("byte {} of an allocation of {} bytes", address - begin, allocation.bytes);
    if (after == allocations_.end() || address - end <= after->first - address) {
      return fmt::format("{} bytes after the end of an allocation of {} bytes", address - end, allocation.bytes);
    }
  }
  if (after == allocations_.end()) return "no allocation is alive";
  return fmt::format("{} bytes before an allocation of {} bytes", after->first - address, after->second.bytes);
}

}  // namespace netc::emulator
