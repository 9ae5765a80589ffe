// Operators that only give memory another shape: flatten, reshape, identity.
#include "compiler/graph_builder.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

namespace {

Inference same_shape(const std::vector<Shape>& inputs, const Attributes&) {
  return {.outputs = {inputs[0]}};
}

Inference flat(const std::vector<Shape>& inputs, const Attributes&) {
  return {.outputs = {{inputs[0][0], inputs[0].elements()}}};
}

/// The gradient is the output's gradient in the input's shape.
std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const ValueId x = builder.graph().nodes[static_cast<std::size_t>(index)].inputs[0];
  return {builder.add(reshape, {}, {gradients[0]}, builder.value(x).shape)};
}

}  // namespace

const Operator flatten{
    .name = "flatten",
    .doc = "[N, C, H, W] becomes [N, C * H * W], channels slowest.",
    .fusion = Fusion::view,
    .infer = flat,
    .gradient = gradient,
    .samples = {{"images", {{Shape::batch, 3, 4, 5}}, {}}},
};

const Operator identity{
    .name = "identity",
    .doc = "y = x.",
    .fusion = Fusion::view,
    .infer = same_shape,
    .gradient = gradient,
    .samples = {{"images", {{Shape::batch, 3, 4, 5}}, {}}},
};

const Operator reshape{
    .name = "reshape",
    .doc = "The same elements in row-major order, in another shape.",
    .fusion = Fusion::view,
    .in_language = false,
};

}  // namespace netc::ops
