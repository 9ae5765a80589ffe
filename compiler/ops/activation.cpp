// Activations whose gradient follows from their output: relu, sigmoid, tanh.
#include "compiler/graph_builder.h"
#include "compiler/kernel_builder.h"
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
using OnInput = Expr (*)(KernelBuilder&, const Expr& x);

template <OnInput f>
Expr forward(KernelBuilder& kernel, const Node& node, const Point& point) {
  return f(kernel, kernel.read(node.inputs[0], point));
}

template <OnOutput f>
Expr backward(KernelBuilder& kernel, const Node& node, const Point& point) {
  return f(kernel, kernel.read(node.inputs[0], point), kernel.read(node.inputs[1], point));
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

Expr relu_of(KernelBuilder& kernel, const Expr& x) {
  return max(x, kernel.constant(0));
}

Expr relu_gradient(KernelBuilder& kernel, const Expr& gradient, const Expr& output) {
  return select(output > kernel.constant(0), gradient, kernel.constant(0));
}

/// exp overflows to infinity for large negative x, and 1 / infinity is the limit.
Expr sigmoid_of(KernelBuilder& kernel, const Expr& x) {
  return kernel.constant(1) / (kernel.constant(1) + exp(-x));
}

Expr sigmoid_gradient(KernelBuilder& kernel, const Expr& gradient, const Expr& output) {
  return gradient * output * (kernel.constant(1) - output);
}

/// Near 0 the quotient cancels: there the odd polynomial up to x^7 is exact to single precision.
Expr tanh_of(KernelBuilder& kernel, const Expr& x) {
  const auto c = [&](double value) { return kernel.constant(value); };
  if (kernel.real().bits() == 64) return Halide::tanh(x);
  const Expr e = exp(c(-2) * abs(x));
  const Expr far = (c(1) - e) / (c(1) + e);
  const Expr x2 = x * x;
  const Expr near = x * (c(1) + x2 * (c(-1.0 / 3) + x2 * (c(2.0 / 15) + x2 * c(-17.0 / 315))));
  return select(abs(x) < c(0.1), near, select(x < c(0), -far, far));
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
    .value_at = forward<relu_of>,
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
    .value_at = forward<sigmoid_of>,
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
    .value_at = forward<tanh_of>,
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
