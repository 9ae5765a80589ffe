// A `fn` over tensors as a function of C++: its value and its gradient, each one kernel for tensors of any size.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/imports.h"
#include "compiler/elaborate/report.h"
#include "compiler/formula/tensor_algebra.h"
#include "compiler/graph/graph.h"

namespace netc {

struct TensorFunction {
  std::string name;
  std::string text;  // its declaration, "matvec(a: f32[m, k], x: f32[k])"
  Span span;
  std::vector<std::string> sizes;  // the names of its dimensions; dimension i is written first_size - i in shapes
  bool is_scalar = false;          // the value is one number; its shape in graphs is [1]
  Graph value;                     // from the inputs to the value
  std::optional<Graph> gradient;   // from the inputs and `gradient`, the gradient of the value, to those of the inputs

  /// An extent, and a shape, in the function's names: "m", "[m, 4]".
  std::string size_text(std::int64_t extent) const;
  std::string shape_text(const Shape& shape) const;
};

/// The tensor functions that `file` defines, in order; those that need arguments beside tensors are not among them.
std::vector<TensorFunction> read_functions(const ast::Node& file, const Environment& environment, Reporter& reporter);

/// Whether `fn` can be called with tensors alone: such functions are read with the file.
bool takes_tensors_alone(const ast::Node& function);

/// A function that takes tensors alone.
std::optional<TensorFunction> read_function(const Declaration& declaration, Reporter& reporter);

/// A function of elements, for a tensor of this shape; `arguments` of the call stand behind the tensor.
std::optional<TensorFunction> read_elementwise(const Declaration& declaration, const Shape& shape,
                                               const std::vector<Argument>& arguments, const Span& call,
                                               Reporter& reporter);

}  // namespace netc
