// conv: 2-d convolution with stride, padding, dilation, groups and bias.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/conv_gpu.h"
#include "compiler/ops/conv_lanes.h"
#include "compiler/ops/conv_passes.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"
#include "compiler/ops/window.h"

#include <fmt/format.h>

#include <optional>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes& attributes) {
  const Shape& x = inputs[0];
  const WindowShape slid = slide("conv", x, windows(attributes));
  if (slid.error) return {.error = slid.error};
  const std::int64_t channels = attributes.integer("channels");
  const std::int64_t groups = attributes.integer("groups");
  if (x[1] % groups != 0 || channels % groups != 0) {
    return {.error = ShapeError{"N206",
                                fmt::format("conv: groups = {} does not divide {} input and {} output channels", groups,
                                            x[1], channels),
                                "input " + to_string(x), "choose a number of groups that divides both"}};
  }
  const auto [height, width] = attributes.pair("kernel");
  const std::int64_t fan_in = x[1] / groups * height * width;
  const std::int64_t fan_out = channels * height * width;
  Inference result{.outputs = {{x[0], channels, slid.height, slid.width}}, .warnings = slid.warnings};
  const Initializer initializer{.rule = Initializer::Rule::fan_in_uniform};
  const Shape weight{channels, x[1] / groups, height, width};
  result.owned.push_back({"weight", Role::parameter, weight, {2, 3, 1, 0}, initializer, fan_in, fan_out});
  if (attributes.boolean("bias")) {
    result.owned.push_back({"bias", Role::parameter, {channels}, {}, initializer, fan_in, fan_out});
  }
  return result;
}

bool may_transform(const Graph& graph, const Node& node) {
  const Shape& weight = graph[node.inputs[1]].shape;
  return suits_winograd(windows(node.attributes), node.attributes.integer("groups"), weight[1], weight[0]);
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  return product_gradients(builder, node, gradients[0], conv_backward_data, conv_backward_weights, node.attributes);
}

Sample conv_sample(const std::string& name, std::int64_t in, std::int64_t out, const Attributes& other,
                   std::int64_t height = 9, std::int64_t width = 8) {
  Attributes attributes{{"channels", out},
                        {"kernel", std::int64_t{3}},
                        {"stride", std::int64_t{1}},
                        {"pad", std::int64_t{0}},
                        {"dilation", std::int64_t{1}},
                        {"groups", std::int64_t{1}},
                        {"bias", true}};
  for (const auto& [key, value] : other.all()) attributes.set(key, value);
  return {name, {{Shape::batch, in, height, width}}, attributes};
}

/// The forward pass's.
const Rounding& rounding_of(const Node& node) {
  switch (transforms_of(node)) {
    case Transforms::fast:
      return fast_rounding;
    case Transforms::bf16:
      return bf16_rounding;
    default:
      return exact_rounding;
  }
}

std::optional<WinogradConv> forward_winograd(const KernelBuilder& kernel, const Node& node) {
  if (!writes_channels(kernel)) return std::nullopt;
  const Windows w = windows(node.attributes);
  const Shape& in = kernel.shape(node.inputs[0]);
  const Rounding& rounding = rounding_of(node);
  const auto tile = winograd_tile(kernel, w, node.attributes.integer("groups"), in, kernel.shape(node.outputs[0]),
                                  rounding.most_points);
  if (!tile) return std::nullopt;
  return WinogradConv{tile->matrices(w.x),
                      node.outputs[0],
                      in[1],
                      tile->outputs * extent(w.x.stride),
                      tile->pad(w.y),
                      tile->pad(w.x),
                      tile->longest_part(rounding.longest_part),
                      transformed_factors(kernel, node, in[1])};
}

std::optional<LaneConv> forward_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.inputs[0], node.outputs[0], rounding_of(node));
}

/// The weights as direct sums read them.
Element direct_weights(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  Element weight = [&kernel, &node](const Expr& o, const Expr& i, const std::vector<Expr>& tap) {
    return kernel.parameter(node.inputs[1], {o, i, tap[1], tap[0]});
  };
  // Choice: such weights are prepared in f32, too, in the order of reading. Alternative: tasks read pieces of their
  // rows: 38 against 21 GB/s (512 to 512 channels of 3x3 in bf16, 2 threads, 2026-11). Where kernels for some
  // instruction sets prepare transforms, those for others prepare what they read.
  const bool prepares = reads_weights(kernel, node) || transforms_of(node) == Transforms::fast;
  const bool in_order = kernel.part() != Part::whole && node.attributes.integer("groups") == 1 && prepares;
  if (!factors.rounded() && !in_order) return weight;
  const Packing packing = weights_of(kernel, node, kernel.shape(node.outputs[0])[1], kernel.shape(node.inputs[1])[1]);
  return packed(kernel, factors, packing, tap_variables, weight);
}

void define_directly(KernelBuilder& kernel, const Node& node, const Factors& factors, const Func& padded,
                     const Expr& start) {
  const Windows w = windows(node.attributes);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const std::int64_t groups = node.attributes.integer("groups");
  const std::int64_t group_in = kernel.shape(node.inputs[1])[1];
  const Point at = kernel.point(shape);
  const Element weight = direct_weights(kernel, node, factors);
  const Expr first = groups == 1 ? Expr(0) : at.axes[0] / extent(shape[1] / groups) * extent(group_in);
  const auto term = [&](const Expr& i, const Expr& ky, const Expr& kx) {
    const Point read = at.with({first + i, read_by(at.axes[1], ky, w.y), read_by(at.axes[2], kx, w.x)});
    return factors.product(weight(at.axes[0], i, {kx, ky}), padded(kernel.arguments(read)));
  };
  WindowSum sum{start, group_in, term};
  if (w.y.pad > 0 && !kernel.few() && !kernel.machine().is_gpu()) {
    const std::int64_t height = kernel.shape(node.inputs[0])[2];
    sum.in_image = [&, height](const Expr& ky) { return inside(read_by(at.axes[1], ky, w.y), height); };
  }
  define_window_sum(kernel, node, factors, w, sum);
}

/// y[n, o, y, x] = bias[o] + sum over i, ky, kx of weight[o, i, ky, kx] * x[n, i, y * stride + ky * dilation - pad, …]
void forward(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  const bool bias = node.inputs.size() > 2;
  const Point at = kernel.point(kernel.shape(node.outputs[0]));
  const Expr start = bias ? kernel.parameter(node.inputs[2], {at.axes[0]}) : kernel.constant(0);
  if (const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::forward)) {
    return blocks->define(kernel, start);
  }
  const auto winograd = forward_winograd(kernel, node);
  const auto lanes = forward_in_lanes(kernel, node);
  const Factors factors = direct_factors(kernel, node, winograd || lanes);
  const bool around = winograd || (lanes ? lanes->reads_around() : pads(windows(node.attributes)));
  const Func padded = conv_images(kernel, factors, node.inputs[0], around);
  if (lanes) return lanes->define(kernel, node.outputs[0], padded, start, filter_of(kernel, factors, node));
  if (!winograd) return define_directly(kernel, node, factors, padded, start);
  define_by_winograd(kernel, *winograd, padded, start, filter_of(kernel, factors, node), node.inputs[1]);
}

void schedule_forward(KernelBuilder& kernel, const Node& node) {
  if (const auto lanes = forward_in_lanes(kernel, node)) {
    return schedule_padded(kernel, lanes->schedule(kernel), kernel.shape(node.inputs[0])[1]);
  }
  schedule_convolution(kernel, node, forward_winograd(kernel, node), 1, false);
}

void schedule_forward_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::forward);
  if (blocks) return blocks->schedule(kernel);
  schedule_images_on_gpu(kernel, node);
}

}  // namespace

const Operator conv{
    .name = "conv",
    .doc =
        "2-d convolution: y[n, o, y, x] = bias[o] + sum over i, ky, kx of weight[o, i, ky, kx] * x[n, i, y * stride + "
        "ky * dilation - pad, "
        "x * stride + kx * dilation - pad], where pixels outside are 0.",
    .attributes = {{"channels", AttributeType::integer, {}, "", 1, 2147483647, "output channels"},
                   {"kernel", AttributeType::pair, {}, "", 1, 2147483647, "height and width of the window"},
                   {"stride", AttributeType::pair, std::int64_t{1}, "", 1, 2147483647,
                    "pixels from one window to the next"},
                   {"pad", AttributeType::pair, std::int64_t{0}, "", 0, 2147483647, "zeros around the image"},
                   {"dilation", AttributeType::pair, std::int64_t{1}, "", 1, 2147483647,
                    "pixels from one tap of the window to the next"},
                   {"groups", AttributeType::integer, std::int64_t{1}, "", 1, 2147483647,
                    "channels are convolved in this many separate groups"},
                   {"bias", AttributeType::boolean, true, "", 0, 1, "whether a bias is added to each channel"}},
    .infer = infer,
    .macs = [](const Graph& graph,
               const Node& node) { return conv_macs(graph[node.inputs[1]].shape, graph[node.outputs[0]].shape); },
    .gradient = gradient,
    .algorithm = forward,
    .schedule = schedule_forward,
    .gpu_schedule = schedule_forward_on_gpu,
    .copies_rows = true,
    .reads_once = [](const Node&, std::size_t operand) { return operand == 0; },
    .computes_images = true,
    .multiplies_bf16 = true,
    .schedules_few = true,
    .prepares = true,
    .transforms = may_transform,
    .samples = {conv_sample("plain", 3, 8, {}),
                conv_sample("padded_strided", 5, 16, {{"stride", 2}, {"pad", 1}}),
                conv_sample("without_bias", 4, 6, {{"bias", false}}),
                conv_sample("dilated", 2, 33, {{"dilation", IntPair{2, 1}}, {"pad", IntPair{2, 0}}}),
                conv_sample("grouped", 4, 8, {{"groups", 2}, {"pad", 1}}),
                conv_sample("depthwise", 6, 6, {{"groups", 6}, {"stride", IntPair{1, 2}}, {"pad", 1}}),
                conv_sample("oblong", 3, 10,
                            {{"kernel", IntPair{1, 5}}, {"pad", IntPair{0, 2}}, {"stride", IntPair{3, 1}}}),
                conv_sample("wide", 17, 20, {{"pad", 1}}),
                conv_sample("wide_small", 16, 33, {{"pad", 1}}, 6, 3),
                conv_sample("many_weights", 32, 24, {{"pad", 1}}, 4, 3),
                conv_sample("wide_five", 16, 16, {{"kernel", IntPair{5, 5}}, {"pad", 2}, {"bias", false}}),
                conv_sample("wide_six", 16, 16, {{"pad", 1}}, 6, 6),
                conv_sample("whole_two", 16, 17, {{"pad", 1}}, 2, 2),
                conv_sample("whole_three", 17, 20, {{"pad", 1}}, 3, 3),
                conv_sample("whole_five", 16, 24, {{"pad", 1}}, 5, 5),
                conv_sample("whole_three_by_five", 18, 16, {{"kernel", IntPair{5, 5}}, {"pad", 2}}, 3, 3),
                conv_sample("wide_eight", 32, 32, {{"pad", 1}}, 8, 7),
                conv_sample("wide_strided", 16, 20, {{"stride", 2}, {"pad", 1}}, 11, 11),
                conv_sample("wide_strided_unpadded", 16, 24, {{"stride", 2}}, 7, 7),
                conv_sample("wide_five_strided", 17, 16, {{"kernel", IntPair{5, 5}}, {"stride", 2}, {"pad", 2}})},
};

}  // namespace netc::ops
