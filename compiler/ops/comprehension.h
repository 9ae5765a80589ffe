// How passes and operators emit nodes in index notation.
#pragma once

#include <vector>

#include "compiler/formula/comprehension.h"
#include "compiler/graph/graph.h"

namespace netc {

class GraphBuilder;

namespace ops {

/// Appends the node that computes `c` from `inputs` (its tensors, in order); returns its output.
ValueId emit(GraphBuilder& builder, Comprehension c, const std::vector<ValueId>& inputs);

/// Appends the nodes of several steps, whose first tensors are `inputs`; returns the value of tensor `result`.
ValueId emit(GraphBuilder& builder, const std::vector<Step>& steps, const std::vector<ValueId>& inputs, int result);

}  // namespace ops
}  // namespace netc
