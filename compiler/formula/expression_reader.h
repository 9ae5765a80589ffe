// Reads expressions of the language that are no compile-time values: formulas of elements, and whole tensors.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "compiler/formula/functions.h"
#include "compiler/formula/index_notation.h"
#include "dsl/ast.h"

namespace netc {

inline const Formula& formula_of(const Formula& value) {
  return value;
}
inline const Formula& formula_of(const TensorValue& value) {
  return value.formula;
}

/// Whether a number is one in single precision, in which kernels compute; another is reported.
bool fits_float(double number, const Span& span, Reporter& reporter);

/// Whether `result`, which is `function` of these operands, is free of numbers that are none in single precision; what
/// is wrong is reported.
bool has_value(std::string_view function, const std::vector<Formula>& operands, const Formula& result, const Span& span,
               Reporter& reporter);

/// Whether a formula is small enough to be walked over. It is reported, and the reading stops.
bool is_small(const Formula& formula, const Span& span, ReadingProgress& progress, Reporter& reporter);

/// Goes into one more expression. False at a limit, which has been reported.
bool enter_expression(const Span& span, ReadingProgress& progress, Reporter& reporter);

/// Walks an expression; what its names and calls are is for the derived class to say. Parts without tensors are
/// compile-time values and follow their rules (exact fractions, checked arithmetic).
template <class Value>
class ExpressionReader {
 public:
  virtual ~ExpressionReader() = default;

  /// Nothing after an error, which has been reported.
  std::optional<Value> read(const ast::Node& node) {
    if (!enter_expression(node.span, progress_, reporter_)) return std::nullopt;
    const std::optional<Value> value = read_parts(node);
    --progress_.depth;
    if (!value || !is_small(formula_of(*value), node.span, progress_, reporter_)) return std::nullopt;
    return value;
  }

 private:
  std::optional<Value> read_parts(const ast::Node& node) {
    if (is_constant(node)) return constant(node);
    switch (node.kind) {
      case ast::Kind::name:
        return name(node);
      case ast::Kind::call:
        return call(node);
      case ast::Kind::index:
        return element(node);
      case ast::Kind::binary:
        return node.operators.front() == "^" ? power(node) : binary(node);
      case ast::Kind::unary:
        return unary(node);
      case ast::Kind::conditional:
        return conditional(node);
      default:
        return error("N143", node.span, "this has no place in a formula");
    }
  }

 protected:
  ExpressionReader(const Environment& environment, ReadingProgress& progress, Reporter& reporter)
      : environment_(environment), reporter_(reporter), progress_(progress) {}

  virtual Value number(double value) = 0;
  /// Whether the name stands for something that exists only when the network runs.
  virtual bool is_variable(const std::string& name) const = 0;
  virtual std::optional<Value> name(const ast::Node& node) = 0;
  virtual std::optional<Value> call(const ast::Node& node) = 0;
  virtual std::optional<Value> element(const ast::Node& node) = 0;
  virtual std::optional<Value> combine(std::string_view function, const std::vector<Value>& operands,
                                       const Span& span) = 0;

  std::optional<Value> error(const char* code, const Span& span, const std::string& message,
                             const std::string& help = "") {
    reporter_.error(code, span, message, help);
    return std::nullopt;
  }

  bool is_constant(const ast::Node& node) const {
    static const std::set<std::string_view> compile_time{"floor", "min", "max", "len"};
    switch (node.kind) {
      case ast::Kind::number:
      case ast::Kind::boolean:
      case ast::Kind::string:
        return true;
      case ast::Kind::name:
        return !is_variable(node.text) && environment_.find(node.text) != nullptr;
      case ast::Kind::call:
        if (node.children[0].kind != ast::Kind::name || !compile_time.contains(node.children[0].text)) return false;
        return all_constant(node, 1);
      default:
        return !node.children.empty() && all_constant(node, 0);
    }
  }

  /// Argument `i` of a call, which has no name.
  std::optional<Value> operand(const ast::Node& call, std::size_t i) {
    if (!is_by_position(call, i, reporter_)) return std::nullopt;
    return read(call.children[i].children.front());
  }

  /// All arguments of a call.
  std::optional<std::vector<Value>> operands(const ast::Node& call) {
    std::vector<Value> values;
    for (std::size_t i = 1; i < call.children.size(); ++i) {
      const auto value = operand(call, i);
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    return values;
  }

  /// A call of one of functions(), or nothing, with a report.
  std::optional<Value> elementary(const ast::Node& node) {
    const std::string& text = node.children[0].text;
    const Function* function = find_function(text);
    if (function == nullptr || !function->in_language) return unknown(node.children[0]);
    auto values = operands(node);
    if (!values) return std::nullopt;
    const bool extreme = text == "min" || text == "max";
    if (extreme && values->size() > 2) return fold(text, *values, node.span);
    if (static_cast<int>(values->size()) == function->operands) return combined(text, *values, node.span);
    return error(static_cast<int>(values->size()) > function->operands ? "N117" : "N120", node.span,
                 fmt::format("{} takes {} argument{}, {} given", text, function->operands,
                             function->operands > 1 ? "s" : "", values->size()));
  }

  std::optional<Value> unknown(const ast::Node& callee) {
    std::vector<std::string> candidates{"sum", "mean", "norm", "cumsum", "dot", "matvec", "matmul", "transpose"};
    for (const Function& function : functions()) {
      if (function.in_language) candidates.emplace_back(function.name);
    }
    for (const std::string& known : environment_.layer_names()) candidates.push_back(known);
    return error("N108", callee.span, fmt::format("unknown function `{}`", callee.text),
                 did_you_mean(callee.text, candidates));
  }

  std::optional<Value> constant(const ast::Node& node) {
    const Constant value = evaluate(node, environment_, reporter_);
    if (const auto* truth = value.as<bool>()) return number(*truth ? 1 : 0);
    const auto real = need_real(value, "a value in a formula", node.span, reporter_);
    if (!real || !fits_float(*real, node.span, reporter_)) return std::nullopt;
    return number(*real);
  }

  const Environment& environment_;
  Reporter& reporter_;

 private:
  /// `function` of the operands, where it has a value.
  std::optional<Value> combined(std::string_view function, const std::vector<Value>& operands, const Span& span) {
    std::optional<Value> result = combine(function, operands, span);
    if (!result) return std::nullopt;
    std::vector<Formula> formulas;
    for (const Value& operand : operands) formulas.push_back(formula_of(operand));
    const Formula& formula = formula_of(*result);
    if (!has_value(function, formulas, formula, span, reporter_)) return std::nullopt;
    if (!is_small(formula, span, progress_, reporter_)) return std::nullopt;
    return result;
  }

  bool all_constant(const ast::Node& node, std::size_t first) const {
    for (std::size_t i = first; i < node.children.size(); ++i) {
      if (!is_constant(node.children[i])) return false;
    }
    return true;
  }

  std::optional<Value> fold(std::string_view function, const std::vector<Value>& values, const Span& span) {
    std::optional<Value> result = values.front();
    for (std::size_t i = 1; i < values.size() && result; ++i) result = combined(function, {*result, values[i]}, span);
    return result;
  }

  std::optional<Value> binary(const ast::Node& node) {
    static const std::set<std::string_view> comparisons{"<", "<=", ">", ">=", "==", "!="};
    if (comparisons.contains(node.operators.front()) && node.operators.size() > 1) {
      return error("N114", node.span, "comparisons do not chain", "write a < b && b < c");
    }
    std::optional<Value> result = read(node.children.front());
    for (std::size_t i = 0; i < node.operators.size(); ++i) {
      if (node.operators[i] == "%") return error("N143", node.span, "`%` is for compile-time values");
      const auto operand = read(node.children[i + 1]);
      if (!result || !operand) return std::nullopt;
      result = combined(node.operators[i], {*result, *operand}, node.span);
    }
    return result;
  }

  /// a ^ b ^ c is a ^ (b ^ c).
  std::optional<Value> power(const ast::Node& node) {
    std::optional<Value> result = read(node.children.back());
    for (std::size_t i = node.children.size() - 1; i-- > 0;) {
      const auto base = read(node.children[i]);
      if (!result || !base) return std::nullopt;
      result = combined("^", {*base, *result}, node.span);
    }
    return result;
  }

  std::optional<Value> unary(const ast::Node& node) {
    std::optional<Value> result = read(node.children.front());
    for (auto op = node.operators.rbegin(); op != node.operators.rend() && result; ++op) {
      result = combined(*op == "-" ? "negate" : "!", {*result}, node.span);
    }
    return result;
  }

  /// condition, value, …, value: chosen an element at a time.
  std::optional<Value> conditional(const ast::Node& node) {
    std::optional<Value> result = read(node.children.back());
    for (std::size_t i = node.children.size() - 1; i >= 2 && result; i -= 2) {
      const auto condition = read(node.children[i - 2]);
      const auto value = read(node.children[i - 1]);
      if (!condition || !value) return std::nullopt;
      result = combined("select", {*condition, *value, *result}, node.span);
    }
    return result;
  }

  ReadingProgress& progress_;
};

}  // namespace netc
