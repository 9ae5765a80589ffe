// Graph -> the graph of training or of evaluation: operators that differ between the two become what they are there.
#pragma once

#include "compiler/graph/graph.h"

namespace netc {

Graph for_training(const Graph& graph);

/// Dropout is gone, batchnorm a formula over its running statistics.
Graph for_evaluation(const Graph& graph);

/// Removes nodes that none of `wanted` depends on.
void prune(Graph& graph, const std::vector<ValueId>& wanted);

}  // namespace netc
