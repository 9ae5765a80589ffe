// Operators that are an expression over whole tensors.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "compiler/formula/tensor_algebra.h"
#include "compiler/graph/operator.h"

namespace netc::ops {

/// The result from the inputs; nothing where they do not fit (TensorAlgebra::problem says why).
using Algebra = std::function<std::optional<TensorValue>(TensorAlgebra& algebra, const std::vector<TensorValue>& inputs,
                                                         const Attributes& attributes)>;

/// `op` with the shape rule and the expansion that follow from what it computes.
Operator algebraic(Operator op, const Algebra& result);

}  // namespace netc::ops
