// concat: branches side by side along an axis; slice: one of them again. Both are views: branches write into the
// result.
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"

#include <fmt/format.h>

namespace netc::ops {

namespace {

bool fit(const Shape& a, const Shape& b, int axis) {
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i) {
    if (i != axis && a[i] != b[i]) return false;
  }
  return true;
}

std::string help(const Shape& a, const Shape& b, int axis) {
  if (a.rank() != b.rank()) return "give the branches the same number of dimensions, with reshape or flatten";
  const char* how = a.rank() == 4 && axis == 1 ? ": give the branches the same strides and pads" : "";
  return fmt::format("only axis {} may differ{}", axis, how);
}

Inference infer(const std::vector<Shape>& inputs, const Attributes& attributes) {
  const int axis = static_cast<int>(attributes.integer("axis"));
  Shape result = inputs[0];
  if (axis >= result.rank()) {
    return {.error = ShapeError{"N207", fmt::format("concat: there is no axis {}", axis), "input " + to_string(result),
                                fmt::format("choose an axis from 1 to {}", result.rank() - 1)}};
  }
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    if (!fit(inputs[0], inputs[i], axis)) {
      return {.error = ShapeError{"N207", "concat: the branches differ in shape",
                                  fmt::format("{} from the first branch, {} from branch {}", to_string(inputs[0]),
                                              to_string(inputs[i]), i + 1),
                                  help(inputs[0], inputs[i], axis)}};
    }
    result[axis] += inputs[i][axis];
  }
  return {.outputs = {result}};
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  const int axis = static_cast<int>(node.attributes.integer("axis"));
  std::vector<ValueId> result;
  std::int64_t begin = 0;
  for (ValueId input : node.inputs) {
    const Shape shape = builder.value(input).shape;
    result.push_back(
        builder.add(slice, {{"axis", node.attributes.integer("axis")}, {"begin", begin}}, {gradients[0]}, shape));
    begin += shape[axis];
  }
  return result;
}

}  // namespace

const Operator concat{
    .name = "concat",
    .doc = "Its branches one after another along `axis`.",
    .fusion = Fusion::view,
    .inputs = -1,
    .attributes = {{"axis", AttributeType::integer, std::int64_t{1}, "", 1, 3,
                    "the axis along which the branches lie; 1: channels"}},
    .infer = infer,
    .gradient = gradient,
    .samples = {{"channels", {{Shape::batch, 3, 4, 5}, {Shape::batch, 2, 4, 5}}, {{"axis", 1}}},
                {"rows", {{Shape::batch, 3, 4, 5}, {Shape::batch, 3, 1, 5}}, {{"axis", 2}}}},
};

const Operator slice{
    .name = "slice",
    .doc = "The part of x along `axis` that starts at `begin`.",
    .fusion = Fusion::view,
    .in_language = false,
};

}  // namespace netc::ops
