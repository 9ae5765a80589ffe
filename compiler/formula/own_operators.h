// Operators that a file defines itself, by `layer` or `fn`.
#pragma once

#include <memory>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "compiler/graph/operator.h"

namespace netc {

/// How many inputs the layer or function takes.
std::size_t input_count(const Declaration& declaration);

/// The operator that `declaration` is with these arguments for inputs of these shapes: it owns the layer's parameters,
/// and expands to comprehensions. Null after an error.
std::shared_ptr<const Operator> make_operator(const Declaration& declaration, const std::vector<Argument>& arguments,
                                              const std::vector<Shape>& inputs, const Span& call, Reporter& reporter);

}  // namespace netc
