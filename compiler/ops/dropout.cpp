// dropout: elements become 0 at random in training; nothing happens in evaluation.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"

#include <cmath>

namespace netc::ops {

using Halide::Expr;

namespace {

/// Every dropout of a graph draws from a stream of its own.
std::vector<ValueId> in_training(GraphBuilder& builder, const Node& node) {
  const ValueId x = node.inputs[0];
  const auto stream = static_cast<std::int64_t>(builder.graph().nodes.size());
  const Attributes attributes{{"p", node.attributes.real("p")}, {"stream", stream}};
  return {builder.add(dropout_mask, attributes, {x}, builder.value(x).shape)};
}

/// The same elements are dropped: the random numbers are a function of their place.
std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  return {builder.add(dropout_mask, node.attributes, {gradients[0]}, builder.value(node.inputs[0]).shape)};
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

Expr word(std::uint32_t value) {
  return Halide::Internal::make_const(Halide::UInt(32), value);
}

/// A bijection of 32-bit words in which every bit of the input moves half of the output's.
Expr mixed(Expr x) {
  x = (x ^ (x >> 16)) * word(0x7feb352d);
  x = (x ^ (x >> 15)) * word(0x846ca68b);
  return x ^ (x >> 16);
}

/// The number of an element in row-major order of the logical indices, modulo 2^32: it does not depend on the layout.
Expr element_number(KernelBuilder& kernel, const Shape& shape, const Point& at) {
  Expr number = cast<std::uint32_t>(kernel.example(at));
  for (std::size_t i = 0; i < at.axes.size(); ++i) {
    const auto extent = static_cast<std::uint32_t>(shape[static_cast<int>(i) + 1]);
    number = number * word(extent) + cast<std::uint32_t>(at.axes[i]);
  }
  return number;
}

/// 32 random bits of (seed, step, stream, element). The key enters twice, so that keys do not give shifted sequences.
Expr random_word(KernelBuilder& kernel, std::int64_t stream, const Expr& number) {
  const Expr start = kernel.seed() ^ word(0x9e3779b9 * static_cast<std::uint32_t>(stream + 1));
  const Expr key = mixed(mixed(start) + kernel.step());
  return mixed(mixed(number ^ key) + mixed(key + word(0x85ebca6b)));
}

Expr mask(KernelBuilder& kernel, const Node& node, const Point& at) {
  const double p = node.attributes.real("p");
  const Expr number = element_number(kernel, kernel.shape(node.outputs[0]), at);
  const Expr threshold = word(static_cast<std::uint32_t>(p * 4294967296.0));
  const Expr kept = random_word(kernel, node.attributes.integer("stream"), number) >= threshold;
  return select(kept, kernel.read(node.inputs[0], at) * kernel.constant(1 / (1 - p)), kernel.constant(0));
}

}  // namespace

const Operator dropout{
    .name = "dropout",
    .doc = "In training y = x / (1 - p) with probability 1 - p, else 0, element by element; in evaluation y = x.",
    .attributes = {{"p", AttributeType::real, 0.5, "", 0, std::nextafter(1.0, 0.0), "how likely an element becomes 0"}},
    .infer = [](const auto& inputs, const Attributes&) { return Inference{.outputs = {inputs[0]}}; },
    .in_training = in_training,
    .in_evaluation = [](GraphBuilder&, const Node& node) { return std::vector<ValueId>{node.inputs[0]}; },
    .samples = {{"images", {{Shape::batch, 3, 4, 5}}, {{"p", 0.3}}}, {"features", {{Shape::batch, 21}}, {{"p", 0.5}}}},
};

const Operator dropout_mask{
    .name = "dropout_mask",
    .doc = "y = x / (1 - p) where the random number of (seed, step, `stream`, element) is at least p, else 0.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .gradient = gradient,
    .value_at = mask,
};

}  // namespace netc::ops
