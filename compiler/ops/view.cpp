// Operators that only give memory another shape: flatten, reshape, identity.
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"

#include <fmt/format.h>

namespace netc::ops {

namespace {

Inference same_shape(const std::vector<Shape>& inputs, const Attributes&) {
  return {.outputs = {inputs[0]}};
}

Inference flat(const std::vector<Shape>& inputs, const Attributes&) {
  return {.outputs = {{inputs[0][0], inputs[0].elements()}}};
}

Inference reshaped(const std::vector<Shape>& inputs, const Attributes& attributes) {
  std::vector<std::int64_t> extents{inputs[0][0]};
  const IntList& wanted = attributes.integers("shape");
  extents.insert(extents.end(), wanted.begin(), wanted.end());
  const Shape shape(std::move(extents));
  if (shape.elements() == inputs[0].elements()) return {.outputs = {shape}};  // N203 where it has too many dimensions
  return {.error = ShapeError{"N215",
                              fmt::format("reshape: {} has {} elements an example, {} has {}", to_string(inputs[0]),
                                          inputs[0].elements(), to_string(shape), shape.elements()),
                              "input " + to_string(inputs[0]), "the batch is not part of the shape"}};
}

/// The gradient is the output's gradient in the input's shape.
std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const ValueId x = builder.graph().nodes[static_cast<std::size_t>(index)].inputs[0];
  const Shape shape = builder.value(x).shape;
  const IntList extents(shape.extents().begin() + 1, shape.extents().end());
  return {builder.add(reshape, {{"shape", extents}}, {gradients[0]}, shape)};
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
    .doc = "The same elements of each example in row-major order, in another shape.",
    .fusion = Fusion::view,
    .attributes = {{"shape", AttributeType::integers, {}, "", 1, 2147483647, "the extents behind the batch"}},
    .infer = reshaped,
    .gradient = gradient,
    .samples = {{"images", {{Shape::batch, 12}}, {{"shape", IntList{3, 2, 2}}}},
                {"matrix", {{Shape::batch, 3, 4, 5}}, {{"shape", IntList{12, 5}}}}},
};

}  // namespace netc::ops
