// mse: the mean squared difference from the label, and its gradient.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace {

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>&) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  return {builder.add(mse_backward, {}, node.inputs, builder.value(node.inputs[0]).shape), no_value};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// All elements of an example, the last axis innermost.
RDom elements(KernelBuilder& kernel, const Shape& shape) {
  Halide::Region ranges;
  for (int i = shape.rank() - 1; i > 0; --i) ranges.emplace_back(0, static_cast<int>(shape[i]));
  return {ranges, kernel.name("r")};
}

/// loss[n] = mean over the elements of the example of (x - label)^2
void forward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.inputs[0]);
  const Shape examples = kernel.shape(node.outputs[0]);
  const RDom r = elements(kernel, shape);
  std::vector<Expr> axes;
  for (int i = r.dimensions() - 1; i >= 0; --i) axes.emplace_back(r[i]);
  const Point at = kernel.point(examples).with(axes);
  const Expr difference = kernel.read(node.inputs[0], at) - kernel.read(node.inputs[1], at);
  Func sum(kernel.name("sum"));
  sum(kernel.variables(examples)) = kernel.constant(0);
  sum(kernel.variables(examples)) += difference * difference;
  Func losses(kernel.name("losses"));
  const Expr mean = sum(kernel.variables(examples)) / kernel.constant(static_cast<double>(shape.elements()));
  losses(kernel.variables(examples)) = select(kernel.valid(at), mean, kernel.constant(0));
  kernel.stage("sum", sum);
  kernel.define(node.outputs[0], losses);
}

/// dx = 2 * (x - label) / (elements * batch)
Expr backward(KernelBuilder& kernel, const Node& node, const Point& at) {
  const Expr difference = kernel.read(node.inputs[0], at) - kernel.read(node.inputs[1], at);
  const double share = 2.0 / static_cast<double>(kernel.shape(node.inputs[0]).elements());
  const Expr gradient = difference * (kernel.constant(share) / cast(kernel.real(), kernel.batch()));
  return select(kernel.valid(at), gradient, kernel.constant(0));
}

// ---- Schedules -----------------------------------------------------------------------------------------------------

void schedule(KernelBuilder& kernel, const Node&) {
  Func sum = kernel.stage("sum").compute_at(kernel.out(), kernel.block());
  schedule_examples(kernel, kernel.out());
  if (kernel.lanes() == 1) return;
  sum.vectorize(kernel.lane(), kernel.machine().vector);
  sum.update().vectorize(kernel.lane(), kernel.machine().vector);
}

}  // namespace

const Operator mse{
    .name = "mse",
    .doc = "loss[n] = mean over the elements of (x[n] - label[n])^2.",
    .is_loss = true,
    .label_type = DType::f32,
    .label_shape = [](const Shape& output) { return output; },
    .infer = [](const auto& inputs, const Attributes&) { return Inference{.outputs = {{inputs[0][0]}}}; },
    .gradient = gradient,
    .algorithm = forward,
    .schedule = schedule,
    .samples = {{"features", {{Shape::batch, 7}}, {}}, {"images", {{Shape::batch, 3, 4, 5}}, {}}},
};

const Operator mse_backward{
    .name = "mse_backward",
    .doc = "dx = 2 * (x - label) / (elements * batch).",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 2,
    .value_at = backward,
};

}  // namespace netc::ops
