#include "compiler/ops/conv_lanes.h"

#include <algorithm>
#include <vector>

#include "compiler/kernels/schedules.h"

// Choice: the gradient with respect to the images is the convolution's own algorithm with its matrices transposed.
// Alternative: a convolution of dy with flipped filters, as where channels lie in vectors: it has 49 tiles in place of
// 25 where 5x5 windows turn 14x14 pixels into 10x10, and transforms 16 channels rather than 6. Measured on LeNet's
// training step at batch 256, two threads, against direct sums: 3.30 -> 2.82 ms (2026-11).
namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::LoopLevel;
using Halide::RDom;
using Halide::RVar;
using Halide::Stage;
using Halide::TailStrategy;
using Halide::Var;

namespace {

const Var c("c"), k("k"), t("t"), s("slice");
const Var &i = tile_column, &j = tile_row;
const Var co("channels"), ci("channel"), to("tiles"), ti("tile");

/// So many multiply-adds take as long as transforming a point of a channel.
constexpr std::int64_t transform_cost = 4;

/// Sums that stay in registers, so many along two sides of which one element each is read for all of the other.
struct Registers {
  int first;
  int second;
};

/// Divisors of both extents with the most sums for each element read.
Registers registers_of(const KernelBuilder& kernel, const std::string& first, std::int64_t first_extent,
                       const std::string& second, std::int64_t second_extent) {
  const int most = kernel.machine().accumulators;
  Registers best{1, 1};
  const auto sums_a_read = [](const Registers& r) { return 1.0 * r.first * r.second / (r.first + r.second); };
  for (int many : divisors(first_extent, most)) {
    const Registers registers{many, divisor(second_extent, most / many)};
    if (sums_a_read(registers) > sums_a_read(best)) best = registers;
  }
  best.first = kernel.choice(first, best.first, divisors(first_extent, most));
  best.second = kernel.choice(second, std::min(best.second, divisor(second_extent, most / best.first)),
                              divisors(second_extent, most / best.first));
  return best;
}

/// Lanes in a vector, the sums of a tile of registers unrolled.
void unroll_sums(Stage stage, const Var& lane, int lanes, const Var& first, const Var& second) {
  stage.vectorize(lane, lanes).unroll(first).unroll(second);
}

}  // namespace

LaneConv::LaneConv(Winograd matrices, const Windows& windows, const Shape& image, const Shape& output)
    : matrices_(std::move(matrices)),
      in_(extent(image[1])),
      out_(extent(output[1])),
      height_(extent(output[2])),
      width_(extent(output[3])),
      image_width_(extent(image[3])),
      columns_(ceil_div(width_, matrices_.results())),
      rows_(ceil_div(height_, matrices_.results())),
      pad_y_(extent(windows.y.pad)),
      pad_x_(extent(windows.x.pad)) {}

std::optional<LaneConv> LaneConv::of(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                     const Shape& image, const Shape& output, int most_points) {
  const std::int64_t size = windows.x.kernel;
  const auto fits = [&](const Window& w) { return w.kernel == size && w.stride == 1 && w.dilation == 1; };
  if (kernel.machine().is_gpu() || kernel.lanes() == 1 || kernel.lanes() != kernel.machine().vector || groups > 1)
    return std::nullopt;
  if (!fits(windows.y) || !fits(windows.x) || (size != 3 && size != 5)) return std::nullopt;
  const std::int64_t products = image[1] * output[1];
  const auto cost = [&](std::int64_t outputs) {
    const std::int64_t points = outputs + size - 1;
    const std::int64_t tiles = ceil_div(output[2], outputs) * ceil_div(output[3], outputs);
    return tiles * points * points * (products + transform_cost * (image[1] + output[1]));
  };
  std::vector<int> candidates{2, 3, 4, 6};
  std::erase_if(candidates, [&](int outputs) { return winograd_points(outputs, extent(size), 1) > most_points; });
  const int best =
      *std::min_element(candidates.begin(), candidates.end(), [&](int a, int b) { return cost(a) < cost(b); });
  const std::int64_t direct = size * size * output[2] * output[3] * products;
  candidates.push_back(0);
  const int outputs = kernel.choice("outputs", cost(best) * 4 < direct * 3 ? best : 0, candidates);
  if (outputs == 0) return std::nullopt;
  return LaneConv(winograd(outputs, extent(size)), windows, image, output);
}

bool LaneConv::reads_around() const {
  return pad_y_ > 0 || pad_x_ > 0 || width_ % outputs() != 0 || height_ % outputs() != 0;
}

// ---- Transforms -----------------------------------------------------------------------------------------------------

Func LaneConv::transformed_filter(KernelBuilder& kernel, const WinogradFilter& weight) const {
  return transform(kernel, "filter", matrices_.filter, {k, c},
                   [&](const Expr& column, const Expr& row) { return weight(k, c, row, column); });
}

Func LaneConv::transformed_image(KernelBuilder& kernel, const Func& padded) const {
  const Var l = kernel.lane(), n = kernel.block();
  return transform(kernel, "input", matrices_.input, {l, c, t, n}, [&](const Expr& column, const Expr& row) {
    return padded(l, t % columns_ * outputs() - pad_x_ + column, t / columns_ * outputs() - pad_y_ + row, c, n);
  });
}

Func LaneConv::transformed_gradient(KernelBuilder& kernel, const Func& output_gradient) const {
  const Var l = kernel.lane(), n = kernel.block();
  return ops::transformed_gradient(kernel, matrices_, width_, height_, t, {l, k, t, n},
                                   [&](const Expr& x, const Expr& y) { return output_gradient(l, x, y, k, n); });
}

void LaneConv::schedule_filter(KernelBuilder& kernel) const {
  const int vector = vector_extent(kernel.machine(), out_);
  Func filter = kernel.stage("filter");
  Func along_rows = kernel.stage("filter_row");
  filter.compute_root();
  unroll_tile(filter, vector);
  along_rows.compute_at(filter, c);
  unroll_tile(along_rows, vector);
}

/// All points of some tiles, the stage `name`. A channel takes an odd number of vectors of memory, so that points do
/// not lie multiples of 4 KB apart.
void LaneConv::schedule_points(KernelBuilder& kernel, const std::string& name, int tiles, const LoopLevel& at) const {
  Func whole = kernel.stage(name);
  whole.compute_at(at).bound(i, 0, points()).bound(j, 0, points()).align_storage(t, tiles | 1);
  unroll_tile(whole, kernel.lanes());
  Func along_rows = kernel.stage(name + "_row");
  along_rows.compute_at(whole, whole.args()[1]);
  unroll_tile(along_rows, kernel.lanes());
}

// ---- Products of transforms, summed over channels -------------------------------------------------------------------

/// product(l, channel, t, n, i, j): the sum of `term` over `summed` channels.
Func LaneConv::define_products(KernelBuilder& kernel, const Var& channel, int summed,
                               const std::function<Expr(const Expr& from)>& term) const {
  const std::vector<Var> at{kernel.lane(), channel, t, kernel.block(), i, j};
  const RDom r(0, summed, kernel.name("r"));
  Func sums(kernel.name("sums"));
  sums(at) = kernel.constant(0);
  sums(at) += term(r);
  Func product(kernel.name("product"));
  product(at) = sums(std::vector<Expr>(at.begin(), at.end()));
  kernel.stage("sums", sums);
  kernel.stage("product", product);
  return product;
}

/// A row of tiles, in registers some channels of some tiles at a time.
void LaneConv::schedule_products(KernelBuilder& kernel, int channels, const LoopLevel& row) const {
  const Var l = kernel.lane(), n = kernel.block();
  const int lanes = kernel.lanes();
  const Registers registers = registers_of(kernel, "filters", channels, "tiles", columns_);
  Func product = kernel.stage("product");
  const Var channel = product.args()[1];
  product.compute_at(row)
      .align_storage(t, columns_ | 1)
      .split(channel, co, ci, registers.first)
      .split(t, to, ti, registers.second)
      .reorder(l, ci, ti, to, co, i, j, n);
  unroll_sums(product, l, lanes, ci, ti);
  Func sums = kernel.stage("sums");
  sums.compute_at(product, to);
  unroll_sums(sums, l, lanes, channel, t);
  Stage update = sums.update();
  update.reorder(l, channel, t, sums.rvars(0)[0], n, i, j);
  unroll_sums(update, l, lanes, channel, t);
}

// ---- The convolution ------------------------------------------------------------------------------------------------

void LaneConv::define(KernelBuilder& kernel, ValueId value, const Func& padded, const Expr& start,
                      const WinogradFilter& weight) const {
  const Var l = kernel.lane(), n = kernel.block();
  const Func filter = transformed_filter(kernel, weight);
  const Func input = transformed_image(kernel, padded);
  const Func product = define_products(
      kernel, k, in_, [&](const Expr& from) { return filter(k, from, i, j) * input(l, from, t, n, i, j); });
  const Func output = transform(kernel, "output", matrices_.output, {l, k, t, n},
                                [&](const Expr& column, const Expr& row) { return product(l, k, t, n, column, row); });
  const Shape& shape = kernel.shape(value);
  const Var x = kernel.axis(3), y = kernel.axis(2);
  Func result(kernel.name("result"));
  result(kernel.variables(shape)) =
      start + output(l, kernel.axis(1), x / outputs() + columns_ * (y / outputs()), n, x % outputs(), y % outputs());
  kernel.define(value, result);
}

LoopLevel LaneConv::schedule(KernelBuilder& kernel) const {
  constexpr TailStrategy guard = TailStrategy::GuardWithIf;
  const Var l = kernel.lane(), n = kernel.block(), x = kernel.axis(3), y = kernel.axis(2), z = kernel.axis(1);
  const Var xi("xi"), yi("yi");
  Func out = kernel.out();
  out.compute_root()
      .split(y, y, yi, outputs(), guard)
      .split(x, x, xi, outputs(), guard)
      .reorder(l, xi, yi, z, x, y, n)
      .vectorize(l, kernel.lanes())
      .unroll(xi)
      .unroll(yi)
      .parallel(n);
  schedule_output(kernel, {out, z});
  const LoopLevel row(out, y);
  schedule_products(kernel, out_, row);
  schedule_points(kernel, "input", columns_, row);
  schedule_filter(kernel);
  return {out, n};
}

// ---- The gradient with respect to the images ------------------------------------------------------------------------

void LaneConv::define_data(KernelBuilder& kernel, ValueId value, const Func& output_gradient,
                           const WinogradFilter& weight) const {
  const Var l = kernel.lane(), n = kernel.block(), x = kernel.axis(3), y = kernel.axis(2);
  const Func filter = transformed_filter(kernel, weight);
  const Func gradient = transformed_gradient(kernel, output_gradient);
  const Func product = define_products(
      kernel, c, out_, [&](const Expr& from) { return filter(from, c, i, j) * gradient(l, from, t, n, i, j); });
  const Func spread = transform(kernel, "spread", transposed(matrices_.input), {l, c, t, n},
                                [&](const Expr& column, const Expr& row) { return product(l, c, t, n, column, row); });
  // Along an axis a pixel is number at % outputs of its last tile, and by `outputs` further on in each one before.
  const int overlapping = ceil_div(points(), outputs());
  RDom before(0, overlapping, 0, overlapping, kernel.name("before"));
  const auto tile_of = [&](const Expr& at, const Expr& back) { return at / outputs() - back; };
  const auto pixel_of = [&](const Expr& at, const Expr& back) { return at % outputs() + outputs() * back; };
  const auto exists = [&](const Expr& at, const Expr& back, int tiles) {
    return tile_of(at, back) >= 0 && tile_of(at, back) < tiles && pixel_of(at, back) < points();
  };
  const Expr column = x + pad_x_;
  const Expr row = y + pad_y_;
  before.where(exists(row, before.y, rows_));
  const Expr existing =
      clamp(tile_of(column, before.x), 0, columns_ - 1) + columns_ * clamp(tile_of(row, before.y), 0, rows_ - 1);
  const Expr part = spread(l, kernel.axis(1), existing, n, min(pixel_of(column, before.x), points() - 1),
                           min(pixel_of(row, before.y), points() - 1));
  Func sum(kernel.name("sum"));
  const std::vector<Var> at = kernel.variables(kernel.shape(value));
  sum(at) = kernel.constant(0);
  sum(at) += select(exists(column, before.x, columns_), part, kernel.constant(0));
  kernel.define(value, sum);
}

/// Whole rows of pixels in registers, so that it is known of each which tiles it is part of.
LoopLevel LaneConv::schedule_data(KernelBuilder& kernel, ValueId value) const {
  const Var l = kernel.lane(), n = kernel.block(), x = kernel.axis(3), y = kernel.axis(2), z = kernel.axis(1);
  const Var xi("xi"), row("row");
  const int lanes = kernel.lanes();
  const int most = kernel.machine().accumulators;
  const int columns = image_width_ <= most ? image_width_ : most / outputs() * outputs();
  Func out = kernel.out();
  out.compute_root()
      .split(x, x, xi, columns, TailStrategy::GuardWithIf)
      .reorder(l, xi, x, z, y, n)
      .vectorize(l, lanes)
      .unroll(xi)
      .parallel(n);
  Func sum = kernel.defined(value);
  const std::vector<RVar> before = sum.rvars(0);
  sum.compute_at(out, x).bound_extent(x, columns).vectorize(l, lanes).unroll(x);
  sum.update().reorder(l, x, before[0], before[1]).vectorize(l, lanes).unroll(x).unroll(before[0]);
  schedule_points(kernel, "spread", tiles(), {out, n});
  Func spread = kernel.stage("spread");
  spread.split(t, row, t, columns_).reorder(l, i, j, t, c, row, n);
  const LoopLevel tiles_of_row(spread, row);
  schedule_products(kernel, in_, tiles_of_row);
  schedule_points(kernel, "gradient", columns_, tiles_of_row);
  schedule_filter(kernel);
  return {out, n};
}

// ---- The gradient with respect to the weights -----------------------------------------------------------------------

/// Sums over images and tiles stand in lanes of slices, whose number does not depend on that of the threads.
void LaneConv::define_weights(KernelBuilder& kernel, ValueId value, const Func& padded,
                              const Func& output_gradient) const {
  const Var l = kernel.lane(), n = kernel.block();
  const Func input = transformed_image(kernel, padded);
  const Func gradient = transformed_gradient(kernel, output_gradient);
  const int slices = kernel.choice("slices", 8, {1, 2, 4, 8, 16});

  const RDom tile(0, tiles(), kernel.name("tile"));
  Func block(kernel.name("block"));
  block(l, k, c, n, i, j) = kernel.constant(0);
  block(l, k, c, n, i, j) += gradient(l, k, tile, n, i, j) * input(l, c, tile, n, i, j);
  const Expr per_slice = ceil_div(kernel.blocks(), slices);
  RDom run(0, per_slice, kernel.name("run"));
  run.where(s * per_slice + run < kernel.blocks());
  Func slice(kernel.name("slice"));
  slice(l, k, c, i, j, s) = kernel.constant(0);
  slice(l, k, c, i, j, s) += block(l, k, c, min(s * per_slice + run, kernel.blocks() - 1), i, j);
  const RDom all(0, slices, kernel.name("all"));
  Func lanes(kernel.name("lanes"));
  lanes(l, k, c, i, j) = kernel.constant(0);
  lanes(l, k, c, i, j) += slice(l, k, c, i, j, all);
  const RDom lane(0, kernel.lanes(), kernel.name("lane"));
  Func total(kernel.name("total"));
  total(k, c, i, j) = kernel.constant(0);
  total(k, c, i, j) += lanes(lane, k, c, i, j);
  kernel.stage("block", block);
  kernel.stage("slice", slice);
  kernel.stage("lanes", lanes);
  kernel.stage("total", total);

  const Func taps = transform(kernel, "taps", transposed(matrices_.filter), {k, c},
                              [&](const Expr& column, const Expr& row) { return total(k, c, column, row); });
  Func weight(kernel.name("weight"));
  weight(kernel.variables(kernel.shape(value))) = taps(kernel.axis(0), kernel.axis(1), kernel.axis(3), kernel.axis(2));
  kernel.define(value, weight);
}

/// Slices of blocks in parallel. Some channels of the gradient are transformed at a time, so that they stay in the
/// cache beside all of the images'.
LoopLevel LaneConv::schedule_weights(KernelBuilder& kernel, ValueId value) const {
  const Var l = kernel.lane();
  const int lanes = kernel.lanes();
  const Registers registers = registers_of(kernel, "filters", out_, "channels", in_);
  Func slice = kernel.stage("slice");
  const RVar run = slice.rvars(0)[0];
  const Var ko("filters"), ki("filter");
  slice.compute_root().vectorize(l, lanes).parallel(s);
  slice.bound(k, 0, out_).bound(c, 0, in_).bound(i, 0, points()).bound(j, 0, points());
  Stage update = slice.update();
  update.split(k, ko, ki, registers.first).split(c, co, ci, registers.second);
  update.reorder({l, ki, ci, co, i, j, ko, run, s}).parallel(s);
  unroll_sums(update, l, lanes, ki, ci);
  Func block = kernel.stage("block");
  block.compute_at(slice, co);
  unroll_sums(block, l, lanes, k, c);
  block.update().reorder(l, k, c, block.rvars(0)[0]);
  unroll_sums(block.update(), l, lanes, k, c);
  schedule_points(kernel, "input", tiles(), {slice, run});
  schedule_points(kernel, "gradient", tiles(), {slice, ko});

  Func total = kernel.stage("total");
  const RVar lane = total.rvars(0)[0];
  total.compute_root();
  total.update().reorder(lane, k, c, i, j).atomic().vectorize(lane, lanes).parallel(j);
  Func sums = kernel.stage("lanes");
  sums.compute_at(total, i).vectorize(l, lanes);
  sums.update().reorder(l, k, c, i, j, sums.rvars(0)[0]).vectorize(l, lanes);
  schedule_taps(kernel, kernel.shape(value));
  return {slice, run};
}

}  // namespace netc::ops
