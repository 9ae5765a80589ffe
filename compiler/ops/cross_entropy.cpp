// cross_entropy: how unlikely scores make the right classes, and its gradient.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/softmax.h"

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
  return {builder.add(cross_entropy_backward, node.attributes, node.inputs, builder.value(node.inputs[0]).shape),
          no_value};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// The class of the example at `at`; a wrong label must not read outside.
Expr label_at(KernelBuilder& kernel, const Node& node, const Point& at) {
  const int classes = static_cast<int>(kernel.shape(node.inputs[0])[1]);
  return clamp(kernel.read(node.inputs[1], at.with({})), 0, classes - 1);
}

/// What smoothing shares out: the target is 1 - smoothing + smoothing / classes for the right class, and
/// smoothing / classes for the others.
double smoothing_of(const Node& node) {
  return node.attributes.real("label_smoothing");
}

/// The mean over k of max(x[n]) - x[n, k].
Expr mean_below_maximum(KernelBuilder& kernel, const Node& node, const Exponentials& exponentials, const Point& at) {
  const Shape& shape = kernel.shape(node.inputs[0]);
  const auto term = [&](const Point& place) {
    return exponentials.maximum(place) - kernel.read(node.inputs[0], place);
  };
  const Func sums = reduce_axis(kernel, "below", shape, 1, {kernel.constant(0), plus, term});
  return sums(kernel.arguments(at.with({}))) / kernel.constant(static_cast<double>(shape[1]));
}

/// loss[n] = log of the sum over k of exp(x[n, k]), minus the mean of x[n] under the target's weights
void forward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const double smoothing = smoothing_of(node);
  const Point at = kernel.point(shape);
  const Exponentials exponentials(kernel, node.inputs[0], 1);
  const Point right = at.with({label_at(kernel, node, at)});
  const Expr score = kernel.read(node.inputs[0], right);
  Expr loss = log(exponentials.sum(right)) + exponentials.maximum(right) - score;
  if (smoothing != 0) {
    loss = log(exponentials.sum(right)) + kernel.constant(1 - smoothing) * (exponentials.maximum(right) - score) +
           kernel.constant(smoothing) * mean_below_maximum(kernel, node, exponentials, at);
  }
  Func losses(kernel.name("losses"));
  losses(kernel.variables(shape)) = select(kernel.valid(at), loss, kernel.constant(0));
  kernel.define(node.outputs[0], losses);
}

/// dx[n, k] = (softmax(x)[n, k] - the target's weight of k) / batch
void backward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const double share = smoothing_of(node) / static_cast<double>(shape[1]);
  const Point at = kernel.point(shape);
  const Exponentials exponentials(kernel, node.inputs[0], 1);
  const Expr target = select(at.axes[0] == label_at(kernel, node, at), kernel.constant(1 - smoothing_of(node) + share),
                             kernel.constant(share));
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
        "softmax gives the right class. With `label_smoothing` e the mean of x[n] takes the place of a share e of "
        "x[n, label[n]].",
    .attributes = {{"label_smoothing", AttributeType::real, 0.0, "", 0, 1,
                    "how much of the target's weight is spread evenly over all classes"}},
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
          if (smoothing_of(node) != 0) schedule_reduction(kernel, "below");
        },
    .gpu_schedule =
        [](KernelBuilder& kernel, const Node& node) {
          std::vector<std::string> reductions{"maximum", "sum"};
          if (smoothing_of(node) != 0) reductions.emplace_back("below");
          schedule_rows_on_gpu(kernel, node.inputs[0], reductions);
        },
    .samples = {{"ten", {{Shape::batch, 10}}, {{"label_smoothing", 0.0}}},
                {"many", {{Shape::batch, 37}}, {{"label_smoothing", 0.0}}},
                {"smoothed", {{Shape::batch, 21}}, {{"label_smoothing", 0.1}}},
                {"even", {{Shape::batch, 10}}, {{"label_smoothing", 1.0}}}},
};

const Operator cross_entropy_backward{
    .name = "cross_entropy_backward",
    .doc = "dx[n, k] = (softmax(x)[n, k] - w[k]) / batch, w[k] = (1 - e) (1 where k = label[n], else 0) + e / classes.",
    .in_language = false,
    .inputs = 2,
    .algorithm = backward,
    .schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_elements(kernel, kernel.out(), node.outputs[0]);
          schedule_exponentials(kernel, node.inputs[0]);
        },
    .gpu_schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_rows_on_gpu(kernel, node.inputs[0], {"maximum", "sum"});
        },
};

}  // namespace netc::ops
