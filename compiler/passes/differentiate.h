// Graph of training -> training graph: appends the nodes that compute the gradients of the loss.
#pragma once

#include "compiler/graph/graph.h"
#include "dsl/diagnostic.h"

namespace netc {

/// Adds gradients of the mean loss with respect to every parameter and f32 input, by reverse accumulation; fills
/// `gradients`, `forward_nodes` and `backward_nodes`. An operator without a gradient between a parameter and the loss
/// is error N302 at its place.
Graph differentiate(const Graph& graph, Diagnostics& diagnostics);

/// The same for `output` in place of a loss; `seed` is the gradient of whatever is minimised with respect to it. Every
/// input needs its gradient.
Graph differentiate(const Graph& graph, ValueId output, ValueId seed, Diagnostics& diagnostics);

}  // namespace netc
