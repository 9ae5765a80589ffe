// A warp: 32 threads whose registers lie beside each other, so that an instruction runs for all of them at once.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "asynchronous_copies.h"
#include "device_memory.h"
#include "program.h"
#include "shared_memory.h"
#include "warp_size.h"

namespace netc::emulator {

struct Dim3 {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

/// What the threads of a launch have in common.
struct Launch {
  const Program& program;
  Dim3 grid;
  Dim3 block;
  std::vector<std::uint8_t> parameters;
  DeviceMemory& memory;
  SharedMemory& shared;
  std::vector<DeviceMemory::Range> ranges;  ///< the allocation that each instruction accessed last
};

/// Lanes that branches led to different places run one group after the other, the one furthest behind first, so that
/// they meet again where the paths join.
class Warp {
 public:
  enum class State { ready, at_barrier, finished };

  Warp(Launch& launch, std::uint32_t index);

  void start_block(const Dim3& block_index);
  /// Runs up to the next barrier of the block or to the end.
  State run();
  void pass_barrier();

  template <class T>
  T* row(Row offset) {
    return reinterpret_cast<T*>(registers() + offset);
  }
  Mask& predicate(Row offset) { return *row<Mask>(offset); }

  Launch& launch() { return launch_; }
  std::uint32_t thread(int lane) const { return first_thread_ + static_cast<std::uint32_t>(lane); }
  Mask live() const { return live_; }
  Accessor accessor(int lane) const { return {thread(lane), since_}; }
  std::uint8_t* local(int lane);
  AsynchronousCopies& copies() { return copies_; }
  void synchronize() { since_ = launch_.shared.synchronize_warp(); }
  void count_multiply_adds(std::int64_t count) { multiply_adds_ += count; }

  std::int64_t instructions() const { return instructions_; }
  std::int64_t multiply_adds() const { return multiply_adds_; }
  /// Where a fault arose: the statement that runs, a lane of those that run it.
  const Statement* statement() const { return statement_; }
  void set_faulty_lane(int lane) { faulty_lane_ = lane; }
  std::uint32_t faulty_thread() const { return thread(faulty_lane_); }

 private:
  struct Group {
    int pc;
    Mask lanes;
    bool waiting;
  };

  std::uint8_t* registers() { return reinterpret_cast<std::uint8_t*>(registers_.data()) + padding_; }
  Group* next_group();
  void merge_groups();
  void execute(Group group);
  bool diverge(Group& group, const Instruction& instruction, Mask taken);
  bool converge(Group& group, const Instruction& instruction, Mask active);
  void fill_special(Special special, Row offset, const Dim3& index);
  [[noreturn]] void fail_to_converge();

  Launch& launch_;
  std::uint32_t first_thread_;
  Mask existing_;
  Mask live_ = 0;
  State state_ = State::ready;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> registers_;
  std::size_t padding_ = 0;
  std::vector<std::uint8_t> local_;
  AsynchronousCopies copies_;
  std::uint32_t since_ = 0;
  std::int64_t instructions_ = 0;
  std::int64_t multiply_adds_ = 0;
  const Statement* statement_ = nullptr;
  int faulty_lane_ = 0;
};

/// Calls `act(lane)` for the lanes of the mask, which may come in any order.
template <class Act>
inline void for_lanes(Mask mask, const Act& act) {
  if (mask == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kWarpSize; ++lane) act(lane);
  } else {
    for (; mask != 0; mask &= mask - 1) act(std::countr_zero(mask));
  }
}

}  // namespace netc::emulator
