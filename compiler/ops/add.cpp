// add: the sum of several branches.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"

#include <fmt/format.h>

namespace netc::ops {

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes&) {
  constexpr std::size_t most = max_operands - 2;
  if (inputs.size() > most) {
    return {.error = ShapeError{"N205",
                                fmt::format("add: {} branches, of which a kernel adds {} at most", inputs.size(), most),
                                "", "add sums of some of them: add { add { … } add { … } }"}};
  }
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    if (inputs[i] == inputs[0]) continue;
    return {.error = ShapeError{"N201", "add: the branches differ in shape",
                                fmt::format("{} from the first branch, {} from branch {}", to_string(inputs[0]),
                                            to_string(inputs[i]), i + 1),
                                "give the branches the same channels and the same strides"}};
  }
  return {.outputs = {inputs[0]}};
}

}  // namespace

const Operator add{
    .name = "add",
    .doc = "The sum of its branches, element by element.",
    .fusion = Fusion::pointwise,
    .inputs = -1,
    .infer = infer,
    .gradient =
        [](GraphBuilder& builder, int node, const auto& gradients) {
          return std::vector<ValueId>(builder.graph().nodes[static_cast<std::size_t>(node)].inputs.size(),
                                      gradients[0]);
        },
    .value_at =
        [](KernelBuilder& kernel, const Node& node, const Point& point) {
          Halide::Expr sum = kernel.read(node.inputs[0], point);
          for (std::size_t i = 1; i < node.inputs.size(); ++i) sum += kernel.read(node.inputs[i], point);
          return sum;
        },
    .samples = {{"three", {{Shape::batch, 3, 4, 5}, {Shape::batch, 3, 4, 5}, {Shape::batch, 3, 4, 5}}, {}}},
};

}  // namespace netc::ops
