// From formulas to Halide expressions.
#pragma once

#include <Halide.h>

#include <vector>

#include "compiler/formula/formula.h"

namespace netc {

/// What the indices and tensors of a formula are where it is lowered.
class FormulaContext {
 public:
  virtual ~FormulaContext() = default;
  /// The type of numbers.
  virtual Halide::Type real() const = 0;
  virtual Halide::Expr index(int id) const = 0;
  /// What an index runs up to, as in Index.
  virtual std::int64_t extent_of(int id) const = 0;
  /// The extent of a symbolic dimension.
  virtual Halide::Expr extent(int symbol) const = 0;
  /// The extent of an axis of a tensor: as in Shape, and as an expression.
  virtual std::int64_t known_extent(int tensor, int axis) const = 0;
  virtual Halide::Expr axis_extent(int tensor, int axis) const = 0;
  /// The element of the tensor that `read` reads at these places, which lie inside.
  virtual Halide::Expr element(const Formula& read, std::vector<Halide::Expr> at) = 0;
};

/// The value of `formula`, in the context's type. Reads outside of a tensor give 0.
Halide::Expr lower(const Formula& formula, FormulaContext& context);

/// What a reduction begins with, and what it makes of two values.
Halide::Expr neutral(Reduction reduction, Halide::Type type);
Halide::Expr combine(Reduction reduction, const Halide::Expr& a, const Halide::Expr& b);

}  // namespace netc
