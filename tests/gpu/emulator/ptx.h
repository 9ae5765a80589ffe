// PTX, the text that drivers get kernels as, parsed: modules of kernels, their registers, variables and statements.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace netc::emulator {

/// A module that cannot be used: malformed, or beyond what the emulator knows. The message says which line, and why.
class PtxError : public std::runtime_error {
 public:
  PtxError(int line, const std::string& message);
};

enum class Type { predicate, b8, b16, b32, b64, u8, u16, u32, u64, s8, s16, s32, s64, f16, bf16, tf32, f32, f64 };

/// Bytes of a value in memory; those of a predicate's row of lanes (a bit each).
int size_of(Type type);
bool is_float(Type type);
bool is_signed(Type type);
/// The type named by a suffix such as "f32" ("pred" for predicates); whether there is one.
bool parse_type(std::string_view name, Type* type);

enum class Space { generic, global, shared, local, param, constant };

struct Operand {
  enum class Kind { name, integer, float32, float64, address, list, sink };
  Kind kind = Kind::sink;
  std::string name;            ///< a register, variable or label; of an address, its base ("" for an absolute one)
  std::uint64_t bits = 0;      ///< an immediate's; of an address, its offset
  std::vector<Operand> items;  ///< {a, b} and a|b
};

/// One instruction: `@!%p1 setp.lt.f32 %p2, %r1, 0f00000000;`
struct Statement {
  int line = 0;
  std::string guard;  ///< the predicate's register, or ""
  bool guard_negated = false;
  std::string opcode;                  ///< "setp"
  std::vector<std::string> modifiers;  ///< "lt", "f32"
  std::vector<Operand> operands;
  std::string text;  ///< as written, for messages

  bool has(std::string_view modifier) const;
  /// The type that the last modifier names (`from_end` = 1: the last but one). Throws where it names none.
  Type type(int from_end = 0) const;
};

/// A variable in memory, `.shared .align 4 .b8 tile[1024]`, or a kernel's parameter.
struct Variable {
  std::string name;
  Space space = Space::param;
  std::int64_t alignment = 1;
  std::int64_t bytes = 0;  ///< 0 for `extern .shared`: what the launch says
  std::vector<std::uint8_t> initial;
};

struct Kernel {
  std::string name;
  std::vector<Variable> parameters;
  std::vector<Variable> variables;
  std::map<std::string, Type> registers;  ///< by name; "%r" stands for %r0, %r1, ... declared by `%r<9>`
  std::map<std::string, int> labels;      ///< indices of statements
  std::vector<Statement> statements;

  /// The declared type of a register, whether of its own or of a numbered family; whether there is one.
  bool find_register(const std::string& name, Type* type) const;
};

struct Module {
  int version = 0;     ///< 70 for 7.0
  int capability = 0;  ///< 80 for sm_80
  std::vector<Variable> variables;
  std::vector<Kernel> kernels;
};

Module parse_ptx(std::string_view text);

}  // namespace netc::emulator
