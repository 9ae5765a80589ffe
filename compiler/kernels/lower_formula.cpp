#include "compiler/kernels/lower_formula.h"

#include <algorithm>
#include <limits>

#include "compiler/formula/functions.h"

namespace netc {

using Halide::Expr;
using Kind = Formula::Kind;

namespace {

class Lowering {
 public:
  explicit Lowering(FormulaContext& context) : context_(context) {}

  Expr number(const Formula& formula) {
    if (formula.is_number()) return constant(formula->number);
    if (formula->kind == Kind::read) return read(formula);
    if (is_whole(formula)) return cast(context_.real(), whole(formula));
    const Function& function = *formula->function;
    if (formula.is("select")) {
      return Halide::select(truth(formula.operand(0)), number(formula.operand(1)), number(formula.operand(2)));
    }
    if (function.type != Function::Type::number) {
      return Halide::select(truth(formula), constant(1), constant(0));
    }
    return function.lower(operands(formula, [&](const Formula& operand) { return number(operand); }));
  }

 private:
  /// A derivative may hold a constant that no float holds; an infinity would be no value in Halide.
  Expr constant(double number) const {
    constexpr double most = std::numeric_limits<float>::max();
    const bool wide = context_.real().bits() == 64;
    return Halide::Internal::make_const(context_.real(), wide ? number : std::clamp(number, -most, most));
  }

  Expr whole(const Formula& formula) {
    switch (formula->kind) {
      case Kind::number:
        return static_cast<int>(formula->number);
      case Kind::index:
        return context_.index(formula->id);
      case Kind::extent:
        return context_.extent(formula->id);
      default:
        return formula->function->lower(operands(formula, [&](const Formula& operand) { return whole(operand); }));
    }
  }

  Expr truth(const Formula& formula) {
    if (formula->kind == Kind::apply && formula->function->type == Function::Type::logic) {
      return formula->function->lower(operands(formula, [&](const Formula& operand) { return truth(operand); }));
    }
    if (formula->kind != Kind::apply || formula->function->type != Function::Type::comparison) {
      return number(formula) != constant(0);
    }
    const bool compares_whole = std::all_of(formula->operands.begin(), formula->operands.end(), is_whole);
    return formula->function->lower(
        operands(formula, [&](const Formula& operand) { return compares_whole ? whole(operand) : number(operand); }));
  }

  template <class Lower>
  static std::vector<Expr> operands(const Formula& formula, Lower lower) {
    std::vector<Expr> lowered;
    for (const Formula& operand : formula->operands) lowered.push_back(lower(operand));
    return lowered;
  }

  Expr read(const Formula& formula) {
    std::vector<Expr> at;
    Expr inside = Halide::Internal::const_true();
    for (std::size_t axis = 0; axis < formula->operands.size(); ++axis) {
      const Formula& place = formula.operand(axis);
      Expr lowered = whole(place);
      if (!stays_inside(place, context_.known_extent(formula->id, static_cast<int>(axis)))) {
        const Expr end = context_.axis_extent(formula->id, static_cast<int>(axis));
        inside = inside && lowered >= 0 && lowered < end;
        lowered = clamp(lowered, 0, end - 1);
      }
      at.push_back(lowered);
    }
    const Expr element = context_.element(formula, std::move(at));
    return Halide::Internal::is_const_one(inside)
               ? element
               : Halide::select(inside, element, Halide::Internal::make_const(element.type(), 0));
  }

  /// Whether a place lies on an axis of this extent for all values of its indices.
  bool stays_inside(const Formula& place, std::int64_t extent) const {
    const auto sum = affine(place);
    if (!sum) return false;
    const bool plain = sum->offset == 0 && sum->coefficients.size() == 1 && sum->coefficients.begin()->second == 1;
    if (plain && context_.extent_of(sum->coefficients.begin()->first) == extent) return true;
    std::int64_t least = sum->offset;
    std::int64_t most = sum->offset;
    for (const auto& [id, coefficient] : sum->coefficients) {
      if (context_.extent_of(id) < 0) return false;
      (coefficient > 0 ? most : least) += coefficient * (context_.extent_of(id) - 1);
    }
    return extent >= 0 && least >= 0 && most < extent;
  }

  FormulaContext& context_;
};

}  // namespace

Expr lower(const Formula& formula, FormulaContext& context) {
  return Lowering(context).number(formula);
}

Expr neutral(Reduction reduction, Halide::Type type) {
  if (reduction == Reduction::max) return type.min();
  if (reduction == Reduction::min) return type.max();
  return Halide::Internal::make_const(type, 0);
}

Expr combine(Reduction reduction, const Expr& a, const Expr& b) {
  if (reduction == Reduction::max) return max(a, b);
  if (reduction == Reduction::min) return min(a, b);
  return a + b;
}

}  // namespace netc
