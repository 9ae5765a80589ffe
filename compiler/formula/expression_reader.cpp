#include "compiler/formula/expression_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace netc {

namespace {

constexpr double most = std::numeric_limits<float>::max();

/// factor * u + offset, with u for what holds no number: compilers make one of the numbers that follow one another.
struct Linear {
  double factor = 1;
  double offset = 0;
};

Linear linear(const Formula& formula) {
  if (formula.is_number()) return {0, formula->number};
  if (formula.is("negate")) {
    const Linear u = linear(formula.operand(0));
    return {-u.factor, -u.offset};
  }
  if (formula->operands.size() != 2 || (!formula.operand(0).is_number() && !formula.operand(1).is_number())) return {};
  const Linear a = linear(formula.operand(0));
  const Linear b = linear(formula.operand(1));
  if (formula.is("+")) return {a.factor + b.factor, a.offset + b.offset};
  if (formula.is("-")) return {a.factor - b.factor, a.offset - b.offset};
  if (formula.is("*")) return {a.factor * b.offset + b.factor * a.offset, a.offset * b.offset};
  if (formula.is("/") && b.factor == 0) return {a.factor / b.offset, a.offset / b.offset};
  return {};
}

bool stop(const Span& span, const std::string& message, ReadingProgress& progress, Reporter& reporter) {
  progress.stopped = true;
  reporter.error("N121", span, message, "compute parts of it by equations of their own, or write sum[i](…) for a sum");
  return false;
}

}  // namespace

bool fits_float(double number, const Span& span, Reporter& reporter) {
  if (std::abs(number) <= most) return true;
  reporter.error("N115", span, fmt::format("the value {} does not fit a float", number),
                 fmt::format("a float reaches {:.7g}", most));
  return false;
}

bool has_value(std::string_view function, const std::vector<Formula>& operands, const Formula& result, const Span& span,
               Reporter& reporter) {
  const bool divides = function == "/" && operands[1].is_number();
  if (divides && static_cast<float>(operands[1]->number) == 0) {
    reporter.error("N112", span,
                   operands[1].is_number(0) ? "division by zero"
                                            : fmt::format("division by {}, a float of 0", operands[1]->number));
    return false;
  }
  if (result.is_number()) return fits_float(result->number, span, reporter);
  if (std::all_of(operands.begin(), operands.end(), [](const Formula& operand) { return operand.is_number(); })) {
    reporter.error("N115", span, fmt::format("{} is no finite number", print(result, {}, {})));
    return false;
  }
  const Linear numbers = linear(result);
  return fits_float(numbers.factor, span, reporter) && fits_float(numbers.offset, span, reporter);
}

bool is_small(const Formula& formula, const Span& span, ReadingProgress& progress, Reporter& reporter) {
  if (formula->depth > ReadingProgress::max_depth) {
    return stop(span, fmt::format("the formula is more than {} operations deep", ReadingProgress::max_depth), progress,
                reporter);
  }
  if (formula->size <= ReadingProgress::max_size) return true;
  return stop(span, fmt::format("the formula has more than {} parts", ReadingProgress::max_size), progress, reporter);
}

bool enter_expression(const Span& span, ReadingProgress& progress, Reporter& reporter) {
  if (progress.stopped) return false;
  if (progress.depth >= ReadingProgress::max_depth) {
    return stop(span, fmt::format("the formula is more than {} operations deep", ReadingProgress::max_depth), progress,
                reporter);
  }
  if (progress.expressions >= ReadingProgress::max_expressions) {
    return stop(span,
                fmt::format("with the functions that it calls, this definition has more than {} expressions",
                            ReadingProgress::max_expressions),
                progress, reporter);
  }
  ++progress.depth;
  ++progress.expressions;
  return true;
}

}  // namespace netc
