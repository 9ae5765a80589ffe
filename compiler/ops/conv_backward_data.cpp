// conv_backward_data: the gradient of conv with respect to its input.
#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/conv_gpu.h"
#include "compiler/ops/conv_lanes.h"
#include "compiler/ops/conv_passes.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"
#include "compiler/ops/window.h"

#include <optional>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;

namespace {

/// The gradient with respect to the input.
std::optional<WinogradConv> backward_winograd(const KernelBuilder& kernel, const Node& node) {
  if (!writes_channels(kernel)) return std::nullopt;
  const Windows w = windows(node.attributes);
  const Shape& dy = kernel.shape(node.inputs[0]);
  const auto tile = winograd_tile(kernel, w, node.attributes.integer("groups"), kernel.shape(node.outputs[0]), dy,
                                  gradient_rounding.most_points);
  if (!tile) return std::nullopt;
  const WinogradGradient along_x = tile->gradient(w.x);
  return WinogradConv{along_x.matrices,
                      node.outputs[0],
                      dy[1],
                      tile->outputs,
                      tile->gradient(w.y).before,
                      along_x.before,
                      tile->longest_part(gradient_rounding.longest_part),
                      transformed_factors(kernel, node, dy[1])};
}

std::optional<LaneConv> backward_data_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.outputs[0], node.inputs[0], gradient_rounding);
}

/// The output that reads input `at` through tap `k`, in units of 1 / stride: only whole ones exist.
Expr reading(const Expr& at, const Expr& k, const Window& w) {
  return at + extent(w.pad) - k * extent(w.dilation);
}

/// Whether the gradient with respect to images that lie side by side sums whole rows in registers, so that it is known
/// of each column which taps read nothing but zeros: where many do.
bool whole_rows(const KernelBuilder& kernel, const Node& node) {
  const Window w = windows(node.attributes).x;
  const std::int64_t columns = kernel.shape(node.outputs[0])[3];
  const std::int64_t read = kernel.shape(node.inputs[0])[3] * w.kernel;
  const int registers = kernel.machine().accumulators * kernel.machine().vector / kernel.lanes();
  const bool possible = kernel.lanes() > 1 && w.stride == 1 && columns <= registers;
  const bool pays = possible && read * 5 < columns * w.kernel * 4;
  return possible && kernel.choice("whole_rows", pays ? 1 : 0, {0, 1}) == 1;
}

/// The weights with what is summed first. Where they are read one by one anyway, and as they are, there is no copy.
Element transposed_weights(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  Element weight = [&kernel, &node](const Expr& i, const Expr& o, const std::vector<Expr>& tap) {
    return kernel.parameter(node.inputs[1], {o, i, tap[1], tap[0]});
  };
  if (kernel.lanes() > 1 && !factors.rounded()) return weight;
  const Shape& shape = kernel.shape(node.inputs[1]);
  return packed(kernel, factors, weights_of(kernel, node, shape[1], shape[0]), tap_variables, weight);
}

void define_directly(KernelBuilder& kernel, const Node& node, const Factors& factors, const Func& padded,
                     const Element& weight, bool around) {
  const Windows w = windows(node.attributes);
  const Shape& weights = kernel.shape(node.inputs[1]);
  const int groups = extent(node.attributes.integer("groups"));
  const int group_in = extent(weights[1]);
  const int group_out = extent(weights[0]) / groups;
  const int stride_y = extent(w.y.stride);
  const int stride_x = extent(w.x.stride);
  const Point at = kernel.point(kernel.shape(node.outputs[0]));
  const Expr first = groups == 1 ? Expr(0) : at.axes[0] / group_in * group_out;
  const Expr i = groups == 1 ? at.axes[0] : at.axes[0] % group_in;
  const auto term = [&](const Expr& o, const Expr& ky, const Expr& kx) {
    const Expr y = reading(at.axes[1], ky, w.y) / stride_y;
    const Expr x = reading(at.axes[2], kx, w.x) / stride_x;
    return factors.product(weight(i, first + o, {kx, ky}), padded(kernel.arguments(at.with({first + o, y, x}))));
  };
  WindowSum sum{kernel.constant(0), group_out, term};
  if (stride_y > 1 || stride_x > 1) {
    sum.exists = [&](const Expr& ky, const Expr& kx) {
      return reading(at.axes[1], ky, w.y) % stride_y == 0 && reading(at.axes[2], kx, w.x) % stride_x == 0;
    };
  } else if (around && !kernel.machine().is_gpu()) {
    const Shape& dy = kernel.shape(node.inputs[0]);
    sum.in_image = [&](const Expr& ky) { return inside(reading(at.axes[1], ky, w.y), dy[2]); };
    const auto in_row = [&](const Expr& kx) { return inside(reading(at.axes[2], kx, w.x), dy[3]); };
    if (whole_rows(kernel, node)) sum.in_row = in_row;
  }
  define_window_sum(kernel, node, factors, w, sum);
}

/// dx[n, i, y, x] = sum over o, ky, kx of weight[o, i, ky, kx] * dy[n, o, (y + pad - ky * dilation) / stride, …]
void backward_data(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  if (const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::backward)) {
    return blocks->define(kernel, kernel.constant(0));
  }
  const Windows w = windows(node.attributes);
  const auto winograd = backward_winograd(kernel, node);
  const auto lanes = backward_data_in_lanes(kernel, node);
  const bool around = !lanes && (pads(w) || w.y.kernel > 1 || w.x.kernel > 1);
  const Factors factors = direct_factors(kernel, node, winograd || lanes);
  const Func padded = conv_images(kernel, factors, node.inputs[0], winograd || around);
  if (lanes) return lanes->define_data(kernel, node.outputs[0], padded, filter_of(kernel, factors, node));
  const Element weight = transposed_weights(kernel, node, factors);
  if (!winograd) return define_directly(kernel, node, factors, padded, weight, around);
  const auto tap = [&](const Expr& k, const Expr& c, const Expr& ky, const Expr& kx) { return weight(k, c, {kx, ky}); };
  define_by_winograd(kernel, *winograd, padded, kernel.constant(0), tap, node.inputs[1]);
}

void schedule_backward_data(KernelBuilder& kernel, const Node& node) {
  if (const auto lanes = backward_data_in_lanes(kernel, node)) {
    return schedule_padded(kernel, lanes->schedule_data(kernel, node.outputs[0]), kernel.shape(node.inputs[0])[1]);
  }
  schedule_convolution(kernel, node, backward_winograd(kernel, node), windows(node.attributes).x.stride,
                       whole_rows(kernel, node));
}

/// Columns that a stride apart read through the same taps have no tiles: which taps exist differs from one to the next.
void schedule_backward_data_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::backward);
  if (blocks) return blocks->schedule(kernel);
  const Windows w = windows(node.attributes);
  if (w.y.stride == 1 && w.x.stride == 1) schedule_images_on_gpu(kernel, node);
}

}  // namespace

const Operator conv_backward_data{
    .name = "conv_backward_data",
    .doc = "The gradient of conv with respect to its input: a gather over the outputs that read each pixel.",
    .in_language = false,
    .inputs = 2,
    .macs = [](const Graph& graph,
               const Node& node) { return conv_macs(graph[node.inputs[1]].shape, graph[node.inputs[0]].shape); },
    .algorithm = backward_data,
    .schedule = schedule_backward_data,
    .gpu_schedule = schedule_backward_data_on_gpu,
    .copies_rows = true,
    .reads_once = [](const Node&, std::size_t operand) { return operand == 0; },
    .multiplies_bf16 = true,
};

}  // namespace netc::ops
