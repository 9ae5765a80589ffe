// Builds the tree of an expression from the flat run of operands and operators that the grammar reads.
#pragma once

#include "dsl/ast.h"

namespace netc {

/// `run` holds operands, each a `unary` node with its prefix operators (maybe none), and the operators between them. It
/// becomes the expression: `^` first, from the right and tighter than a prefix on its left; then the prefixes; then
/// `* / %`, `+ -`, comparisons, `&&`, `||`, each level one flat node however long it is.
/// Returns false when `-a^-b^-c…` would nest without bound; `run` is then not to be used.
bool fold_operators(ast::Node& run);

}  // namespace netc
