// The functions of elements, `exp` and `+` among them: each with its value, derivative and lowering in one place.
#pragma once

#include <string_view>
#include <vector>

#include "compiler/formula/formula.h"

namespace Halide {
class Expr;
}  // namespace Halide

namespace netc {

struct Function {
  /// What operands are and what comes of them: numbers; a truth from numbers; a truth from truths.
  enum class Type : std::uint8_t { number, comparison, logic };

  std::string_view name{};
  int operands = 1;
  Type type = Type::number;
  std::string_view infix{};                    // how it is written between its operands; "": as a call
  int precedence = 0;                          // of an infix one; the higher, the tighter
  double (*value)(const double* x) = nullptr;  // to fold constants
  /// The derivative with respect to each operand; of a comparison, zeros. Missing: it has none.
  std::vector<Formula> (*partials)(const std::vector<Formula>& x) = nullptr;
  /// Its value in Halide, in the type of the operands.
  Halide::Expr (*lower)(const std::vector<Halide::Expr>& x) = nullptr;
  bool in_language = true;  // may be named in a `.net` file
};

const std::vector<Function>& functions();

/// nullptr when there is none.
const Function* find_function(std::string_view name);

}  // namespace netc
