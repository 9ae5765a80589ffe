#include "compiler/ops/conv_passes.h"

#include <algorithm>

#include "compiler/kernels/gpu_schedules.h"
#include "compiler/ops/tensor_cores.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::Var;

std::int64_t conv_macs(const Shape& weight, const Shape& y) {
  return weight.elements() * y[2] * y[3];
}

bool pads(const Windows& windows) {
  return windows.y.pad > 0 || windows.x.pad > 0;
}

Expr read_by(const Expr& at, const Expr& k, const Window& w) {
  return at * extent(w.stride) + k * extent(w.dilation) - extent(w.pad);
}

Expr inside(const Expr& at, std::int64_t extent_of_image) {
  return at >= 0 && at < extent(extent_of_image);
}

Func conv_images(KernelBuilder& kernel, const Factors& factors, ValueId value, bool around) {
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

void define_window_sum(KernelBuilder& kernel, const Node& node, const Factors& factors, const Windows& w,
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

std::optional<LaneConv> lane_conv(const KernelBuilder& kernel, const Node& node, ValueId image, ValueId output,
                                  const Rounding& rounding) {
  return LaneConv::of(kernel, windows(node.attributes), node.attributes.integer("groups"), kernel.shape(image),
                      kernel.shape(output), rounding.most_points);
}

Factors transformed_factors(const KernelBuilder& kernel, const Node& node, std::int64_t channels) {
  return transforms_of(node) == Transforms::bf16 ? Factors(kernel, node, channels, true) : Factors(kernel);
}

bool writes_channels(const KernelBuilder& kernel) {
  return kernel.pools() || kernel.layout(kernel.output()).strides[0] == 1;
}

WinogradFilter filter_of(KernelBuilder& kernel, const Factors& factors, const Node& node) {
  return [&](const Expr& k, const Expr& c, const Expr& ky, const Expr& kx) {
    return factors.rounded(kernel.parameter(node.inputs[1], {k, c, ky, kx}));
  };
}

Packing weights_of(const KernelBuilder& kernel, const Node& node, std::int64_t along, std::int64_t terms) {
  const Shape& weight = kernel.shape(node.inputs[1]);
  return {node.inputs[1], along, terms, {weight[3], weight[2]}, kernel.few()};
}

Factors direct_factors(const KernelBuilder& kernel, const Node& node, bool winograd) {
  if (winograd && transforms_of(node) == Transforms::bf16) return Factors(kernel);
  return {kernel, node, kernel.shape(node.inputs[0])[1], !winograd && node.attributes.integer("groups") == 1};
}

bool reads_weights(const KernelBuilder& kernel, const Node& node) {
  return kernel.few() && kernel.shape(node.inputs[1]).elements() > 4 * kernel.shape(node.inputs[0]).elements();
}

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

void schedule_padded(KernelBuilder& kernel, const Halide::LoopLevel& at, std::int64_t channels) {
  if (kernel.has_stage("padded")) schedule_copy(kernel, kernel.stage("padded"), {at, false}, channels);
}

namespace {

/// So many vectors of channels by as many columns and rows as fit into registers.
Tile few_tile(const KernelBuilder& kernel, const Shape& shape, int vectors) {
  const Machine& machine = kernel.machine();
  const int columns = divisor(shape[3], machine.accumulators / vectors);
  const int rows = divisor(shape[2], machine.accumulators / vectors / columns);
  return {
      {kernel.axis(1), vectors * vector_extent(machine, shape[1])}, {kernel.axis(3), columns}, {kernel.axis(2), rows}};
}

/// The tile with the most sums for each element read; of many weights at most two vectors, so that there are tasks for
/// all threads, and pixels enough for a vector's arithmetic to take as long as fetching the next one.
Tile few_tile(const KernelBuilder& kernel, const Shape& shape, bool many_weights) {
  const std::int64_t all = shape[1] / vector_extent(kernel.machine(), shape[1]);
  std::vector<int> candidates{1, 2, 4};
  std::erase_if(candidates, [&](int vectors) { return all % vectors != 0; });
  const auto sums_a_read = [&](int vectors) {
    const Tile tile = few_tile(kernel, shape, vectors);
    return 1 / (1.0 / vectors + 1.0 / (tile[1].extent * tile[2].extent));
  };
  int best = 1;
  for (int vectors : candidates) {
    if ((!many_weights || vectors <= 2) && sums_a_read(vectors) > sums_a_read(best)) best = vectors;
  }
  return few_tile(kernel, shape, kernel.choice("vectors", best, candidates));
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

/// Many weights for a few images: tasks of a tile of channels read each weight once, and in the order of memory: some
/// rows of it at a time, for all pixels, whose sums stay in the cache.
void schedule_channels(KernelBuilder& kernel, const Node& node, const Factors& factors, const Tile& tile, int vector) {
  const Var c = kernel.axis(1), y = kernel.axis(2), x = kernel.axis(3), co("co"), task("task");
  Func out = kernel.out();
  out.compute_root().split(c, co, c, tile[0].extent).reorder(c, x, y, kernel.lane(), co, kernel.block());
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
  kernel.fetch_ahead(part.update(), part.rvars(0)[0], factors.together(), 128);
  schedule_weights_copy(kernel, factors, sum, tile, vector);
}

/// Tiles in registers: a vector of weights serves all pixels of a tile. Rows are computed in parallel where there are
/// few weights, channels too where there are many.
void schedule_few(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  const bool many_weights = reads_weights(kernel, node);
  const Tile tile = few_tile(kernel, kernel.shape(node.outputs[0]), many_weights);
  const int vector = vector_extent(kernel.machine(), tile[0].extent);
  schedule_padded(kernel, Halide::LoopLevel::root(), kernel.shape(node.inputs[0])[1]);
  Func part = kernel.stage("part");
  const bool in_parts = part.has_update_definition();
  if (many_weights && in_parts) return schedule_channels(kernel, node, factors, tile, vector);
  Func sum = kernel.defined(node.outputs[0]);
  schedule_tiles(sum, kernel.out(), tile, vector, sum.rvars(0),
                 {kernel.lane(), kernel.axis(3), kernel.axis(1), kernel.axis(2), kernel.block()}, many_weights ? 3 : 2,
                 in_parts ? 1 : factors.together());
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

}  // namespace

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

void schedule_images_on_gpu(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Var c = kernel.axis(1), y = kernel.axis(2), x = kernel.axis(3);
  Func sum = kernel.defined(node.outputs[0]);
  const Tile tile{{c, tile_extent(shape[1], 4)}, {x, tile_extent(shape[3], 8)}};
  std::vector<Var> loops{kernel.lane(), c, x, y, kernel.block()};
  if (kernel.lanes() > 1) std::swap(loops[1], loops[2]);
  schedule_thread_tiles(sum, kernel.out(), tile, sum.rvars(0), loops);
}

}  // namespace netc::ops
