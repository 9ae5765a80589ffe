// cp.async: copies to shared memory that a thread starts, and later waits for.
#include <cstring>

#include "../fault.h"
#include "access.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

constexpr std::uint8_t kNotThere = 0xff;  // makes NaN

/// `rows[2]` is the address in shared memory, `rows[3]` how many of the bytes are read, where that is said. Until the
/// copy is waited for, its place holds NaN: so what others still read or write there is a race from now on.
void start_copy(Warp& warp, const Instruction& instruction, Mask mask) {
  const Addresses from = addresses(warp, instruction);
  const auto* to = warp.row<std::uint32_t>(instruction.rows[2]);
  for_lanes(mask, [&](int lane) {
    const std::uint32_t bytes =
        instruction.rows[3] == kNoRow ? instruction.width : warp.row<std::uint32_t>(instruction.rows[3])[lane];
    if (bytes != 0 && bytes != instruction.width) {
      warp.set_faulty_lane(lane);
      throw Fault(Result::illegal_instruction, "the emulator copies all of the bytes or zeros");
    }
    AsynchronousCopies::Copy copy{lane, locate_shared(warp, instruction, lane, to[lane]), instruction.width, {}};
    if (bytes != 0) {
      const Address address = from[static_cast<std::size_t>(lane)];
      std::memcpy(copy.values.data(), locate(warp, instruction, Space::global, lane, address), instruction.width);
    }
    std::array<std::uint8_t, 16> nothing;
    nothing.fill(kNotThere);
    warp.launch().shared.write(copy.to, nothing.data(), copy.bytes, warp.accessor(lane));
    warp.copies().add(copy);
  });
}

void commit(Warp& warp, const Instruction& /*instruction*/, Mask mask) {
  for_lanes(mask, [&](int lane) { warp.copies().commit(lane); });
}

void wait(Warp& warp, const Instruction& instruction, Mask mask) {
  for (const AsynchronousCopies::Copy& copy :
       warp.copies().finish(mask, static_cast<std::uint32_t>(instruction.immediate))) {
    warp.set_faulty_lane(copy.lane);
    warp.launch().shared.write(copy.to, copy.values.data(), copy.bytes, warp.accessor(copy.lane));
  }
}

void wait_for_all(Warp& warp, const Instruction& instruction, Mask mask) {
  commit(warp, instruction, mask);
  wait(warp, instruction, mask);
}

// cp.async.cg.shared.global [to], [from], 16, read; .commit_group; .wait_group 1; .wait_all;
void translate_async(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (statement.has("commit_group")) {
    decoder.emit(commit);
  } else if (statement.has("wait_group")) {
    decoder.emit(wait).immediate = static_cast<std::int64_t>(decoder.operand(0).bits);
  } else if (statement.has("wait_all")) {
    decoder.emit(wait_for_all);
  } else {
    Instruction& instruction = decoder.emit(start_copy);
    Instruction to;
    decoder.address(decoder.operand(0), to);
    if (!to.narrow_address || to.immediate != 0)
      decoder.fail("an address in shared memory of 64 bits, or with an offset");
    instruction.space = Space::global;
    instruction.width = static_cast<std::uint8_t>(decoder.operand(2).bits);
    decoder.address(decoder.operand(1), instruction);
    instruction.rows[2] = to.rows[1];
    if (statement.operands.size() > 3) instruction.rows[3] = decoder.source(decoder.operand(3), Type::b32);
    decoder.limit_shared_unit(instruction.width);
  }
}

}  // namespace

std::vector<InstructionEntry> asynchronous_instructions() {
  return {{"cp", translate_async, "async ca cg shared global commit_group wait_group wait_all L2::128B"}};
}

}  // namespace netc::emulator
