// What is allowed but likely a mistake, found once a model is known to be right.
#pragma once

#include "compiler/elaborate/report.h"
#include "compiler/graph/graph.h"
#include "dsl/ast.h"

namespace netc {

/// W402: values, parameters and shared layers of `file` that nothing uses; W403: biases that batchnorm undoes.
void warn(const ast::Node& file, const Graph& graph, Reporter& reporter);

}  // namespace netc
