// Branches, ends, barriers and fences.
#include "../decoder.h"
#include "../fault.h"
#include "../warp.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

void nothing(Warp& /*warp*/, const Instruction& /*instruction*/, Mask /*mask*/) {}

void trap(Warp& warp, const Instruction& /*instruction*/, Mask mask) {
  warp.set_faulty_lane(std::countr_zero(mask));
  throw Fault(Result::illegal_instruction, "the kernel stopped itself");
}

void synchronize_warp(Warp& warp, const Instruction& /*instruction*/, Mask /*mask*/) {
  warp.synchronize();
}

template <Flow flow>
void translate_flow(Decoder& decoder) {
  decoder.emit(nothing).flow = flow;
}

// All threads of the block, at barrier 0: bar.sync 0; bar.warp.sync MASK: lanes of the warp.
void translate_barrier(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (statement.has("warp")) {
    Instruction& instruction = decoder.emit(synchronize_warp);
    instruction.flow = Flow::warp;
    instruction.rows[0] = decoder.source(decoder.operand(0), Type::b32);
    return;
  }
  const bool first = decoder.operand(0).kind == Operand::Kind::integer && decoder.operand(0).bits == 0;
  if (!first || statement.operands.size() != 1) decoder.fail("only barrier 0, for all threads of the block");
  decoder.emit(nothing).flow = Flow::barrier;
}

void translate_nothing(Decoder& decoder) {
  decoder.emit(nothing);
}

void translate_trap(Decoder& decoder) {
  decoder.emit(trap);
}

}  // namespace

std::vector<InstructionEntry> control_instructions() {
  return {{"bra", translate_flow<Flow::branch>, "uni"},
          {"ret", translate_flow<Flow::exit>, "uni"},
          {"exit", translate_flow<Flow::exit>},
          {"bar", translate_barrier, "sync warp cta aligned"},
          {"barrier", translate_barrier, "sync cta aligned"},
          {"membar", translate_nothing, "cta gl sys"},
          {"fence", translate_nothing, "sc acq_rel cta gpu sys"},
          {"trap", translate_trap}};
}

}  // namespace netc::emulator
