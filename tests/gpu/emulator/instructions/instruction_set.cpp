// Finds the entry of an instruction.
#include "instruction_set.h"

#include <map>

#include "../decoder.h"

namespace netc::emulator {
namespace {

using InstructionSet = std::map<std::string_view, InstructionEntry>;

const InstructionSet& instruction_set() {
  static const InstructionSet all = [] {
    InstructionSet set;
    for (const auto group : {arithmetic_instructions, bit_instructions, math_instructions, comparison_instructions,
                             conversion_instructions, memory_instructions, atomic_instructions,
                             asynchronous_instructions, warp_instructions, control_instructions}) {
      for (const InstructionEntry& entry : group()) set.emplace(entry.opcode, entry);
    }
    return set;
  }();
  return all;
}

bool lists(std::string_view words, std::string_view word) {
  for (std::size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const bool begins = at == 0 || words[at - 1] == ' ';
    const std::size_t end = at + word.size();
    if (begins && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

}  // namespace

void decode_instruction(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const auto found = instruction_set().find(statement.opcode);
  if (found == instruction_set().end()) decoder.fail("the emulator does not know this instruction");
  for (const std::string& modifier : statement.modifiers) {
    Type type{};
    if (!parse_type(modifier, &type) && !lists(found->second.modifiers, modifier)) {
      decoder.fail("the emulator does not know this instruction with ." + modifier);
    }
  }
  found->second.translate(decoder);
}

}  // namespace netc::emulator
