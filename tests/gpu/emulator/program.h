// Kernels decoded for execution: instructions refer to rows of a register file, with a value for each lane of a warp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ptx.h"
#include "warp_size.h"

namespace netc::emulator {

class Warp;
struct Instruction;

/// Executes an instruction for the lanes of the mask.
using Handler = void (*)(Warp&, const Instruction&, Mask);

/// A row: bytes from the start of a warp's register file to the value of lane 0; lanes follow each other. The row of a
/// predicate is one `Mask`.
using Row = std::uint32_t;
constexpr Row kNoRow = ~Row{0};

enum class Flow : std::uint8_t {
  next,
  branch,  ///< to `target`
  exit,
  warp,    ///< waits for the lanes in `rows[0]`, a mask; for all of the warp where there is no row
  barrier  ///< waits for all threads of the block
};

struct Instruction {
  Handler run = nullptr;
  Flow flow = Flow::next;
  Space space = Space::generic;
  bool guard_negated = false;
  std::uint8_t width = 0;       ///< bytes of a lane's access to memory, of all its registers together
  bool narrow_address = false;  ///< of 32 bits
  Row guard = kNoRow;
  std::array<Row, 4> rows{kNoRow, kNoRow, kNoRow, kNoRow};  ///< the result, then operands
  std::vector<Row> list;                                    ///< registers of vectors and matrices
  std::int64_t immediate = 0;                               ///< the offset of an address; what the handler says
  int target = 0;
  const Statement* statement = nullptr;
};

enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  clock
};

struct Program {
  std::string name;
  std::vector<Statement> statements;  ///< what the instructions were decoded from
  std::vector<Instruction> instructions;
  std::vector<std::uint32_t> register_image;  ///< a register file with the constants in their rows
  std::vector<std::pair<Special, Row>> specials;
  std::vector<int> parameter_offsets;
  std::vector<int> parameter_bytes;
  int parameters_size = 0;
  int local_bytes = 0;   ///< of a thread
  int shared_bytes = 0;  ///< of a block, without what the launch adds
  int shared_unit = 16;  ///< bytes of the narrowest access to shared memory
};

}  // namespace netc::emulator
