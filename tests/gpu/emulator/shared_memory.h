// The memory that the threads of a block share, with a record of who touched what, to find races.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace netc::emulator {

/// Who accesses, and since when accesses of others do not count any more.
struct Accessor {
  std::uint32_t thread;      ///< in the block
  std::uint32_t warp_since;  ///< time of the warp's last synchronization
};

/// Two accesses to the same bytes race unless both read, both write the same value, both are atomic, one thread makes
/// both, or a barrier lies between. Bytes count in units of the narrowest access that the kernel makes.
class SharedMemory {
 public:
  static constexpr std::uint32_t kAtomic = std::numeric_limits<std::uint32_t>::max() - 1;

  /// For blocks of one kernel: `unit` is 1, 2, 4, 8 or 16 bytes.
  SharedMemory(std::size_t bytes, int unit);

  void start_block();
  /// All threads of the block have arrived.
  void synchronize() { block_since_ = ++now_; }
  /// Some threads of a warp have: what their warp's accessors remember from now on.
  std::uint32_t synchronize_warp() { return ++now_; }
  std::uint32_t now() const { return now_; }

  std::size_t size() const { return bytes_.size(); }

  /// Checked against races, not against bounds. Reading what was never written counts, and gives NaN.
  const std::uint8_t* read(std::uint32_t address, int bytes, const Accessor& reader);
  void write(std::uint32_t address, const std::uint8_t* value, int bytes, const Accessor& writer);
  /// For a read and a write that cannot be separated.
  std::uint8_t* update(std::uint32_t address, int bytes);

  std::int64_t uninitialized_reads() const { return uninitialized_reads_; }

 private:
  struct Cell {
    std::uint32_t write_time = 0;
    std::uint32_t writer = 0;
    std::uint32_t read_time = 0;
    std::uint32_t reader = 0;
  };

  bool conflicts(std::uint32_t time, std::uint32_t thread, const Accessor& accessor) const;
  void record_read(Cell& cell, std::uint32_t address, const Accessor& reader);

  std::vector<std::uint8_t> bytes_;
  std::vector<Cell> cells_;
  int unit_shift_;
  std::uint32_t now_ = 1;
  std::uint32_t block_since_ = 1;
  std::uint32_t start_ = 1;
  std::int64_t uninitialized_reads_ = 0;
};

}  // namespace netc::emulator
