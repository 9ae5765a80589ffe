// conv_backward_weights: the gradients of conv with respect to its weight and its bias.
#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/conv_gpu.h"
#include "compiler/ops/conv_lanes.h"
#include "compiler/ops/conv_passes.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"
#include "compiler/ops/window.h"

#include <algorithm>
#include <optional>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

namespace {

std::optional<LaneConv> backward_weights_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.inputs[1], node.inputs[0], gradient_rounding);
}

/// dweight[o, i, ky, kx] = sum over n, y, x of dy[n, o, y, x] * x[n, i, y * stride + ky * dilation - pad, …], and
/// dbias[o] = sum over n, y, x of dy[n, o, y, x]; first by lane and block, then by slice of blocks, then whole.
///
/// Small images are taken several at a time, so that their sums are added to the slice less often; large weights are
/// one slice, whose channels are computed in parallel instead, so that the slices do not outgrow the caches.
struct Slicing {
  int images;  // blocks of images that are summed before they are added to a slice
  int slices;
};

Slicing slicing(const KernelBuilder& kernel, const Node& node) {
  const Shape& gradient = kernel.shape(node.inputs[0]);
  constexpr std::int64_t pixels = 64;
  constexpr std::int64_t elements = 1 << 17;
  const bool large = kernel.lanes() == 1 && kernel.shape(node.outputs[0]).elements() > elements;
  const std::int64_t images = kernel.lanes() > 1 ? 1 : std::max<std::int64_t>(1, pixels / (gradient[2] * gradient[3]));
  return {kernel.choice("images", extent(images), {1, 2, 4, 8, 16}),
          kernel.choice("slices", large ? 1 : slices, {1, slices / 2, slices})};
}

/// The gradient of the output, arguments as `variables`: a copy where it is computed, as every tap reads it.
Func output_gradient(KernelBuilder& kernel, const Factors& factors, ValueId value) {
  const Shape& shape = kernel.shape(value);
  Func gradient(kernel.name("gradient"));
  const Point at = kernel.point(shape);
  const bool on_gpu = kernel.machine().is_gpu();
  gradient(kernel.variables(shape)) =
      factors.rounded(on_gpu ? operand_on_gpu(kernel, value)(at) : kernel.read(value, at));
  if (kernel.computes(value) && !on_gpu) kernel.stage("output_gradient", gradient);
  return gradient;
}

void define_weights(KernelBuilder& kernel, const Node& node, const Factors& factors, const Func& dy,
                    const Func& padded) {
  const Windows w = windows(node.attributes);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Shape& gradient = kernel.shape(node.inputs[0]);
  const int group_out = extent(shape[0] / node.attributes.integer("groups"));
  const Var l = kernel.lane();
  const Var n = kernel.block();
  const Var s("s");
  const Var o = kernel.axis(0);
  const Var i = kernel.axis(1);
  const Var ky = kernel.axis(2);
  const Var kx = kernel.axis(3);
  const auto [images, parts] = slicing(kernel, node);
  RDom r(0, extent(gradient[3]), 0, extent(gradient[2]), 0, images, kernel.name("r"));
  const Expr image = n * images + r.z;
  if (images > 1) r.where(image < kernel.blocks());
  const Expr existing_image = images > 1 ? min(image, kernel.blocks() - 1) : image;
  const Expr y = read_by(r.y, ky, w.y);
  const Expr x = read_by(r.x, kx, w.x);
  // The last vector of output channels may reach beyond them; its sums there are never read.
  const bool whole = kernel.lanes() > 1 || shape[0] % vector_extent(kernel.machine(), shape[0]) == 0;
  const Expr existing = whole ? Expr(o) : min(likely(o), extent(shape[0]) - 1);
  const Expr channel = node.attributes.integer("groups") == 1 ? Expr(i) : existing / group_out * extent(shape[1]) + i;
  const Expr runs = ceil_div(kernel.blocks(), images);
  const Expr per_slice = ceil_div(runs, parts);

  Func block(kernel.name("block"));
  block(l, kx, ky, i, o, n) = kernel.constant(0);
  block(l, kx, ky, i, o, n) +=
      factors.product(dy(l, r.x, r.y, existing, existing_image), padded(l, x, y, channel, existing_image));
  RDom b(0, per_slice, kernel.name("b"));
  b.where(s * per_slice + b < runs);
  Func slice(kernel.name("slice"));
  slice(l, kx, ky, i, o, s) = kernel.constant(0);
  slice(l, kx, ky, i, o, s) += block(l, kx, ky, i, o, min(s * per_slice + b, runs - 1));
  const RDom all(0, kernel.lanes(), 0, parts, kernel.name("all"));
  Func weight(kernel.name("weight"));
  weight(kx, ky, i, o) = kernel.constant(0);
  weight(kx, ky, i, o) += slice(all.x, kx, ky, i, o, all.y);
  kernel.stage("block", block);
  kernel.stage("slice", slice);
  kernel.define(node.outputs[0], weight);
}

/// The same on a GPU: a thread sums an element over a part of all rows of images, a second one adds up the parts. There
/// are as many parts as it takes to give every processor something to do, whatever the batch.
void define_weights_in_parts(KernelBuilder& kernel, const Node& node, const Factors& factors, const Func& dy,
                             const Func& padded) {
  constexpr std::int64_t threads = 1 << 17;
  constexpr std::int64_t most_parts = 256;
  const Windows w = windows(node.attributes);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Shape& gradient = kernel.shape(node.inputs[0]);
  const int parts = extent(std::clamp<std::int64_t>(ceil_div(threads, shape.elements()), 1, most_parts));
  const int height = extent(gradient[2]);
  const int group_out = extent(shape[0] / node.attributes.integer("groups"));
  const Var s("s"), o = kernel.axis(0), i = kernel.axis(1), ky = kernel.axis(2), kx = kernel.axis(3);
  const Expr rows = kernel.blocks() * height;
  const Expr per_part = ceil_div(rows, parts);
  RDom r(0, kernel.lanes(), 0, extent(gradient[3]), 0, per_part, kernel.name("r"));
  r.where(s * per_part + r.z < rows);
  const Expr row = min(s * per_part + r.z, rows - 1);
  const Expr image = row / height;
  const Expr y = row % height;
  const Expr channel = o / group_out * extent(shape[1]) + i;
  Func part(kernel.name("part"));
  part(o, i, kx, ky, s) = kernel.constant(0);
  const Expr x = padded(r.x, read_by(r.y, kx, w.x), read_by(y, ky, w.y), channel, image);
  part(o, i, kx, ky, s) += factors.product(dy(r.x, r.y, y, o, image), x);
  const RDom all(0, parts, kernel.name("all"));
  Func weight(kernel.name("weight"));
  weight(kx, ky, i, o) = kernel.constant(0);
  weight(kx, ky, i, o) += part(o, i, kx, ky, all);
  kernel.define(node.outputs[0], weight);
}

std::optional<WinogradWeights> winograd_weights(const KernelBuilder& kernel, const Node& node) {
  const Windows w = windows(node.attributes);
  const auto tile = winograd_tile(kernel, w, node.attributes.integer("groups"), kernel.shape(node.inputs[1]),
                                  kernel.shape(node.inputs[0]), gradient_rounding.most_points);
  if (!tile) return std::nullopt;
  return WinogradWeights{tile->matrices(w.x), node.outputs[0], node.inputs[0], tile->pad(w.y), tile->pad(w.x)};
}

void backward_weights(KernelBuilder& kernel, const Node& node) {
  const auto winograd = winograd_weights(kernel, node);
  const Factors factors(kernel, node, 1, false);
  const auto lanes = backward_weights_in_lanes(kernel, node);
  const bool around = winograd || (lanes ? lanes->reads_around() : pads(windows(node.attributes)));
  const Func padded = conv_images(kernel, factors, node.inputs[1], around);
  const Func dy = output_gradient(kernel, factors, node.inputs[0]);
  if (lanes) {
    lanes->define_weights(kernel, node.outputs[0], padded, dy);
  } else if (winograd) {
    define_weights_by_winograd(kernel, *winograd, padded, dy);
  } else if (const auto product = TensorProduct::of(kernel, node)) {
    product->define(kernel);
  } else if (const auto blocks = BlockWeights::of(kernel, node)) {
    blocks->define(kernel);
  } else if (kernel.machine().is_gpu()) {
    define_weights_in_parts(kernel, node, factors, dy, padded);
  } else {
    define_weights(kernel, node, factors, dy, padded);
  }
  if (node.outputs.size() == 1) return;
  const auto gradient = [&](const Point& at) { return Terms{kernel.read(node.inputs[0], at)}; };
  kernel.define(node.outputs[1], channel_sums(kernel, "bias", kernel.shape(node.inputs[0]), gradient));
}

/// So many output channels by up to `most` input channels; where there are few of those, by columns and rows of the
/// kernel.
Tile taps_tile(const KernelBuilder& kernel, const Shape& shape, int channels, int most) {
  const int many = divisor(shape[1], most / 3 * 2);
  const int inputs = kernel.choice("inputs", many * 2 > most / 2 ? many : 1, divisors(shape[1], most));
  if (inputs > 1) return {{kernel.axis(0), channels}, {kernel.axis(1), inputs}};
  const int columns = kernel.choice("tap_columns", divisor(shape[3], most), divisors(shape[3], most));
  const int rows = kernel.choice("tap_rows", divisor(shape[2], most / columns), divisors(shape[2], most / columns));
  return {{kernel.axis(0), channels}, {kernel.axis(3), columns}, {kernel.axis(2), rows}};
}

/// What the weights' gradient reads copies of.
void schedule_operands(KernelBuilder& kernel, const Node& node, const CopyPlace& at) {
  const std::vector<std::string> copies{"output_gradient", "padded"};
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (kernel.has_stage(copies[i]))
      schedule_copy(kernel, kernel.stage(copies[i]), at, kernel.shape(node.inputs[i])[1]);
  }
}

/// With lanes a tile is columns of the kernel by output channels, otherwise vectors of output channels by input
/// channels.
void schedule_direct_weights(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Machine& machine = kernel.machine();
  Func block = kernel.stage("block");
  Func slice = kernel.stage("slice");
  Func weight = kernel.defined(node.outputs[0]);
  const Var s("s");
  const RVar b = slice.rvars(0)[0];
  const bool lanes = kernel.lanes() > 1;
  const int rows = machine.accumulators * machine.vector / kernel.lanes();
  const int vector = vector_extent(machine, shape[0]);
  Tile tile;
  if (lanes) {
    const int columns = kernel.choice("tap_columns", divisor(shape[3], std::min(rows, 5)), divisors(shape[3], rows));
    const int channels =
        kernel.choice("channels", divisor(shape[0], rows / columns), divisors(shape[0], rows / columns));
    tile = {{kernel.lane(), kernel.lanes()}, {kernel.axis(3), columns}, {kernel.axis(0), channels}};
  } else {
    const bool even = shape[0] % (2 * vector) == 0;
    const std::int64_t most = shape[0] % vector == 0 ? shape[0] / vector : 1;
    const int vectors = kernel.choice("vectors", even ? 2 : 1, divisors(most, 4));
    tile = taps_tile(kernel, shape, vectors * vector, machine.accumulators / vectors);
  }
  const int wide = lanes ? machine.vector : vector;
  std::vector<Var> storage = slice.args();
  std::stable_partition(storage.begin(), storage.end(), [&](const Var& v) { return v.same_as(tile[0].variable); });
  slice.compute_root()
      .reorder_storage(storage)
      .reorder(as_loops(storage))
      .vectorize(tile[0].variable, wide)
      .parallel(s);
  const bool whole = slicing(kernel, node).slices == 1;
  schedule_tiled_update(block, slice, tile, wide, b, s, whole);
  schedule_operands(kernel, node, {Halide::LoopLevel(slice, b), false});
  const Var o = kernel.axis(0);
  kernel.out()
      .compute_root()
      .reorder(o, kernel.axis(3), kernel.axis(2), kernel.axis(1))
      .vectorize(o, vector)
      .parallel(kernel.axis(1));
  weight.compute_at(kernel.out(), o).vectorize(o, vector);
  weight.update().reorder(o, weight.rvars(0)[0], weight.rvars(0)[1]).vectorize(o, vector);
}

void schedule_weights(KernelBuilder& kernel, const Node& node) {
  if (const auto lanes = backward_weights_in_lanes(kernel, node)) {
    schedule_operands(kernel, node, {lanes->schedule_weights(kernel, node.outputs[0]), false});
  } else if (const auto conv = winograd_weights(kernel, node)) {
    schedule_operands(kernel, node, schedule_weights_by_winograd(kernel, *conv));
  } else {
    schedule_direct_weights(kernel, node);
  }
  if (node.outputs.size() == 1) return;
  kernel.out(1).compute_root();
  schedule_channel_sums(kernel, "bias");
}

void schedule_weights_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) {
    product->schedule(kernel);
  } else if (const auto blocks = BlockWeights::of(kernel, node)) {
    blocks->schedule(kernel);
  }
  if (node.outputs.size() > 1) schedule_channel_sums_on_gpu(kernel, "bias");
}

}  // namespace

const Operator conv_backward_weights{
    .name = "conv_backward_weights",
    .doc = "The gradients of conv with respect to its weight and, where there is one, its bias.",
    .in_language = false,
    .inputs = 2,
    .macs = [](const Graph& graph,
               const Node& node) { return conv_macs(graph[node.outputs[0]].shape, graph[node.inputs[0]].shape); },
    .algorithm = backward_weights,
    .schedule = schedule_weights,
    .gpu_schedule = schedule_weights_on_gpu,
    .copies_rows = true,
    .reads_once = [](const Node&, std::size_t operand) { return operand <= 1; },
    .multiplies_bf16 = true,
};

}  // namespace netc::ops
