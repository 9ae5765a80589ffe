// The tree as text: a line a node, expressions in one line with all their parentheses.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "dsl/ast.h"

namespace netc {
namespace {

using ast::Kind;
using ast::Node;

struct Keyword {
  Kind kind;
  std::string_view word;
};

/// The kinds that have lines of their own; the others are expressions.
constexpr Keyword keywords[] = {
    {Kind::file, "file"},
    {Kind::import, "import"},
    {Kind::block, "block"},
    {Kind::model, "model"},
    {Kind::layer, "layer"},
    {Kind::fn, "fn"},
    {Kind::dist, "dist"},
    {Kind::mixture_part, "part"},
    {Kind::parameter, "parameter"},
    {Kind::tensor_parameter, "param"},
    {Kind::equation, "equation"},
    {Kind::example, "example"},
    {Kind::body, "body"},
    {Kind::sequence, "sequence"},
    {Kind::let, "let"},
    {Kind::input, "input"},
    {Kind::output, "output"},
    {Kind::shared, "shared"},
    {Kind::expect, "expect"},
    {Kind::loss, "loss"},
    {Kind::init, "init"},
    {Kind::selector, "selector"},
    {Kind::rule, "rule"},
    {Kind::train, "train"},
    {Kind::setting, "setting"},
    {Kind::chain, "chain"},
    {Kind::group, "group"},
    {Kind::sequential, "sequential"},
    {Kind::repeat, "repeat"},
    {Kind::conditional_element, "if"},
    {Kind::add, "add"},
    {Kind::concat, "concat"},
    {Kind::from, "from"},
    {Kind::op, "op"},
};

std::string_view keyword(Kind kind) {
  const auto found =
      std::find_if(std::begin(keywords), std::end(keywords), [&](const Keyword& k) { return k.kind == kind; });
  return found == std::end(keywords) ? std::string_view{} : found->word;
}

bool is_expression(const Node& node) {
  return keyword(node.kind).empty();
}

std::string expression(const Node& node);

/// The expressions [first, last) of `nodes`, the rest of them by default.
std::string list(const std::vector<Node>& nodes, std::size_t first = 0, std::size_t last = SIZE_MAX) {
  std::string result;
  for (std::size_t i = first; i < std::min(nodes.size(), last); ++i) {
    result += (i == first ? "" : ", ") + expression(nodes[i]);
  }
  return result;
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string binary(const Node& node) {
  std::string result = "(" + expression(node.children[0]);
  for (std::size_t i = 0; i < node.operators.size(); ++i) {
    result += fmt::format(" {} {}", node.operators[i], expression(node.children[i + 1]));
  }
  return result + ")";
}

std::string conditional(const Node& node) {
  std::string result;
  for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
    result += fmt::format("if {} {{{}}} else ", expression(node.children[i]), expression(node.children[i + 1]));
  }
  return fmt::format("({}{{{}}})", result, expression(node.children.back()));
}

std::string expression(const Node& node) {
  switch (node.kind) {
    case Kind::string:
      return quoted(node.text);
    case Kind::tuple:
      return fmt::format("({}{})", list(node.children), node.children.size() == 1 ? "," : "");
    case Kind::call:
      return fmt::format("{}({})", expression(node.children[0]), list(node.children, 1));
    case Kind::index:
      return fmt::format("{}[{}]", expression(node.children[0]), list(node.children, 1));
    case Kind::index_range:
      return fmt::format("{} in {}..{}", node.text, expression(node.children[0]), expression(node.children[1]));
    case Kind::field:
      return fmt::format("{}.{}", expression(node.children[0]), node.text);
    case Kind::binary:
      return binary(node);
    case Kind::unary:
      return fmt::format("({}{})", fmt::join(node.operators, ""), expression(node.children[0]));
    case Kind::conditional:
      return conditional(node);
    case Kind::argument:
      return (node.text.empty() ? "" : node.text + " = ") + expression(node.children[0]);
    case Kind::type:
      if (node.text.empty()) return fmt::format("({})", list(node.children));
      return node.children.empty() ? node.text : fmt::format("{}[{}]", node.text, list(node.children));
    default:
      return node.text;  // number, boolean, name
  }
}

/// The keyword, the name, and the expressions, where all of them come first.
std::string head(const Node& node, std::size_t expressions) {
  std::string result(keyword(node.kind));
  const std::string name = node.kind == Kind::import ? quoted(node.text) : node.text;
  if (!name.empty()) result += " " + name;
  if (!node.variables.empty()) result += fmt::format(" {}", fmt::join(node.variables, ", "));
  return expressions == 0 ? result : fmt::format("{}: {}", result, list(node.children, 0, expressions));
}

void print_lines(const Node& node, int depth, std::string& out) {
  const auto& parts = node.children;
  const auto structure = std::find_if_not(parts.begin(), parts.end(), is_expression);
  const bool expressions_first = std::none_of(structure, parts.end(), is_expression);
  const auto inlined = expressions_first ? static_cast<std::size_t>(structure - parts.begin()) : 0;
  out += fmt::format("{:{}}{}\n", "", 2 * depth, is_expression(node) ? expression(node) : head(node, inlined));
  if (is_expression(node)) return;
  for (std::size_t i = inlined; i < parts.size(); ++i) print_lines(parts[i], depth + 1, out);
}

}  // namespace

std::string print(const ast::Node& node) {
  std::string result;
  print_lines(node, 0, result);
  return result;
}

}  // namespace netc
