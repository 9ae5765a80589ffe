// Copies from global to shared memory that go on while a warp does: cp.async.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "warp_size.h"

namespace netc::emulator {

/// A lane's copies are done when it waits for them and no sooner: what is read before then is not there.
class AsynchronousCopies {
 public:
  struct Copy {
    int lane;
    std::uint32_t to;  ///< in shared memory
    std::uint8_t bytes;
    std::array<std::uint8_t, 16> values;
    std::uint32_t group = 0;
  };

  void start_block();
  void add(Copy copy);
  /// Ends the lane's group: what it copies from now on belongs to the next one.
  void commit(int lane) { ++groups_[static_cast<std::size_t>(lane)]; }
  /// Takes out the copies of these lanes, of all groups that ended but so many of the last ones.
  std::vector<Copy> finish(Mask lanes, std::uint32_t pending_groups);

 private:
  std::array<std::uint32_t, kWarpSize> groups_{};  ///< that each lane ended
  std::vector<Copy> copies_;                       ///< in their order
};

}  // namespace netc::emulator
