// Decodes a kernel: registers and constants get rows, statements become instructions.
#pragma once

#include <map>
#include <string>

#include "program.h"
#include "ptx.h"

namespace netc::emulator {

/// Addresses of variables outside kernels, by name.
using Symbols = std::map<std::string, std::uint64_t>;

/// Generic addresses of shared and local memory are those of their space plus these.
constexpr std::uint64_t kSharedWindow = std::uint64_t{1} << 60;
constexpr std::uint64_t kLocalWindow = std::uint64_t{1} << 61;

/// Throws PtxError for what the emulator does not know.
Program decode(const Kernel& kernel, const Symbols& symbols);

/// What the instruction set uses to decode one statement after the other.
class Decoder {
 public:
  Decoder(const Kernel& kernel, Symbols symbols);
  Program decode();

  /// The row of a register or constant, whose width must be the type's.
  Row source(const Operand& operand, Type type);
  Row destination(const Operand& operand, Type type);
  /// The row of a register that may be wider than what is read or written.
  Row wide_register(const Operand& operand);
  /// Bytes of a register; `otherwise` for constants.
  int width(const Operand& operand, int otherwise) const;
  Row predicate(const Operand& operand);
  /// The row of the carry bits.
  Row carry();
  Row constant(std::uint64_t bits, int width);
  /// Sets the row, the offset and the width of an address.
  void address(const Operand& operand, Instruction& instruction);
  const Variable* find_parameter(const std::string& name, int* offset) const;
  bool is_register(const Operand& operand) const;
  void limit_shared_unit(int bytes);

  /// Appends an instruction for the current statement.
  Instruction& emit(Handler handler);
  [[noreturn]] void fail(std::string_view reason) const;
  const Statement& statement() const { return *statement_; }
  const Operand& operand(std::size_t index) const;

 private:
  Row new_row(int bytes);
  Row register_row(const std::string& name, Type* type);
  Row special(const std::string& name);
  std::uint64_t immediate(const Operand& operand, Type type);
  void place_variables();
  void place_parameters();
  void decode_statement(const Statement& statement);
  int target() const;

  const Kernel& kernel_;
  Symbols symbols_;
  Program program_;
  const Statement* statement_ = nullptr;
  std::map<std::string, Row> rows_;
  std::map<std::pair<std::uint64_t, int>, Row> constants_;
};

}  // namespace netc::emulator
