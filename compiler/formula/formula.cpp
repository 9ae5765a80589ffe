#include "compiler/formula/formula.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "compiler/formula/functions.h"

namespace netc {

using Kind = Formula::Kind;

Formula::Formula(double number) {
  Node node;
  node.number = number;
  node_ = std::make_shared<const Node>(std::move(node));
}

Formula::Formula(Node node) {
  node.depth = node.size = 1;
  for (const Formula& operand : node.operands) {
    node.depth = std::max(node.depth, operand->depth + 1);
    node.size = std::min(endless, node.size + operand->size);
  }
  node_ = std::make_shared<const Node>(std::move(node));
}

bool Formula::is(std::string_view function) const {
  return node_->kind == Kind::apply && node_->function->name == function;
}

bool Formula::operator==(const Formula& other) const {
  if (node_ == other.node_) return true;
  const Node& a = *node_;
  const Node& b = *other.node_;
  return a.kind == b.kind && a.number == b.number && a.id == b.id && a.function == b.function &&
         a.reduction == b.reduction && a.indices == b.indices && a.operands == b.operands;
}

// ---- Construction ---------------------------------------------------------------------------------------------------

Formula index(int id) {
  Formula::Node node;
  node.kind = Kind::index;
  node.id = id;
  return Formula(std::move(node));
}

Formula extent(int symbol) {
  Formula::Node node;
  node.kind = Kind::extent;
  node.id = symbol;
  return Formula(std::move(node));
}

Formula read(int tensor, std::vector<Formula> at) {
  Formula::Node node;
  node.kind = Kind::read;
  node.id = tensor;
  node.operands = std::move(at);
  return Formula(std::move(node));
}

Formula reduce(Reduction reduction, std::vector<int> indices, Formula body) {
  Formula::Node node;
  node.kind = Kind::reduce;
  node.reduction = reduction;
  node.indices = std::move(indices);
  node.operands = {std::move(body)};
  return Formula(std::move(node));
}

Formula cumsum(int index, Formula body, Formula last) {
  Formula::Node node;
  node.kind = Kind::reduce;
  node.reduction = Reduction::cumsum;
  node.indices = {index};
  node.operands = {std::move(body), std::move(last)};
  return Formula(std::move(node));
}

namespace {

Formula plain(std::string_view function, std::vector<Formula> operands) {
  Formula::Node node;
  node.kind = Kind::apply;
  node.function = find_function(function);
  if (node.function == nullptr) throw std::logic_error("no function " + std::string(function));
  node.operands = std::move(operands);
  return Formula(std::move(node));
}

std::optional<double> folded(const Function& function, const std::vector<Formula>& operands) {
  std::vector<double> values;
  for (const Formula& operand : operands) {
    if (!operand.is_number()) return {};
    values.push_back(operand->number);
  }
  const double value = function.value(values.data());
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// u where `formula` is 1 + exp(u).
std::optional<Formula> in_one_plus_exp(const Formula& formula) {
  if (!formula.is("+")) return {};
  for (std::size_t i : {0U, 1U}) {
    if (formula.operand(i).is_number(1) && formula.operand(1 - i).is("exp")) return formula.operand(1 - i).operand(0);
  }
  return {};
}

bool is_sum_of_exp(const Formula& formula) {
  return formula->kind == Kind::reduce && formula->reduction == Reduction::sum && formula.operand(0).is("exp");
}

/// log(sum(exp(u))), of which no term overflows and the largest is 1.
Formula log_sum_exp(const Formula& sum) {
  const Formula u = sum.operand(0).operand(0);
  const Formula largest = apply("detach", {reduce(Reduction::max, sum->indices, u)});
  return largest + plain("log", {reduce(Reduction::sum, sum->indices, apply("exp", {u - largest}))});
}

std::optional<Formula> simplified_quotient(const Formula& a, const Formula& b) {
  if (b.is_number(1) || a.is_number(0)) return a;
  if (const auto u = in_one_plus_exp(b)) {
    if (a.is_number(1)) return apply("sigmoid", {-*u});
    if (a.is("exp") && a.operand(0) == *u) return apply("sigmoid", {*u});
  }
  if (a.is("exp") && is_sum_of_exp(b)) return apply("exp", {a.operand(0) - log_sum_exp(b)});
  return {};
}

/// What is added to 1 in 1 + u, u + 1 and 1 - u.
std::optional<Formula> beside_one(const Formula& x) {
  if (!x.is("+") && !x.is("-")) return {};
  if (x.operand(0).is_number(1)) return x.is("+") ? x.operand(1) : -x.operand(1);
  return x.is("+") && x.operand(1).is_number(1) ? std::optional(x.operand(0)) : std::nullopt;
}

std::optional<Formula> simplified_log(const Formula& x) {
  if (const auto u = in_one_plus_exp(x)) return apply("softplus", {*u});
  if (is_sum_of_exp(x)) return log_sum_exp(x);
  if (const auto u = beside_one(x)) return apply("log1p", {*u});
  return {};
}

/// exp(u) - 1 and its like, which would lose the digits of a small u.
std::optional<Formula> simplified_sum(const Formula& a, const Formula& b) {
  if (a.is_number(0)) return b;
  if (b.is_number(0)) return a;
  if (a.is("exp") && b.is_number(-1)) return apply("expm1", {a.operand(0)});
  if (b.is("exp") && a.is_number(-1)) return apply("expm1", {b.operand(0)});
  return {};
}

std::optional<Formula> simplified_difference(const Formula& a, const Formula& b) {
  if (b.is_number(0)) return a;
  if (a.is_number(0)) return -b;
  if (a.is("exp") && b.is_number(1)) return apply("expm1", {a.operand(0)});
  if (b.is("exp") && a.is_number(1)) return -apply("expm1", {b.operand(0)});
  return {};
}

/// What remains when an operand is neutral, or a form that is safe where the written one is not.
std::optional<Formula> simplified(std::string_view name, const std::vector<Formula>& x) {
  if (name == "+") return simplified_sum(x[0], x[1]);
  if (name == "-") return simplified_difference(x[0], x[1]);
  if (name == "*") {
    if (x[0].is_number(0) || x[1].is_number(0)) return Formula(0);
    if (x[0].is_number(1)) return x[1];
    if (x[1].is_number(1)) return x[0];
    if (x[0].is_number(-1)) return -x[1];
    if (x[1].is_number(-1)) return -x[0];
  }
  if (name == "/") return simplified_quotient(x[0], x[1]);
  if (name == "log") return simplified_log(x[0]);
  if (name == "negate" && x[0].is("negate")) return x[0].operand(0);
  if (name == "^")
    return x[1].is_number(0) ? std::optional(Formula(1)) : x[1].is_number(1) ? std::optional(x[0]) : std::nullopt;
  if (name == "select") {
    if (x[0].is_number()) return x[0].is_number(0) ? x[2] : x[1];
    if (x[1] == x[2]) return x[1];
  }
  return {};
}

}  // namespace

Formula apply(std::string_view function, std::vector<Formula> operands) {
  const Function* known = find_function(function);
  if (known == nullptr || static_cast<int>(operands.size()) != known->operands) {
    throw std::logic_error("no such function: " + std::string(function));
  }
  if (const auto value = folded(*known, operands)) return *value;
  if (const auto form = simplified(function, operands)) return *form;
  return plain(function, std::move(operands));
}

Formula operator+(const Formula& a, const Formula& b) {
  return apply("+", {a, b});
}
Formula operator-(const Formula& a, const Formula& b) {
  return apply("-", {a, b});
}
Formula operator*(const Formula& a, const Formula& b) {
  return apply("*", {a, b});
}
Formula operator/(const Formula& a, const Formula& b) {
  return apply("/", {a, b});
}
Formula operator-(const Formula& a) {
  return apply("negate", {a});
}
Formula select(const Formula& condition, const Formula& yes, const Formula& no) {
  return apply("select", {condition, yes, no});
}

// ---- Questions ------------------------------------------------------------------------------------------------------

bool is_whole(const Formula& formula) {
  switch (formula->kind) {
    case Kind::number:
      return formula->number == std::floor(formula->number) && std::abs(formula->number) < 1e9;
    case Kind::index:
    case Kind::extent:
      return true;
    case Kind::apply:
      break;
    default:
      return false;
  }
  static const std::set<std::string_view> keeps_whole{"+", "-", "*", "negate", "min", "max", "divide", "modulo"};
  return keeps_whole.contains(formula->function->name) &&
         std::all_of(formula->operands.begin(), formula->operands.end(), is_whole);
}

namespace {

/// Products of what is in range do not overflow.
std::int64_t limited(std::int64_t number) {
  return std::clamp(number, -Affine::far, Affine::far);
}

Affine combine(const Affine& a, std::int64_t factor_a, const Affine& b, std::int64_t factor_b) {
  Affine result;
  result.offset = limited(factor_a * a.offset + factor_b * b.offset);
  for (const auto& [id, coefficient] : a.coefficients) result.coefficients[id] += factor_a * coefficient;
  for (const auto& [id, coefficient] : b.coefficients) result.coefficients[id] += factor_b * coefficient;
  for (auto& [id, coefficient] : result.coefficients) coefficient = limited(coefficient);
  std::erase_if(result.coefficients, [](const auto& entry) { return entry.second == 0; });
  return result;
}

}  // namespace

std::optional<Affine> affine(const Formula& formula) {
  if (!is_whole(formula) || formula->kind == Kind::extent) return {};
  if (formula.is_number()) return Affine{{}, static_cast<std::int64_t>(formula->number)};
  if (formula->kind == Kind::index) return Affine{{{formula->id, 1}}, 0};
  const auto a = affine(formula.operand(0));
  if (!a) return {};
  if (formula.is("negate")) return combine(*a, -1, {}, 0);
  const auto b = affine(formula->operands.back());
  if (!b) return {};
  if (formula.is("+")) return combine(*a, 1, *b, 1);
  if (formula.is("-")) return combine(*a, 1, *b, -1);
  if (formula.is("*") && a->coefficients.empty()) return combine(*b, a->offset, {}, 0);
  if (formula.is("*") && b->coefficients.empty()) return combine(*a, b->offset, {}, 0);
  return {};
}

std::set<int> free_indices(const Formula& formula) {
  if (formula->kind == Kind::index) return {formula->id};
  std::set<int> all;
  for (const Formula& operand : formula->operands) all.merge(free_indices(operand));
  for (int bound : formula->indices) all.erase(bound);
  return all;
}

namespace {

void gather_reads(const Formula& formula, std::vector<Formula>& found) {
  for (const Formula& operand : formula->operands) gather_reads(operand, found);
  if (formula->kind == Kind::read && std::find(found.begin(), found.end(), formula) == found.end()) {
    found.push_back(formula);
  }
}

}  // namespace

std::vector<Formula> reads(const Formula& formula) {
  std::vector<Formula> found;
  gather_reads(formula, found);
  return found;
}

namespace {

/// The same formula over other operands, simplified anew.
Formula with_operands(const Formula& formula, std::vector<Formula> operands) {
  if (operands == formula->operands) return formula;
  if (formula->kind == Kind::apply) return apply(formula->function->name, std::move(operands));
  Formula::Node node = *formula.operator->();
  node.operands = std::move(operands);
  return Formula(std::move(node));
}

}  // namespace

Formula substitute(const Formula& formula, std::map<int, Formula> places) {
  if (formula->kind == Kind::index) {
    const auto place = places.find(formula->id);
    return place == places.end() ? formula : place->second;
  }
  for (int bound : formula->indices) places.erase(bound);
  std::vector<Formula> operands;
  for (const Formula& operand : formula->operands) operands.push_back(substitute(operand, places));
  return with_operands(formula, std::move(operands));
}

Formula rewrite(const Formula& formula, const std::function<std::optional<Formula>(const Formula&)>& change) {
  std::vector<Formula> operands;
  for (const Formula& operand : formula->operands) operands.push_back(rewrite(operand, change));
  const Formula rebuilt = with_operands(formula, std::move(operands));
  return change(rebuilt).value_or(rebuilt);
}

std::optional<Formula> derivative(const Formula& formula, const Formula& variable, std::string& culprit) {
  if (formula == variable) return Formula(1);
  if (formula->kind != Kind::apply) return Formula(0);
  std::vector<Formula> inner;
  for (const Formula& operand : formula->operands) {
    const auto part = derivative(operand, variable, culprit);
    if (!part) return {};
    inner.push_back(*part);
  }
  // Not by the chain rule: what a branch that is not taken computes may be no number.
  if (formula.is("select")) return select(formula.operand(0), inner[1], inner[2]);
  if (std::all_of(inner.begin(), inner.end(), [](const Formula& part) { return part.is_number(0); })) return Formula(0);
  if (formula->function->partials == nullptr) {
    culprit = formula->function->name;
    return {};
  }
  const std::vector<Formula> partials = formula->function->partials(formula->operands);
  Formula sum = 0;
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (!inner[i].is_number(0)) sum = sum + partials[i] * inner[i];
  }
  return sum;
}

// ---- Text -----------------------------------------------------------------------------------------------------------

namespace {

class Printer {
 public:
  Printer(const std::vector<std::string>& tensors, const std::vector<Index>& indices)
      : tensors_(tensors), indices_(indices) {}

  std::string text(const Formula& formula, int around = 0) const {
    switch (formula->kind) {
      case Kind::number:
        return around > 6 && formula->number < 0 ? "(" + number(formula->number) + ")" : number(formula->number);
      case Kind::index:
        return indices_[static_cast<std::size_t>(formula->id)].name;
      case Kind::extent:
        return formula->id == -1 ? "N" : fmt::format("extent{}", -formula->id);
      case Kind::read:
        return fmt::format("{}[{}]", tensors_[static_cast<std::size_t>(formula->id)], list(formula->operands));
      case Kind::reduce:
        return reduction(formula);
      case Kind::apply:
        return application(formula, around);
    }
    return "";
  }

 private:
  static std::string number(double value) {
    return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value)
                                                                : fmt::format("{}", value);
  }

  std::string list(const std::vector<Formula>& formulas) const {
    std::string all;
    for (const Formula& formula : formulas) all += (all.empty() ? "" : ", ") + text(formula);
    return all;
  }

  std::string reduction(const Formula& formula) const {
    static const char* const names[] = {"", "sum", "max", "min", "cumsum", "reversed_cumsum"};
    std::string over;
    for (int id : formula->indices) over += (over.empty() ? "" : ", ") + indices_[static_cast<std::size_t>(id)].name;
    return fmt::format("{}[{}]({})", names[static_cast<int>(formula->reduction)], over, text(formula.operand(0)));
  }

  std::string application(const Formula& formula, int around) const {
    const Function& function = *formula->function;
    if (formula.is("negate") || formula.is("!")) {
      const std::string inner = (formula.is("!") ? "!" : "-") + text(formula.operand(0), 6);
      return around > 6 ? "(" + inner + ")" : inner;
    }
    if (formula.is("select")) {
      return fmt::format("if {} {{{}}} else {{{}}}", text(formula.operand(0)), text(formula.operand(1)),
                         text(formula.operand(2)));
    }
    if (function.infix.empty()) return fmt::format("{}({})", function.name, list(formula->operands));
    const std::string inner = fmt::format("{} {} {}", text(formula.operand(0), function.precedence), function.infix,
                                          text(formula.operand(1), function.precedence + 1));
    return around > function.precedence ? "(" + inner + ")" : inner;
  }

  const std::vector<std::string>& tensors_;
  const std::vector<Index>& indices_;
};

}  // namespace

std::string print(const Formula& formula, const std::vector<std::string>& tensors, const std::vector<Index>& indices) {
  return Printer(tensors, indices).text(formula);
}

}  // namespace netc
