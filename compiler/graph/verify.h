// What must hold between stages. A violation is a bug of netc's: std::logic_error.
#pragma once

#include "compiler/graph/graph.h"
#include "compiler/passes/plan_memory.h"

namespace netc {

/// Nodes read only what exists, write each value once, and shapes are what their operators infer.
void verify(const Graph& graph, const char* stage);

/// Groups read only what was written; values in the memory of another have its lanes and its distance of blocks; values
/// that are alive together lie apart.
void verify(const Plan& plan, const char* stage);

}  // namespace netc
