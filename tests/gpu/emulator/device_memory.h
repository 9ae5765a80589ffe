// The device's global memory: allocations with exact bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace netc::emulator {

/// A device's address. The host cannot use it as a pointer, nor a kernel a host's pointer: they differ by a constant,
/// except in managed memory, where they are the same.
using Address = std::uint64_t;

enum class Visible { to_the_device, to_both };

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t total) : total_(total) {}

  /// Memory that holds NaN until it is written; 0 where less than `bytes` are free.
  Address allocate(std::size_t bytes, Visible visible = Visible::to_the_device);
  /// Whether an allocation began there.
  bool free(Address address);

  struct Range {
    Address begin = 0;
    Address end = 0;
    bool holds(Address first, Address last) const { return first >= begin && last <= end; }
  };
  /// The allocation around `address`; an empty range where there is none.
  Range find(Address address) const;
  /// Where `bytes` from `address` on lie on the host; nullptr unless one allocation holds them.
  std::uint8_t* host(Address address, std::size_t bytes) const;
  static std::uint8_t* host(Address address);
  /// The allocation nearest to `address`, in words.
  std::string describe(Address address) const;

  std::size_t total() const { return total_; }
  std::size_t live() const { return live_; }
  std::size_t peak() const { return peak_; }

 private:
  struct Free {
    void operator()(std::uint8_t* block) const;
  };
  struct Allocation {
    std::size_t bytes;
    std::unique_ptr<std::uint8_t[], Free> block;
  };

  std::size_t total_;
  std::size_t live_ = 0;
  std::size_t peak_ = 0;
  std::map<Address, Allocation> allocations_;
};

}  // namespace netc::emulator
