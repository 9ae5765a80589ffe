// conv: 2-d convolution with stride, padding, dilation, groups and bias, and its gradients.
#include "compiler/gpu_schedules.h"
#include "compiler/graph_builder.h"
#include "compiler/kernel_builder.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/conv_gpu.h"
#include "compiler/ops/conv_lanes.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"
#include "compiler/ops/window.h"
#include "compiler/precision.h"
#include "compiler/schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

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

/// Multiply-adds of a convolution with these weights and outputs; the gradients have as many.
std::int64_t macs(const Shape& weight, const Shape& y) {
  return weight.elements() * y[2] * y[3];
}

/// Whether Winograd's algorithm may be for such windows and so many channels.
bool may_transform(const Graph& graph, const Node& node) {
  constexpr std::int64_t channels = 16;
  const Shape& weight = graph[node.inputs[1]].shape;
  const bool square = weight[2] == weight[3] && (weight[2] == 3 || weight[2] == 5);
  return square && weight[0] >= channels && weight[1] >= channels && node.attributes.integer("groups") == 1;
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

// ---- Algorithms ----------------------------------------------------------------------------------------------------

bool pads(const Windows& w) {
  return w.y.pad > 0 || w.x.pad > 0;
}

/// The input's row or column that output `at` reads through tap `k`.
Expr read_by(const Expr& at, const Expr& k, const Window& w) {
  return at * extent(w.stride) + k * extent(w.dilation) - extent(w.pad);
}

Expr inside(const Expr& at, std::int64_t extent_of_image) {
  return at >= 0 && at < extent(extent_of_image);
}

/// `value`, arguments as `variables`; where the windows reach `around` the images, a copy with zeros there. A copy,
/// too, where its lanes are not the kernel's, so that elements are put side by side once, and where they are rounded or
/// computed.
Func images(KernelBuilder& kernel, const Factors& factors, ValueId value, bool around) {
  const Shape& shape = kernel.shape(value);
  const Point at = kernel.point(shape);
  if (!around && factors.in_place(kernel, value) && kernel.layout(value).lanes == kernel.lanes()) {
    Func image(kernel.name("image"));
    image(kernel.variables(shape)) = factors.read(kernel, value, at);
    return image;
  }
  const Expr& y = at.axes[1];
  const Expr& x = at.axes[2];
  const int height = extent(shape[2]);
  const int width = extent(shape[3]);
  const Expr element =
      factors.read(kernel, value, at.with({at.axes[0], clamp(y, 0, height - 1), clamp(x, 0, width - 1)}));
  Func padded(kernel.name("padded"));
  padded(kernel.variables(shape)) = select(inside(y, height) && inside(x, width), element, cast(element.type(), 0));
  kernel.stage("padded", padded);
  return padded;
}

/// The sum of a convolution, over channels and taps.
struct WindowSum {
  Expr start;
  std::int64_t channels;
  std::function<Expr(const Expr& i, const Expr& ky, const Expr& kx)> term;
  std::function<Expr(const Expr& ky, const Expr& kx)> exists{};  // where only some taps have terms
  std::function<Expr(const Expr& ky)> in_image{};                // where some rows of taps read nothing but zeros
  std::function<Expr(const Expr& kx)> in_row{};                  // the same of columns, where whole_rows
};

/// Defines the output as this sum. Long ones have parts (see part_extent): some channels through one tap, of pairs
/// whole ones; on a GPU a thread adds up all terms.
void define_sum(KernelBuilder& kernel, const Node& node, const Factors& factors, const Windows& w,
                const WindowSum& of) {
  const std::vector<Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  const bool whole = of.exists || kernel.machine().is_gpu();
  int channels = whole ? 1 : part_extent(of.channels, of.channels * w.y.kernel * w.x.kernel);
  if (kernel.few() && channels > 1) channels = divisor(channels, 32);
  if (channels % factors.together() != 0) channels = 1;
  const Var p("p");
  const Var ky("ky");
  const Var kx("kx");
  std::vector<Var> part_at = at;
  part_at.insert(part_at.end(), {p, kx, ky});
  Func part(kernel.name("part"));
  if (channels == 1) {
    part(part_at) = of.term(p, ky, kx);
  } else {
    const RDom i(0, channels, kernel.name("i"));
    part(part_at) = kernel.constant(0);
    part(part_at) += of.term(p * channels + i, ky, kx);
  }
  RDom r(0, extent(of.channels / channels), 0, extent(w.x.kernel), 0, extent(w.y.kernel), kernel.name("r"));
  if (of.exists) r.where(of.exists(r.z, r.y));
  if (of.in_image) r.where(of.in_image(r.z));
  if (of.in_row) r.where(of.in_row(r.y));
  std::vector<Expr> of_part(at.begin(), at.end());
  of_part.insert(of_part.end(), {r.x, r.y, r.z});
  Func sum(kernel.name("sum"));
  sum(at) = of.start;
  sum(at) += part(of_part);
  kernel.stage("part", part);
  kernel.define(node.outputs[0], sum);
}

/// How much Winograd's algorithm may round.
struct Rounding {
  int most_points;   // of a phase in a row of a tile: F(4, 3) and F(2, 5) have 6, F(6, 3) and F(4, 5) have 8
  int longest_part;  // channels that are summed before they are added up; weights' gradients sum over tiles instead
};

/// Choice: the forward pass takes F(2, 5) for 5x5 windows, 5e-7 off relative to the norm, which is within twice of
/// direct sums; gradients take F(6, 3) and F(4, 5), 1.5e-6 off. Alternative: those for both; then rounding decides more
/// often in the forward pass what relu and max let through, and gradients of whole networks are off by 1e-3; in
/// evaluation they are no faster (VGG-11/4, 32 images, 2 threads: 103 ms, 80.5 without; 2026-11). For the same reason
/// training sums short parts, which cost a tenth of the time.
constexpr Rounding exact_rounding{6, 16};
constexpr Rounding fast_rounding{6, 64};
constexpr Rounding gradient_rounding{8, 64};
/// Where transforms are rounded to bf16, what sums lose is nothing beside it.
constexpr Rounding bf16_rounding{6, 256};

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

/// What is multiplied by Winograd's algorithm over so many channels.
Factors transformed_factors(const KernelBuilder& kernel, const Node& node, std::int64_t channels) {
  return transforms_of(node) == Transforms::bf16 ? Factors(kernel, node, channels, true) : Factors(kernel);
}

/// Whether the output is written in vectors of channels: not where it is handed out row by row.
bool writes_channels(const KernelBuilder& kernel) {
  return kernel.pools() || kernel.layout(kernel.output()).strides[0] == 1;
}

std::optional<WinogradConv> forward_winograd(const KernelBuilder& kernel, const Node& node) {
  if (!writes_channels(kernel)) return std::nullopt;
  const Windows w = windows(node.attributes);
  const Shape& in = kernel.shape(node.inputs[0]);
  const Rounding& rounding = rounding_of(node);
  const auto outputs = winograd_outputs(kernel, w, node.attributes.integer("groups"), in, kernel.shape(node.outputs[0]),
                                        rounding.most_points);
  if (!outputs) return std::nullopt;
  const int stride = extent(w.x.stride);
  return WinogradConv{winograd(*outputs, extent(w.x.kernel), stride),
                      node.outputs[0],
                      in[1],
                      *outputs * stride,
                      extent(w.y.pad),
                      extent(w.x.pad),
                      rounding.longest_part,
                      transformed_factors(kernel, node, in[1])};
}

/// The gradient with respect to the input.
std::optional<WinogradConv> backward_winograd(const KernelBuilder& kernel, const Node& node) {
  if (!writes_channels(kernel)) return std::nullopt;
  const Windows w = windows(node.attributes);
  const Shape& dy = kernel.shape(node.inputs[0]);
  const auto outputs = winograd_outputs(kernel, w, node.attributes.integer("groups"), kernel.shape(node.outputs[0]), dy,
                                        gradient_rounding.most_points);
  if (!outputs) return std::nullopt;
  const auto gradient = [&](const Window& window) {
    return winograd_gradient(*outputs, extent(window.kernel), extent(window.stride), extent(window.pad));
  };
  const WinogradGradient along_x = gradient(w.x);
  return WinogradConv{along_x.matrices,
                      node.outputs[0],
                      dy[1],
                      *outputs,
                      gradient(w.y).before,
                      along_x.before,
                      gradient_rounding.longest_part,
                      transformed_factors(kernel, node, dy[1])};
}

/// The convolution of images that lie side by side in vectors.
std::optional<LaneConv> lane_conv(const KernelBuilder& kernel, const Node& node, ValueId image, ValueId output,
                                  const Rounding& rounding) {
  return LaneConv::of(kernel, windows(node.attributes), node.attributes.integer("groups"), kernel.shape(image),
                      kernel.shape(output), rounding.most_points);
}

std::optional<LaneConv> forward_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.inputs[0], node.outputs[0], rounding_of(node));
}

std::optional<LaneConv> backward_data_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.outputs[0], node.inputs[0], gradient_rounding);
}

std::optional<LaneConv> backward_weights_in_lanes(const KernelBuilder& kernel, const Node& node) {
  return lane_conv(kernel, node, node.inputs[1], node.inputs[0], gradient_rounding);
}

/// The weights as Winograd's algorithm transforms them.
WinogradFilter filter_of(KernelBuilder& kernel, const Factors& factors, const Node& node) {
  return [&](const Expr& k, const Expr& c, const Expr& ky, const Expr& kx) {
    return factors.rounded(kernel.parameter(node.inputs[1], {k, c, ky, kx}));
  };
}

const std::vector<Var> taps{Var("kx"), Var("ky")};

/// The weights of a sum of so many terms, with so many of them along a vector.
Packing weights_of(const KernelBuilder& kernel, const Node& node, std::int64_t along, std::int64_t terms) {
  const Shape& weight = kernel.shape(node.inputs[1]);
  return {node.inputs[1], along, terms, {weight[3], weight[2]}, kernel.few()};
}

/// Of sums over the channels of the second operand: both passes through the images.
Factors direct_factors(const KernelBuilder& kernel, const Node& node, bool winograd) {
  if (winograd && transforms_of(node) == Transforms::bf16) return Factors(kernel);
  return {kernel, node, kernel.shape(node.inputs[0])[1], !winograd && node.attributes.integer("groups") == 1};
}

/// Whether a few images have so many weights that reading them takes longer than all else.
bool reads_weights(const KernelBuilder& kernel, const Node& node) {
  return kernel.few() && kernel.shape(node.inputs[1]).elements() > 4 * kernel.shape(node.inputs[0]).elements();
}

/// y[n, o, y, x] = bias[o] + sum over i, ky, kx of weight[o, i, ky, kx] * x[n, i, y * stride + ky * dilation - pad, …]
void forward(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  const Windows w = windows(node.attributes);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const std::int64_t group_in = kernel.shape(node.inputs[1])[1];
  const std::int64_t groups = node.attributes.integer("groups");
  const Point at = kernel.point(shape);
  const bool bias = node.inputs.size() > 2;
  const Expr start = bias ? kernel.parameter(node.inputs[2], {at.axes[0]}) : kernel.constant(0);
  if (const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::forward)) {
    return blocks->define(kernel, start);
  }
  const auto winograd = forward_winograd(kernel, node);
  const auto lanes = forward_in_lanes(kernel, node);
  const Factors factors = direct_factors(kernel, node, winograd || lanes);
  const Func padded = images(kernel, factors, node.inputs[0], winograd || (lanes ? lanes->reads_around() : pads(w)));
  if (lanes) return lanes->define(kernel, node.outputs[0], padded, start, filter_of(kernel, factors, node));
  if (winograd) {
    return define_by_winograd(kernel, *winograd, padded, start, filter_of(kernel, factors, node), node.inputs[1]);
  }
  Element weight = [&](const Expr& o, const Expr& i, const std::vector<Expr>& tap) {
    return kernel.parameter(node.inputs[1], {o, i, tap[1], tap[0]});
  };
  // Choice: such weights are prepared in f32, too, in the order of reading. Alternative: tasks read pieces of their
  // rows: 38 against 21 GB/s (512 to 512 channels of 3x3 in bf16, 2 threads, 2026-11).
  const bool in_order = kernel.part() != Part::whole && groups == 1 && reads_weights(kernel, node);
  if (factors.rounded() || in_order)
    weight = packed(kernel, factors, weights_of(kernel, node, shape[1], group_in), taps, weight);
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
  define_sum(kernel, node, factors, w, sum);
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

/// dx[n, i, y, x] = sum over o, ky, kx of weight[o, i, ky, kx] * dy[n, o, (y + pad - ky * dilation) / stride, …]
void backward_data(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  if (const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::backward)) {
    return blocks->define(kernel, kernel.constant(0));
  }
  const Windows w = windows(node.attributes);
  const Shape& weight = kernel.shape(node.inputs[1]);
  const int groups = extent(node.attributes.integer("groups"));
  const int group_in = extent(weight[1]);
  const int group_out = extent(weight[0]) / groups;
  const int stride_y = extent(w.y.stride);
  const int stride_x = extent(w.x.stride);
  const Point at = kernel.point(kernel.shape(node.outputs[0]));
  const auto winograd = backward_winograd(kernel, node);
  const auto lanes = backward_data_in_lanes(kernel, node);
  const bool around = !lanes && (pads(w) || w.y.kernel > 1 || w.x.kernel > 1);
  const Factors factors = direct_factors(kernel, node, winograd || lanes);
  const Func padded = images(kernel, factors, node.inputs[0], winograd || around);
  if (lanes) return lanes->define_data(kernel, node.outputs[0], padded, filter_of(kernel, factors, node));
  const auto element = [&](const Expr& i, const Expr& o, const std::vector<Expr>& tap) {
    return kernel.parameter(node.inputs[1], {o, i, tap[1], tap[0]});
  };
  // Where they are read one by one anyway, and as they are, there is no copy.
  const bool copied = kernel.lanes() == 1 || factors.rounded();
  const Element transposed =
      copied ? packed(kernel, factors, weights_of(kernel, node, group_in, weight[0]), taps, element) : Element(element);
  if (winograd) {
    const auto tap = [&](const Expr& k, const Expr& c, const Expr& ky, const Expr& kx) {
      return transposed(k, c, {kx, ky});
    };
    return define_by_winograd(kernel, *winograd, padded, kernel.constant(0), tap, node.inputs[1]);
  }
  const Expr first = groups == 1 ? Expr(0) : at.axes[0] / group_in * group_out;
  const Expr i = groups == 1 ? at.axes[0] : at.axes[0] % group_in;
  const auto term = [&](const Expr& o, const Expr& ky, const Expr& kx) {
    const Expr y = reading(at.axes[1], ky, w.y) / stride_y;
    const Expr x = reading(at.axes[2], kx, w.x) / stride_x;
    return factors.product(transposed(i, first + o, {kx, ky}), padded(kernel.arguments(at.with({first + o, y, x}))));
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
  define_sum(kernel, node, factors, w, sum);
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
  const auto outputs = winograd_outputs(kernel, w, node.attributes.integer("groups"), kernel.shape(node.inputs[1]),
                                        kernel.shape(node.inputs[0]), gradient_rounding.most_points);
  if (!outputs) return std::nullopt;
  return WinogradWeights{winograd(*outputs, extent(w.x.kernel), extent(w.x.stride)), node.outputs[0], node.inputs[0],
                         extent(w.y.pad), extent(w.x.pad)};
}

void backward_weights(KernelBuilder& kernel, const Node& node) {
  const auto winograd = winograd_weights(kernel, node);
  const Factors factors(kernel, node, 1, false);
  const auto lanes = backward_weights_in_lanes(kernel, node);
  const bool around = winograd || (lanes ? lanes->reads_around() : pads(windows(node.attributes)));
  const Func padded = images(kernel, factors, node.inputs[1], around);
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

// ---- Schedules -----------------------------------------------------------------------------------------------------

/// A copy of the images that the loop `at` reads: all channels, in vectors of channels or of images.
void schedule_copy(KernelBuilder& kernel, Func copy, const CopyPlace& at, std::int64_t channels) {
  const Var c = kernel.axis(1);
  copy.compute_at(at.loop).bound(c, 0, extent(channels));
  if (at.parallel) copy.parallel(kernel.block());
  if (kernel.lanes() > 1) {
    copy.vectorize(kernel.lane(), kernel.machine().vector);
  } else {
    copy.reorder(c, kernel.axis(3), kernel.axis(2)).reorder_storage(c, kernel.axis(3), kernel.axis(2));
    copy.vectorize(c, vector_extent(kernel.machine(), channels), Halide::TailStrategy::ShiftInwards);
  }
}

/// That of the images with zeros around them, where there is one.
void schedule_padded(KernelBuilder& kernel, const Halide::LoopLevel& at, std::int64_t channels) {
  if (kernel.has_stage("padded")) schedule_copy(kernel, kernel.stage("padded"), {at, false}, channels);
}

/// Of the tiles of channels, columns and rows that fit into registers the one with the most sums for each element read.
Tile few_tile(const KernelBuilder& kernel, const Shape& shape) {
  const Machine& machine = kernel.machine();
  const int vector = vector_extent(machine, shape[1]);
  Tile best;
  double most = 0;
  for (int vectors : {1, 2, 4}) {
    if (shape[1] % (vectors * vector) != 0 && vectors > 1) continue;
    const int columns = divisor(shape[3], machine.accumulators / vectors);
    const int rows = divisor(shape[2], machine.accumulators / vectors / columns);
    const double reads = 1.0 / vectors + 1.0 / (columns * rows);
    if (1 / reads <= most) continue;
    most = 1 / reads;
    best = {{kernel.axis(1), vectors * vector}, {kernel.axis(3), columns}, {kernel.axis(2), rows}};
  }
  return best;
}

/// The copy of the weights where there is one: once a call, or of pairs for a few images those that a tile needs.
/// Rounded weights that a few images read in vectors are none.
void schedule_weights_copy(KernelBuilder& kernel, const Factors& factors, const Func& sum, const Tile& tile,
                           int vector) {
  if (!kernel.has_stage("weights")) return;
  const Func part = kernel.stage("part");
  const Func adding = part.has_update_definition() ? part : sum;
  if (!kernel.few()) {
    schedule_packed(kernel, factors, "weights");
  } else if (factors.pairs()) {
    const RVar pair = loop_over_terms(adding.rvars(0)[0], factors.together());
    schedule_packed_at(kernel, "weights", Halide::LoopLevel(adding, pair), tile[0].extent, vector);
  }
}

/// Many weights for a few images: tasks of channels read each weight once, and in the order of memory: some rows of it
/// at a time, for all pixels, whose sums stay in the cache.
void schedule_channels(KernelBuilder& kernel, const Node& node, const Factors& factors, const Tile& tile, int vector) {
  const std::int64_t channels = kernel.shape(node.outputs[0])[1];
  const std::int64_t most = std::min<std::int64_t>(128, channels / 4);
  const int together = tile[0].extent * divisor(channels / tile[0].extent, most / tile[0].extent);
  const Var c = kernel.axis(1), y = kernel.axis(2), x = kernel.axis(3), co("co"), task("task");
  Func out = kernel.out();
  out.compute_root().split(c, co, c, together).reorder(c, x, y, kernel.lane(), co, kernel.block());
  out.vectorize(c, vector).fuse(co, kernel.block(), task).parallel(task);
  Func sum = kernel.defined(node.outputs[0]);
  Halide::Stage update = sum.update();
  std::vector<Halide::VarOrRVar> loops;
  std::vector<Halide::VarOrRVar> around;
  for (const TileSide& side : tile) {
    const Var outer(side.variable.name() + "o"), inner(side.variable.name() + "i");
    update.split(side.variable, outer, inner, side.extent);
    loops.emplace_back(inner);
    around.emplace_back(outer);
  }
  loops.insert(loops.end(), {around[1], around[2], around[0]});
  for (const RVar& r : sum.rvars(0)) loops.emplace_back(r);
  sum.compute_at(out, task).reorder_storage(c, x, y).vectorize(c, vector);
  update.reorder(loops).vectorize(loops[0], vector).unroll(loops[0]).unroll(loops[1]).unroll(loops[2]);
  Func part = kernel.stage("part");
  schedule_parts(part, sum, tile, vector, factors.together());
  part.compute_at(sum, around[1].var);
  schedule_weights_copy(kernel, factors, sum, tile, vector);
}

/// Tiles in registers: a vector of weights serves all pixels of a tile. Rows are computed in parallel where there are
/// few weights.
void schedule_few(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  const Tile tile = few_tile(kernel, kernel.shape(node.outputs[0]));
  const int vector = vector_extent(kernel.machine(), tile[0].extent);
  schedule_padded(kernel, Halide::LoopLevel::root(), kernel.shape(node.inputs[0])[1]);
  Func part = kernel.stage("part");
  if (reads_weights(kernel, node) && part.has_update_definition())
    return schedule_channels(kernel, node, factors, tile, vector);
  Func sum = kernel.defined(node.outputs[0]);
  schedule_tiles(sum, kernel.out(), tile, vector, sum.rvars(0),
                 {kernel.lane(), kernel.axis(3), kernel.axis(1), kernel.axis(2), kernel.block()}, 2,
                 part.has_update_definition() ? 1 : factors.together());
  schedule_parts(part, sum, tile, vector, factors.together());
  schedule_weights_copy(kernel, factors, sum, tile, vector);
}

/// Tiles of channels and columns in registers; what the images are padded with is written once an image.
/// `row`: a tile is as wide as the image, and taps along it are unrolled.
void schedule_images(KernelBuilder& kernel, const Node& node, const Factors& factors, std::int64_t stride, bool row) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Machine& machine = kernel.machine();
  Func sum = kernel.defined(node.outputs[0]);
  Func out = kernel.out();
  const std::vector<RVar> r = sum.rvars(0);
  const Var c = kernel.axis(1);
  const Var y = kernel.axis(2);
  const Var x = kernel.axis(3);
  Tile tile;
  std::vector<Var> loops{x, c, y, kernel.block()};
  int vector = machine.vector;
  if (kernel.lanes() > 1) {
    const int rows = machine.accumulators * machine.vector / kernel.lanes();
    const int most = row ? rows / extent(shape[3]) : rows;
    const int channels = kernel.choice("channels", tile_extent(shape[1], std::min(most, 6)), up_to(shape[1], most));
    const int columns =
        row ? extent(shape[3])
            : kernel.choice("columns", tile_extent(shape[3], rows / channels), up_to(shape[3], rows / channels));
    tile = {{kernel.lane(), kernel.lanes()}, {x, columns}, {c, channels}};
  } else {
    vector = vector_extent(machine, shape[1]);
    const int vectors =
        kernel.choice("vectors", extent(std::min<std::int64_t>(2, shape[1] / vector)), up_to(shape[1] / vector, 4));
    // Columns that are `stride` apart read through the same taps: in a tile of whole strides, and with the taps of a
    // row unrolled, it is known which.
    const int most = machine.accumulators / vectors / extent(stride);
    const std::int64_t strides = ceil_div(shape[3], stride);
    const int columns = kernel.choice("columns", tile_extent(strides, most), up_to(strides, most));
    tile = {{c, vectors * vector}, {x, extent(std::min(columns * stride, shape[3]))}};
    // Weights that stay in the cache are read again for every row; otherwise rows are, for each channels' weights.
    constexpr std::int64_t cache = 1 << 16;  // floats
    loops = {kernel.lane(), x, c, y, kernel.block()};
    const bool large = kernel.shape(node.inputs[1]).elements() > cache;
    if (kernel.choice("rows_inside", large ? 1 : 0, {0, 1}) == 1) std::swap(loops[2], loops[3]);
  }
  Func part = kernel.stage("part");
  schedule_tiles(sum, out, tile, vector, r, loops, 1, part.has_update_definition() ? 1 : factors.together());
  if (row || (kernel.lanes() == 1 && stride > 1)) sum.update().unroll(r[1]);
  schedule_parts(part, sum, tile, vector, factors.together());
  schedule_weights_copy(kernel, factors, sum, tile, vector);
  schedule_padded(kernel, Halide::LoopLevel(out, kernel.block()), kernel.shape(node.inputs[0])[1]);
}

/// By Winograd's algorithm where there is one, otherwise directly.
void schedule_convolution(KernelBuilder& kernel, const Node& node, const std::optional<WinogradConv>& conv,
                          std::int64_t stride, bool row) {
  const Factors factors = direct_factors(kernel, node, conv.has_value());
  if (kernel.part() == Part::preparation) {
    return conv ? schedule_filters_once(kernel, *conv) : schedule_packed(kernel, factors, "weights");
  }
  if (!conv && kernel.few()) return schedule_few(kernel, node, factors);
  if (!conv) return schedule_images(kernel, node, factors, stride, row);
  if (kernel.has_stage("weights")) schedule_packed(kernel, factors, "weights");
  const Halide::LoopLevel block = schedule_by_winograd(kernel, *conv);
  schedule_padded(kernel, block, kernel.shape(node.inputs[0])[1]);
}

void schedule_forward(KernelBuilder& kernel, const Node& node) {
  if (const auto lanes = forward_in_lanes(kernel, node)) {
    return schedule_padded(kernel, lanes->schedule(kernel), kernel.shape(node.inputs[0])[1]);
  }
  schedule_convolution(kernel, node, forward_winograd(kernel, node), 1, false);
}

void schedule_backward_data(KernelBuilder& kernel, const Node& node) {
  if (const auto lanes = backward_data_in_lanes(kernel, node)) {
    return schedule_padded(kernel, lanes->schedule_data(kernel, node.outputs[0]), kernel.shape(node.inputs[0])[1]);
  }
  schedule_convolution(kernel, node, backward_winograd(kernel, node), windows(node.attributes).x.stride,
                       whole_rows(kernel, node));
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

// ---- GPU schedules --------------------------------------------------------------------------------------------------

/// Tiles of channels by columns, one a thread: each weight serves all columns and each pixel all channels.
void schedule_images_on_gpu(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Var c = kernel.axis(1), y = kernel.axis(2), x = kernel.axis(3);
  Func sum = kernel.defined(node.outputs[0]);
  const Tile tile{{c, tile_extent(shape[1], 4)}, {x, tile_extent(shape[3], 8)}};
  std::vector<Var> loops{kernel.lane(), c, x, y, kernel.block()};
  if (kernel.lanes() > 1) std::swap(loops[1], loops[2]);
  schedule_thread_tiles(sum, kernel.out(), tile, sum.rvars(0), loops);
}

void schedule_forward_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::forward);
  if (blocks) return blocks->schedule(kernel);
  schedule_images_on_gpu(kernel, node);
}

/// Columns that a stride apart read through the same taps have no tiles: which taps exist differs from one to the next.
void schedule_backward_data_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  const auto blocks = BlockConv::of(kernel, node, BlockConv::Direction::backward);
  if (blocks) return blocks->schedule(kernel);
  const Windows w = windows(node.attributes);
  if (w.y.stride == 1 && w.x.stride == 1) schedule_images_on_gpu(kernel, node);
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
               const Node& node) { return macs(graph[node.inputs[1]].shape, graph[node.outputs[0]].shape); },
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
    .samples = {conv_sample("plain", 3, 8, {}), conv_sample("padded_strided", 5, 16, {{"stride", 2}, {"pad", 1}}),
                conv_sample("without_bias", 4, 6, {{"bias", false}}),
                conv_sample("dilated", 2, 33, {{"dilation", IntPair{2, 1}}, {"pad", IntPair{2, 0}}}),
                conv_sample("grouped", 4, 8, {{"groups", 2}, {"pad", 1}}),
                conv_sample("depthwise", 6, 6, {{"groups", 6}, {"stride", IntPair{1, 2}}, {"pad", 1}}),
                conv_sample("oblong", 3, 10,
                            {{"kernel", IntPair{1, 5}}, {"pad", IntPair{0, 2}}, {"stride", IntPair{3, 1}}}),
                conv_sample("wide", 17, 20, {{"pad", 1}}), conv_sample("wide_small", 16, 33, {{"pad", 1}}, 6, 3),
                conv_sample("many_weights", 32, 24, {{"pad", 1}}, 4, 3),
                conv_sample("wide_five", 16, 16, {{"kernel", IntPair{5, 5}}, {"pad", 2}, {"bias", false}}),
                conv_sample("wide_six", 16, 16, {{"pad", 1}}, 6, 6),
                conv_sample("wide_eight", 32, 32, {{"pad", 1}}, 8, 7),
                conv_sample("wide_strided", 16, 20, {{"stride", 2}, {"pad", 1}}, 11, 11),
                conv_sample("wide_strided_unpadded", 16, 24, {{"stride", 2}}, 7, 7),
                conv_sample("wide_five_strided", 17, 16, {{"kernel", IntPair{5, 5}}, {"stride", 2}, {"pad", 2}})},
};

const Operator conv_backward_data{
    .name = "conv_backward_data",
    .doc = "The gradient of conv with respect to its input: a gather over the outputs that read each pixel.",
    .in_language = false,
    .inputs = 2,
    .macs = [](const Graph& graph,
               const Node& node) { return macs(graph[node.inputs[1]].shape, graph[node.inputs[0]].shape); },
    .algorithm = backward_data,
    .schedule = schedule_backward_data,
    .gpu_schedule = schedule_backward_data_on_gpu,
    .copies_rows = true,
    .reads_once = [](const Node&, std::size_t operand) { return operand == 0; },
    .multiplies_bf16 = true,
};

const Operator conv_backward_weights{
    .name = "conv_backward_weights",
    .doc = "The gradients of conv with respect to its weight and, where there is one, its bias.",
    .in_language = false,
    .inputs = 2,
    .macs = [](const Graph& graph,
               const Node& node) { return macs(graph[node.outputs[0]].shape, graph[node.inputs[0]].shape); },
    .algorithm = backward_weights,
    .schedule = schedule_weights,
    .gpu_schedule = schedule_weights_on_gpu,
    .copies_rows = true,
    .reads_once = [](const Node&, std::size_t operand) { return operand <= 1; },
    .multiplies_bf16 = true,
};

}  // namespace netc::ops
