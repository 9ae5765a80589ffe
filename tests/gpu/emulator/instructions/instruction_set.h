// The instructions that the emulator knows, in groups.
#pragma once

#include <string_view>
#include <vector>

namespace netc::emulator {

class Decoder;

/// An instruction: `translate` decodes statements with this opcode whose modifiers are types or among `modifiers`,
/// separated by spaces.
struct InstructionEntry {
  std::string_view opcode;
  void (*translate)(Decoder&);
  std::string_view modifiers = "";
};

std::vector<InstructionEntry> arithmetic_instructions();
std::vector<InstructionEntry> bit_instructions();
std::vector<InstructionEntry> math_instructions();
std::vector<InstructionEntry> comparison_instructions();
std::vector<InstructionEntry> conversion_instructions();
std::vector<InstructionEntry> memory_instructions();
std::vector<InstructionEntry> atomic_instructions();
std::vector<InstructionEntry> asynchronous_instructions();
std::vector<InstructionEntry> warp_instructions();
std::vector<InstructionEntry> control_instructions();

/// Decodes the decoder's current statement to one instruction.
void decode_instruction(Decoder& decoder);

}  // namespace netc::emulator
