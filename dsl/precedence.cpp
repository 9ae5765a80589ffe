// Operator precedence, in loops: the length of an expression costs no stack.
#include "dsl/precedence.h"

#include <string>
#include <utility>
#include <vector>

namespace netc {
namespace {

using ast::Kind;
using ast::Node;
using Operands = std::vector<Node>;
using Operators = std::vector<std::string>;

constexpr int max_power_nesting = 8;
constexpr int power_level = 0;
constexpr int loosest_level = 5;

int level_of(const std::string& infix) {
  switch (infix[0]) {
    case '^':
      return power_level;
    case '*':
    case '/':
    case '%':
      return 1;
    case '+':
    case '-':
      return 2;
    case '&':
      return 4;
    case '|':
      return loosest_level;
    default:
      return 3;
  }
}

Node binary(Operands operands, Operators operators) {
  Node node;
  node.kind = Kind::binary;
  node.span = {operands.front().span.source, operands.front().span.begin, operands.back().span.end};
  node.children = std::move(operands);
  node.operators = std::move(operators);
  return node;
}

Node unwrapped(Node wrapper) {
  if (!wrapper.operators.empty()) return wrapper;
  Node operand = std::move(wrapper.children[0]);
  return operand;
}

/// a ^ b ^ c, where a prefix applies to the power on its right: 2 ^ -a ^ b is 2 ^ (-(a ^ b)).
bool join_powers(Operands operands, Node& result) {
  Operands powers;  // from the right
  powers.push_back(unwrapped(std::move(operands.back())));
  int nesting = 0;
  const auto close = [&powers] {
    if (powers.size() == 1) return std::move(powers[0]);
    Operators carets(powers.size() - 1, "^");
    return binary({std::move_iterator(powers.rbegin()), std::move_iterator(powers.rend())}, std::move(carets));
  };
  for (std::size_t i = operands.size() - 1; i-- > 0;) {
    Node wrapper = std::move(operands[i]);
    powers.push_back(std::move(wrapper.children[0]));
    if (wrapper.operators.empty()) continue;
    if (++nesting > max_power_nesting) return false;
    wrapper.children[0] = close();
    wrapper.span.end = wrapper.children[0].span.end;
    powers.clear();
    powers.push_back(std::move(wrapper));
  }
  result = close();
  return true;
}

/// Joins the operands of every stretch of operators of one level.
bool fold_level(Node& run, int level) {
  Operands operands;
  Operators operators;
  for (std::size_t begin = 0, end = 0; begin < run.children.size(); begin = end + 1) {
    for (end = begin; end < run.operators.size() && level_of(run.operators[end]) == level;) ++end;
    Operands stretch(std::move_iterator(run.children.begin() + static_cast<std::ptrdiff_t>(begin)),
                     std::move_iterator(run.children.begin() + static_cast<std::ptrdiff_t>(end) + 1));
    Operators between(run.operators.begin() + static_cast<std::ptrdiff_t>(begin),
                      run.operators.begin() + static_cast<std::ptrdiff_t>(end));
    Node joined;
    if (level == power_level) {
      if (!join_powers(std::move(stretch), joined)) return false;
    } else {
      joined = stretch.size() == 1 ? std::move(stretch[0]) : binary(std::move(stretch), std::move(between));
    }
    operands.push_back(std::move(joined));
    if (end < run.operators.size()) operators.push_back(run.operators[end]);
  }
  run.children = std::move(operands);
  run.operators = std::move(operators);
  return true;
}

}  // namespace

bool fold_operators(Node& run) {
  if (!fold_level(run, power_level)) return false;
  for (int level = power_level + 1; level <= loosest_level && !run.operators.empty(); ++level) fold_level(run, level);
  Node expression = std::move(run.children[0]);
  run = std::move(expression);
  return true;
}

}  // namespace netc
