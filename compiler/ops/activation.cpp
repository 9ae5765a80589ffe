// Activations whose gradient follows from their output: relu, sigmoid, tanh.
#include "compiler/formula/functions.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;

namespace {

Inference same_shape(const std::vector<Shape>& inputs, const Attributes&) {
  return {.outputs = {inputs[0]}};
}

/// The gradient of `node` is `backward` of the output's gradient and the output.
std::vector<ValueId> from_output(GraphBuilder& builder, const Operator& backward, int node, ValueId gradient) {
  const ValueId output = builder.graph().nodes[static_cast<std::size_t>(node)].outputs[0];
  return {builder.add(backward, {}, {gradient, output}, builder.value(output).shape)};
}

const std::vector<Sample> samples{{"images", {{Shape::batch, 3, 5, 7}}, {}}, {"features", {{Shape::batch, 21}}, {}}};

using OnOutput = Expr (*)(KernelBuilder&, const Expr& gradient, const Expr& output);
/// The function of formulas that has the operator's name.
Expr forward(KernelBuilder& kernel, const Node& node, const Point& point) {
  return find_function(node.op->name)->lower({kernel.read(node.inputs[0], point)});
}

template <OnOutput f>
Expr backward(KernelBuilder& kernel, const Node& node, const Point& point) {
  return f(kernel, kernel.read(node.inputs[0], point), kernel.read(node.inputs[1], point));
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

Expr relu_gradient(KernelBuilder& kernel, const Expr& gradient, const Expr& output) {
  return select(output > kernel.constant(0), gradient, kernel.constant(0));
}

Expr sigmoid_gradient(KernelBuilder& kernel, const Expr& gradient, const Expr& output) {
  return gradient * output * (kernel.constant(1) - output);
}

Expr tanh_gradient(KernelBuilder& kernel, const Expr& gradient, const Expr& output) {
  return gradient * (kernel.constant(1) - output * output);
}

}  // namespace

const Operator relu{
    .name = "relu",
    .doc = "y = max(x, 0). The gradient at 0 is 0, as in PyTorch.",
    .fusion = Fusion::pointwise,
    .infer = same_shape,
    .gradient = [](GraphBuilder& builder, int node,
                   const auto& gradients) { return from_output(builder, relu_backward, node, gradients[0]); },
    .value_at = forward,
    .samples = samples,
};

const Operator relu_backward{
    .name = "relu_backward",
    .doc = "dx = dy where y > 0, else 0.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 2,
    .value_at = backward<relu_gradient>,
};

const Operator sigmoid{
    .name = "sigmoid",
    .doc = "y = 1 / (1 + exp(-x)).",
    .fusion = Fusion::pointwise,
    .infer = same_shape,
    .gradient = [](GraphBuilder& builder, int node,
                   const auto& gradients) { return from_output(builder, sigmoid_backward, node, gradients[0]); },
    .value_at = forward,
    .samples = samples,
};

const Operator sigmoid_backward{
    .name = "sigmoid_backward",
    .doc = "dx = dy * y * (1 - y).",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 2,
    .value_at = backward<sigmoid_gradient>,
};

const Operator tanh{
    .name = "tanh",
    .doc = "y = tanh(x).",
    .fusion = Fusion::pointwise,
    .infer = same_shape,
    .gradient = [](GraphBuilder& builder, int node,
                   const auto& gradients) { return from_output(builder, tanh_backward, node, gradients[0]); },
    .value_at = forward,
    .samples = samples,
};

const Operator tanh_backward{
    .name = "tanh_backward",
    .doc = "dx = dy * (1 - y^2).",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 2,
    .value_at = backward<tanh_gradient>,
};

}  // namespace netc::ops
