// cross_entropy: how unlikely scores make the right classes, and its gradient.
#include "compiler/graph_builder.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/softmax.h"
#include "compiler/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes&) {
  const Shape& logits = inputs[0];
  if (logits.rank() == 2) return {.outputs = {{logits[0]}}};
  return {.error = ShapeError{"N203", "cross_entropy wants [N,classes], found " + to_string(logits),
                              "output " + to_string(logits), "end the model with `flatten` and `linear`"}};
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>&) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  return {builder.add(cross_entropy_backward, {}, node.inputs, builder.value(node.inputs[0]).shape), no_value};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// The class of the example at `at`; a wrong label must not read outside.
Expr label_at(KernelBuilder& kernel, const Node& node, const Point& at) {
  const int classes = static_cast<int>(kernel.shape(node.inputs[0])[1]);
  return clamp(kernel.read(node.inputs[1], at.with({})), 0, classes - 1);
}

/// loss[n] = log of the sum over k of exp(x[n, k]), minus x[n, label[n]]
void forward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point at = kernel.point(shape);
  const Exponentials exponentials(kernel, node.inputs[0], 1);
  const Point right = at.with({label_at(kernel, node, at)});
  const Expr loss = log(exponentials.sum(right)) + exponentials.maximum(right) - kernel.read(node.inputs[0], right);
  Func losses(kernel.name("losses"));
  losses(kernel.variables(shape)) = select(kernel.valid(at), loss, kernel.constant(0));
  kernel.define(node.outputs[0], losses);
}

/// dx[n, k] = (softmax(x)[n, k] - (1 where k = label[n], else 0)) / batch
void backward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point at = kernel.point(shape);
  const Exponentials exponentials(kernel, node.inputs[0], 1);
  const Expr target = select(at.axes[0] == label_at(kernel, node, at), kernel.constant(1), kernel.constant(0));
  const Expr difference = (exponentials.softmax(at) - target) / cast(kernel.real(), kernel.batch());
  Func gradient(kernel.name("gradient"));
  gradient(kernel.variables(shape)) = select(kernel.valid(at), difference, kernel.constant(0));
  kernel.define(node.outputs[0], gradient);
}

}  // namespace

const Operator cross_entropy{
    .name = "cross_entropy",
    .doc =
        "loss[n] = log(sum over k of exp(x[n, k])) - x[n, label[n]]: the negative logarithm of the probability that "
        "softmax gives the right class.",
    .is_loss = true,
    .label_type = DType::i32,
    .label_shape = [](const Shape& output) { return Shape{output[0]}; },
    .infer = infer,
    .gradient = gradient,
    .algorithm = forward,
    .schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_examples(kernel, kernel.out());
          schedule_exponentials(kernel, node.inputs[0]);
        },
    .samples = {{"ten", {{Shape::batch, 10}}, {}}, {"many", {{Shape::batch, 37}}, {}}},
};

const Operator cross_entropy_backward{
    .name = "cross_entropy_backward",
    .doc = "dx[n, k] = (softmax(x)[n, k] - (1 where k = label[n], else 0)) / batch.",
    .in_language = false,
    .inputs = 2,
    .algorithm = backward,
    .schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_elements(kernel, kernel.out(), node.outputs[0]);
          schedule_exponentials(kernel, node.inputs[0]);
        },
};

}  // namespace netc::ops
