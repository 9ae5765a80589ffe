// Training graph -> the same, in which readers compute again what is cheap to compute.
#pragma once

#include "compiler/graph/graph.h"

namespace netc {

/// Gives every reader of a value its own copy of the nodes that compute it, where all readers can take them into their
/// kernels (see fuse.h), and reading their operands costs no more than reading the value: pointwise nodes on one tensor
/// of its size that is kept anyway, or a node that Operator::may_move. The value then never reaches memory: where a
/// convolution reads relu of batchnorm, only what is normalised is written and kept for the backward pass; of maxpool's
/// gradient in front of batchnorm, nothing.
///
/// Choice: the value's own pass and its memory go. Alternative: one group that writes it for all readers (2026-11).
void inline_pointwise(Graph& graph);

}  // namespace netc
