// `example f(…) == value;`: what a file states about its functions.
#pragma once

#include <vector>

#include "compiler/elaborate/report.h"
#include "compiler/formula/tensor_function.h"
#include "dsl/ast.h"

namespace netc {

/// Computes every example of `file` with the kernels that generated code would call. One that does not hold is reported
/// (N144) with what comes out. Returns how many hold.
int check_examples(const ast::Node& file, const Environment& environment, const std::vector<TensorFunction>& functions,
                   Reporter& reporter);

}  // namespace netc
