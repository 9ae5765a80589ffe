// Tensor functions -> Halide: one pipeline for the whole function, for tensors of any size.
#pragma once

#include <Halide.h>

#include <vector>

#include "compiler/formula/tensor_function.h"
#include "compiler/graph/graph.h"

namespace netc {

/// The pipeline of a function's graph, and what it takes: the sizes in the function's order, then the inputs. All
/// buffers are dense, the last axis innermost.
struct FunctionPipeline {
  Halide::Pipeline pipeline;
  std::vector<Halide::Param<int>> sizes;
  std::vector<Halide::ImageParam> inputs;

  std::vector<Halide::Argument> arguments() const;
};

/// `graph` is the function's value or gradient; outputs that are no_value are left out.
FunctionPipeline lower_function(const TensorFunction& function, const Graph& graph, const Halide::Target& target);

}  // namespace netc
