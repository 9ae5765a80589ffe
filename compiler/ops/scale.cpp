// scale: a constant times the input, such as 1/255 for pixels.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

const Operator scale{
    .name = "scale",
    .doc = "y = factor * x.",
    .fusion = Fusion::pointwise,
    .attributes = {{"factor", AttributeType::real, {}, "", -2147483647, 2147483647, "what x is multiplied by"}},
    .infer = [](const auto& inputs, const auto&) { return Inference{.outputs = {inputs[0]}}; },
    .gradient =
        [](GraphBuilder& builder, int index, const auto& gradients) {
          const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
          return std::vector{builder.add(scale, node.attributes, {gradients[0]}, builder.value(node.inputs[0]).shape)};
        },
    .value_at =
        [](KernelBuilder& kernel, const Node& node, const Point& point) {
          return kernel.read(node.inputs[0], point) * kernel.constant(node.attributes.real("factor"));
        },
    .samples = {{"images", {{Shape::batch, 3, 4, 5}}, {{"factor", 0.25}}},
                {"features", {{Shape::batch, 21}}, {{"factor", -3.0}}}},
};

}  // namespace netc::ops
