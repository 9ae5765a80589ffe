// The syntax tree of a `.net` file. One node type: kind, span, text, children. The grammar knows no operator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc::ast {

/// The comment behind a kind says what `text` holds and what the children are; `x?` may be missing, `x*` repeats.
enum class Kind : std::uint8_t {
  none,
  // Expressions
  number,       // text: as written; `is_int`, `integer`, `real`
  string,       // text: unquoted and unescaped
  boolean,      // text: "true" or "false"
  name,         // text: the name
  tuple,        // element*
  call,         // callee (a name, or the index node of a reduction `sum[j](…)`), argument*
  index,        // tuple, tensor or reduction; (index | index_range)*
  field,        // text: the field as written ("0"); tuple
  binary,       // operands of one precedence, left to right; `operators` stand between them
  unary,        // `operators` from the outside in ("-", "!"); operand
  conditional,  // condition, value, (condition, value)*, value
  argument,     // text: the name, or "" for a positional one; value
  type,         // text: "int", "f32", or "" for a tuple of types; element types, or the extents of f32[…]
  // Declarations
  file,              // import | block | model | layer | fn | dist | let | example, in order
  import,            // text: the file
  block,             // text: name; parameter*, body
  model,             // text: name; body
  layer,             // text: name; parameter*, body of tensor_parameter | input | let | equation
  fn,                // text: name; parameter*, expression or body of let | equation
  dist,              // text: name; mixture_part* (a mix), or one expression
  mixture_part,      // weight, value
  parameter,         // text: name; type?, default? (see `parameter_type`, `parameter_default`)
  tensor_parameter,  // text: name; type, initial value?
  equation,          // text: the name on the left; (expression | index_range)*, expression
  index_range,       // text: the index; from, to                         i in 0..H/2
  example,           // expression
  // Statements
  body,      // statement*
  sequence,  // text: the label or ""; element
  let,       // text: name; expression
  input,     // text: name; type
  output,    // name*
  shared,    // text: name; element
  expect,    // extent*
  loss,      // operator
  init,  // selector*, rule* of `init S, S: weight = e, bias = e;`, or selector, expression of `init path.weight = e;`
  selector,  // text: an operator's name or a dotted path
  rule,      // text: "weight", "bias", …; expression
  train,     // setting*
  setting,   // text: name; expression
  // Elements (layers): what a sequence composes
  chain,                // element, element*            a -> b -> c
  group,                // body                         { … }
  sequential,           // body                         sequential { … }
  repeat,               // names in `variables`; count | from, to | tuple, then body
  conditional_element,  // condition, body, (condition, body)*, body?     if … { } else { }
  add,                  // argument*, body
  concat,               // argument*, body
  from,                 // text: the label or input
  op,                   // text: an operator's, block's or shared layer's name; argument*, body?
};

struct Node {
  Kind kind = Kind::none;
  Span span;
  std::string text;
  bool is_int = false;
  std::int64_t integer = 0;
  double real = 0;
  std::vector<std::string> operators;
  std::vector<std::string> variables;  // of a repeat; several when it unpacks tuples
  std::vector<Node> children;
};

/// The type of a `parameter` of a block, layer or fn, or nullptr.
inline const Node* parameter_type(const Node& parameter) {
  const auto& parts = parameter.children;
  return !parts.empty() && parts.front().kind == Kind::type ? &parts.front() : nullptr;
}

/// The default of a `parameter`, or nullptr for one that every call must give.
inline const Node* parameter_default(const Node& parameter) {
  const auto& parts = parameter.children;
  return !parts.empty() && parts.back().kind != Kind::type ? &parts.back() : nullptr;
}

}  // namespace netc::ast

namespace netc {

/// Parses `source`. Returns the tree; it is complete only when `diagnostics` has gained no error. A complete tree is at
/// most `max_tree_height` nodes high, so passes may recurse over it; its numbers fit their types and its names are
/// valid.
ast::Node parse(const Source& source, Diagnostics& diagnostics);

/// Parses a source that is one expression, such as the value of `--set`.
ast::Node parse_expression(const Source& source, Diagnostics& diagnostics);

constexpr int max_tree_height = 2048;

/// The tree as indented text, for `netc dump --after=parse`.
std::string print(const ast::Node& node);

}  // namespace netc
