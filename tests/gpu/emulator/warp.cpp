// How the lanes of a warp proceed: together, apart, and together again.
#include "warp.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "fault.h"

namespace netc::emulator {
namespace {

constexpr std::size_t kCacheLine = 64;

}  // namespace

Warp::Warp(Launch& launch, std::uint32_t index)
    : launch_(launch),
      first_thread_(index * kWarpSize),
      registers_(launch.program.register_image.size() + kCacheLine / sizeof(std::uint32_t)),
      local_(static_cast<std::size_t>(launch.program.local_bytes) * kWarpSize, 0xff) {
  const std::uint64_t threads = std::min<std::uint64_t>(kWarpSize, launch.block.count() - first_thread_);
  existing_ = kAllLanes >> (kWarpSize - threads);
  padding_ = (kCacheLine - reinterpret_cast<std::uintptr_t>(registers_.data()) % kCacheLine) % kCacheLine;
  const std::vector<std::uint32_t>& image = launch.program.register_image;
  std::memcpy(registers(), image.data(), image.size() * sizeof(std::uint32_t));
}

void Warp::start_block(const Dim3& block_index) {
  live_ = existing_;
  state_ = State::ready;
  groups_.assign(1, {0, existing_, false});
  copies_.start_block();
  since_ = launch_.shared.now();
  for (const auto& [special, row] : launch_.program.specials) fill_special(special, row, block_index);
}

void Warp::fill_special(Special special, Row offset, const Dim3& index) {
  const Dim3& block = launch_.block;
  const Dim3& grid = launch_.grid;
  auto* values = row<std::uint32_t>(offset);
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const std::uint32_t t = thread(lane);
    const std::uint32_t all[] = {t % block.x,
                                 t / block.x % block.y,
                                 t / (block.x * block.y),
                                 block.x,
                                 block.y,
                                 block.z,
                                 index.x,
                                 index.y,
                                 index.z,
                                 grid.x,
                                 grid.y,
                                 grid.z,
                                 static_cast<std::uint32_t>(lane),
                                 first_thread_ / kWarpSize,
                                 0};
    values[lane] = all[static_cast<int>(special)];
  }
}

std::uint8_t* Warp::local(int lane) {
  return local_.data() + static_cast<std::size_t>(lane) * static_cast<std::size_t>(launch_.program.local_bytes);
}

Warp::State Warp::run() {
  while (state_ == State::ready) {
    merge_groups();
    if (live_ == 0) {
      state_ = State::finished;
      break;
    }
    Group* group = next_group();
    if (group == nullptr) fail_to_converge();
    const Group chosen = *group;
    *group = groups_.back();
    groups_.pop_back();
    execute(chosen);
  }
  return state_;
}

void Warp::pass_barrier() {
  if (state_ == State::at_barrier) state_ = State::ready;
  since_ = launch_.shared.now();
}

// Groups that are at the same place become one, which is ready: it may hold all that it waited for.
void Warp::merge_groups() {
  std::sort(groups_.begin(), groups_.end(), [](const Group& a, const Group& b) { return a.pc < b.pc; });
  std::size_t kept = 0;
  for (const Group& group : groups_) {
    if (group.lanes == 0) continue;
    if (kept > 0 && groups_[kept - 1].pc == group.pc) {
      groups_[kept - 1].lanes |= group.lanes;
      groups_[kept - 1].waiting = false;
    } else {
      groups_[kept++] = group;
    }
  }
  groups_.resize(kept);
}

// Of those that do not wait, the one furthest behind. If all wait, lanes that were waited for may have ended since.
Warp::Group* Warp::next_group() {
  for (Group& group : groups_) {
    if (!group.waiting) return &group;
  }
  for (Group& group : groups_) {
    const Instruction& instruction = launch_.program.instructions[static_cast<std::size_t>(group.pc)];
    const bool all = instruction.flow == Flow::barrier || instruction.rows[0] == kNoRow;
    const Mask awaited = all ? live_ : row<Mask>(instruction.rows[0])[std::countr_zero(group.lanes)];
    if ((awaited & live_ & ~group.lanes) == 0) return &group;
  }
  return nullptr;
}

void Warp::fail_to_converge() {
  const Group& group = groups_.front();
  statement_ = launch_.program.instructions[static_cast<std::size_t>(group.pc)].statement;
  faulty_lane_ = std::countr_zero(group.lanes);
  throw Fault(Result::launch_failed,
              fmt::format("lanes {:#010x} of the warp wait here for lanes {:#010x}, which never come", group.lanes,
                          live_ & ~group.lanes));
}

// Splits off the lanes that take a branch. Returns whether any group but this one exists.
bool Warp::diverge(Group& group, const Instruction& instruction, Mask taken) {
  if (taken == group.lanes) {
    group.pc = instruction.target;
  } else {
    if (taken != 0) groups_.push_back({instruction.target, taken, false});
    group.lanes &= ~taken;
    ++group.pc;
  }
  return !groups_.empty();
}

// Runs an instruction that needs several lanes at once; returns false where some are still missing.
bool Warp::converge(Group& group, const Instruction& instruction, Mask active) {
  const bool all = instruction.flow == Flow::barrier || instruction.rows[0] == kNoRow;
  const Mask awaited = all ? live_ : row<Mask>(instruction.rows[0])[std::countr_zero(active)];
  if ((awaited & live_ & ~active) != 0) {
    group.waiting = true;
    return false;
  }
  if (instruction.flow == Flow::barrier) {
    state_ = State::at_barrier;
  } else {
    instruction.run(*this, instruction, active);
  }
  ++group.pc;
  return true;
}

void Warp::execute(Group group) {
  int limit = INT_MAX;  // where the next group is
  for (const Group& other : groups_) {
    if (other.pc > group.pc) limit = std::min(limit, other.pc);
  }
  const Instruction* const code = launch_.program.instructions.data();
  group.waiting = false;
  bool runs = true;
  while (runs && group.pc < limit) {
    const Instruction& instruction = code[group.pc];
    Mask active = group.lanes;
    if (instruction.guard != kNoRow) {
      const Mask guard = predicate(instruction.guard);
      active &= instruction.guard_negated ? ~guard : guard;
    }
    statement_ = instruction.statement;
    instructions_ += std::popcount(active);
    switch (instruction.flow) {
      case Flow::next:
        if (active != 0) instruction.run(*this, instruction, active);
        ++group.pc;
        break;
      case Flow::branch:
        runs = !diverge(group, instruction, active);
        break;
      case Flow::exit:
        live_ &= ~active;
        group.lanes &= ~active;
        ++group.pc;
        runs = group.lanes != 0;
        break;
      case Flow::warp:
      case Flow::barrier:
        if (active != 0) {
          if (active != group.lanes) groups_.push_back({group.pc + 1, group.lanes & ~active, false});
          group.lanes = active;
          runs = converge(group, instruction, active) && groups_.empty() && state_ == State::ready;
        } else {
          ++group.pc;
        }
        break;
    }
  }
  groups_.push_back(group);
}

}  // namespace netc::emulator
