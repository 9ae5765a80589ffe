// The clauses of a model that say how it is initialised and trained: `init` and `train`.
#pragma once

#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/layer_builder.h"
#include "compiler/elaborate/overrides.h"
#include "compiler/elaborate/report.h"
#include "compiler/graph/graph.h"
#include "dsl/ast.h"

namespace netc {

/// Gives the parameters of `owned` the rules of one `init` clause, over those that they have. Their values are named.
void apply_init(const ast::Node& clause, const Environment& environment, const std::vector<Owned>& owned, Graph& graph,
                Reporter& reporter);

/// Fills the graph's recipe from a `train` clause, then from the options, and checks that data, input and output fit.
void apply_train(const ast::Node& clause, const std::vector<TrainOption>& options, const Environment& environment,
                 Graph& graph, Reporter& reporter);

}  // namespace netc
