#include "compiler/ops/conv_winograd.h"

#include <algorithm>
#include <tuple>

#include "compiler/schedules.h"
#include "compiler/winograd.h"

// Choice: the transforms of a block of tiles stay in the cache, between one copy of its images with zeros around them
// and its outputs. Alternative: each transform a pass over all images, which is written and read from memory. Measured
// on ResNet-18's training step at batch 256, two threads, against direct sums: 3211 -> 1706 ms (2026-11). Error against
// double precision, relative to the norm: F(4, 3) 1.5e-6, F(3, 3) 8e-7, F(4, 5) 2.5e-6; direct sums 2e-7. F(6, 3) would
// save another tenth of the multiplications and doubles the error.
namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

int extent(std::int64_t value) {
  return static_cast<int>(value);
}

int round_up(int value, int to) {
  return (value + to - 1) / to;
}

const Var c("c"), k("k"), kk("kk"), kb("kb"), t("t"), n("n"), i("i"), j("j");

/// How the tiles of all images are cut into blocks (some rows of tiles of one image, or several whole images), and how
/// many products are summed in registers at a time.
struct Blocks {
  int columns;  // tiles in a row
  int rows;     // of tiles, in a block
  int images;   // in a block
  int filters;  // output channels at a time
  int filter_blocks;
  int tiles;  // of an image at a time
  int tiles_of_images;
};

/// Vectors of output channels side by side in registers, so that few are computed beyond the last channel.
int filter_vectors(int channels, int vector, int most) {
  const int vectors = round_up(channels, vector);
  int best = 1;
  for (int count = 2; count <= most; ++count) {
    const int waste = round_up(vectors, count) * count - vectors;
    if (waste * 8 <= vectors) best = count;
  }
  return best;
}

/// Fills `sums` registers with tiles of one image or of several, so that few are computed beyond the last tile.
void choose_sums(Blocks& blocks, int image_tiles, int sums) {
  double least = 0;
  for (int tiles = 1; tiles <= std::min(sums, image_tiles); ++tiles) {
    const int images = std::min(sums / tiles, blocks.images);
    const double computed = static_cast<double>(round_up(image_tiles, tiles) * tiles) / image_tiles;
    const double cost = computed * (1 + 1.0 / (tiles * images));
    if (least != 0 && cost > least) continue;
    least = cost;
    blocks.tiles = tiles;
    blocks.tiles_of_images = images;
  }
  blocks.images = blocks.images / blocks.tiles_of_images * blocks.tiles_of_images;
}

Blocks blocks_of(const KernelBuilder& kernel, const WinogradConv& conv, int outputs) {
  const Shape& shape = kernel.shape(conv.output);
  const Machine& machine = kernel.machine();
  const int columns = round_up(extent(shape[3]), outputs);
  const int rows = round_up(extent(shape[2]), outputs);
  const std::int64_t points = outputs + conv.kernel - 1;
  const std::int64_t floats = points * points * (conv.channels + shape[1]);  // of a tile
  constexpr std::int64_t cache = 1 << 18;                                    // floats
  const int most = extent(std::clamp<std::int64_t>(cache / floats, 32, 64));
  Blocks blocks{};
  blocks.columns = columns;
  blocks.rows = std::clamp(most / columns, 1, rows);
  blocks.images = blocks.rows < rows ? 1 : std::max(1, most / (columns * rows));
  const int vectors = filter_vectors(extent(shape[1]), machine.vector, machine.accumulators >= 24 ? 4 : 2);
  blocks.filters = vectors * machine.vector;
  blocks.filter_blocks = round_up(extent(shape[1]), blocks.filters);
  choose_sums(blocks, columns * blocks.rows, machine.accumulators >= 24 ? 28 / vectors : 12 / vectors);
  return blocks;
}

}  // namespace

std::optional<int> winograd_outputs(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                    const Shape& input, const Shape& output) {
  const auto fits = [](const Window& w) { return w.stride == 1 && w.dilation == 1; };
  const std::int64_t size = windows.x.kernel;
  const bool square = windows.y.kernel == size && (size == 3 || size == 5);
  constexpr std::int64_t channels = 16;
  if (kernel.lanes() > 1 || groups > 1 || !square || !fits(windows.x) || !fits(windows.y)) return std::nullopt;
  if (input[1] < channels || output[1] < channels) return std::nullopt;
  const auto multiplications = [&](std::int64_t outputs) {
    const std::int64_t tiles = ((output[2] + outputs - 1) / outputs) * ((output[3] + outputs - 1) / outputs);
    return tiles * (outputs + size - 1) * (outputs + size - 1);
  };
  int best = 0;
  for (int outputs : size == 3 ? std::vector<int>{2, 3, 4} : std::vector<int>{2, 4}) {
    if (best == 0 || multiplications(outputs) <= multiplications(best)) best = outputs;
  }
  const bool pays = multiplications(best) * 3 < output[2] * output[3] * size * size * 2;
  return pays ? std::optional<int>(best) : std::nullopt;
}

void define_by_winograd(KernelBuilder& kernel, const WinogradConv& conv, int outputs, Func padded,
                        const std::function<Expr(const Expr&, const Expr&, const Expr&, const Expr&)>& weight) {
  const Winograd w = winograd(outputs, conv.kernel);
  const Shape& shape = kernel.shape(conv.output);
  const Blocks blocks = blocks_of(kernel, conv, outputs);
  const int last_filter = extent(shape[1]) - 1;
  const bool whole = blocks.filters * blocks.filter_blocks == last_filter + 1;

  // G w G^T, once a call.
  const Var ky("ky");
  Func filter_row(kernel.name("filter_row"));
  filter_row(k, c, i, ky) = times(w.filter, i, [&](int q) { return weight(k, c, ky, q); });
  Func filter(kernel.name("filter"));
  const Expr filter_index = kb * blocks.filters + kk;
  const Expr existing = whole ? filter_index : min(filter_index, last_filter);
  filter(kk, c, kb, i, j) = times(w.filter, j, [&](int q) { return filter_row(existing, c, i, q); });

  // B^T d B of tile t of image n.
  const Expr x = t % blocks.columns * outputs - conv.pad_x;
  const Expr y = t / blocks.columns * outputs - conv.pad_y;
  const Expr image = min(n, kernel.blocks() - 1);
  Func input_row(kernel.name("input_row"));
  input_row(c, t, n, i, j) = times(w.input, i, [&](int q) { return padded(0, x + q, y + j, c, image); });
  Func input(kernel.name("input"));
  input(c, t, n, i, j) = times(w.input, j, [&](int q) { return input_row(c, t, n, i, q); });

  // Their products, summed over channels.
  const RDom r(0, extent(conv.channels), kernel.name("r"));
  Func sums(kernel.name("sums"));
  sums(k, t, n, i, j) = kernel.constant(0);
  sums(k, t, n, i, j) += filter(k % blocks.filters, r, k / blocks.filters, i, j) * input(r, t, n, i, j);
  Func product(kernel.name("product"));
  product(k, t, n, i, j) = sums(k, t, n, i, j);

  // A^T m A.
  Func output_row(kernel.name("output_row"));
  output_row(k, t, n, i, j) = times(w.output, i, [&](int q) { return product(k, t, n, q, j); });
  Func output(kernel.name("output"));
  output(k, t, n, i, j) = times(w.output, j, [&](int q) { return output_row(k, t, n, i, q); });

  const Point at = kernel.point(shape);
  const Expr tile = at.axes[2] / outputs + blocks.columns * (at.axes[1] / outputs);
  Func result(kernel.name("result"));
  result(kernel.variables(shape)) = output(at.axes[0], tile, at.block, at.axes[2] % outputs, at.axes[1] % outputs);
  kernel.stage("filter_row", filter_row);
  kernel.stage("filter", filter);
  kernel.stage("input_row", input_row);
  kernel.stage("input", input);
  kernel.stage("sums", sums);
  kernel.stage("product", product);
  kernel.stage("output_row", output_row);
  kernel.stage("output", output);
  kernel.define(conv.output, result);
}

Var schedule_winograd(KernelBuilder& kernel, const WinogradConv& conv, int outputs) {
  const Blocks blocks = blocks_of(kernel, conv, outputs);
  const int vector = kernel.machine().vector;
  const int points = outputs + conv.kernel - 1;
  const int channels = extent(conv.channels);
  const auto unrolled = [&](Func func, const Var& first) {
    func.vectorize(first, vector, TailStrategy::ShiftInwards).unroll(i).unroll(j);
  };

  Func out = kernel.out();
  const Var x = kernel.axis(3), y = kernel.axis(2), z = kernel.axis(1);
  const Var xi("xi"), yi("yi"), zi("zi"), ni("ni"), yo("yo"), no("no"), block("block");
  constexpr TailStrategy guard = TailStrategy::GuardWithIf;
  out.compute_root()
      .split(kernel.block(), no, ni, blocks.images, guard)
      .split(y, yo, y, blocks.rows * outputs, guard)
      .split(y, y, yi, outputs, guard)
      .split(x, x, xi, outputs, guard)
      .split(z, z, zi, vector, TailStrategy::ShiftInwards)
      .reorder(zi, xi, yi, z, kernel.lane(), x, y, ni, yo, no)
      .vectorize(zi)
      .unroll(xi)
      .unroll(yi)
      .fuse(yo, no, block)
      .parallel(block);
  for (const char* name : {"output", "output_row"}) {
    Func stage = kernel.stage(name);
    stage.compute_at(out, z).reorder(k, i, j, t, n);
    unrolled(stage, k);
  }

  Func product = kernel.stage("product");
  const Var ti("ti"), kv("kv");
  product.compute_at(out, block)
      .bound(k, 0, blocks.filters * blocks.filter_blocks)
      .bound_extent(t, blocks.columns * blocks.rows)
      .bound(i, 0, points)
      .bound(j, 0, points)
      .align_storage(k, blocks.filters * blocks.filter_blocks + vector)
      .split(k, kb, kk, blocks.filters)
      .split(kk, kk, kv, vector)
      .split(t, t, ti, blocks.tiles, TailStrategy::RoundUp)
      .split(n, n, ni, blocks.tiles_of_images, TailStrategy::RoundUp)
      .reorder(kv, kk, ti, ni, t, n, kb, i, j)
      .vectorize(kv)
      .unroll(kk)
      .unroll(ti)
      .unroll(ni);
  Func sums = kernel.stage("sums");
  sums.compute_at(product, t).vectorize(k, vector).unroll(k).unroll(t).unroll(n);
  sums.update().reorder(k, t, n, i, j, sums.rvars(0)[0]).vectorize(k, vector).unroll(k).unroll(t).unroll(n);

  Func input = kernel.stage("input");
  const Var ci("ci");
  input.compute_at(out, block)
      .bound(c, 0, channels)
      .bound(i, 0, points)
      .bound(j, 0, points)
      .align_storage(c, channels + vector)
      .split(c, c, ci, vector, TailStrategy::ShiftInwards)
      .reorder(ci, i, j, c, t, n)
      .vectorize(ci)
      .unroll(i)
      .unroll(j);
  Func input_row = kernel.stage("input_row");
  input_row.compute_at(input, c).reorder(c, i, j, t, n);
  unrolled(input_row, c);

  Func filter = kernel.stage("filter");
  filter.compute_root()
      .bound(kk, 0, blocks.filters)
      .bound(kb, 0, blocks.filter_blocks)
      .split(kk, kk, kv, vector)
      .reorder(kv, i, j, kk, kb, c)
      .vectorize(kv)
      .unroll(i)
      .unroll(j)
      .parallel(c, 8, guard);
  Func filter_row = kernel.stage("filter_row");
  const Var ky = filter_row.args()[3];
  filter_row.compute_at(filter, kk).reorder(k, i, ky, c).vectorize(k, vector).unroll(i).unroll(ky);
  return block;
}

// ---- Weights --------------------------------------------------------------------------------------------------------

namespace {

const Var sl("slice");

/// How the sums over tiles are cut: into blocks of images whose transforms stay in the cache, and slices of blocks with
/// sums of their own, in parallel; or, where the sums are large, one slice whose points run in parallel.
struct WeightBlocks {
  int columns;  // tiles in a row
  int tiles;    // of an image
  int images;   // in a block
  int slices;
  int filters;  // output channels at a time
  int filter_blocks;
  int channels;  // input channels at a time

  bool points_in_parallel() const { return slices == 1; }
};

WeightBlocks weight_blocks(const KernelBuilder& kernel, const WinogradWeights& conv, int outputs) {
  const Shape& shape = kernel.shape(conv.weight);
  const Shape& gradient = kernel.shape(conv.gradient);
  const Machine& machine = kernel.machine();
  const std::int64_t points = outputs + shape[2] - 1;
  const std::int64_t sums = points * points * shape[0] * shape[1];
  WeightBlocks blocks{};
  blocks.columns = round_up(extent(gradient[3]), outputs);
  blocks.tiles = blocks.columns * round_up(extent(gradient[2]), outputs);
  blocks.slices = sums <= 1 << 18 ? 16 : sums <= 5 << 17 ? 8 : 1;
  blocks.images = std::max(1, (blocks.points_in_parallel() ? 128 : 36) / blocks.tiles);
  const bool wide = machine.accumulators >= 24;
  const int vectors = filter_vectors(extent(shape[0]), machine.vector, wide ? 4 : 2);
  blocks.filters = vectors * machine.vector;
  blocks.filter_blocks = round_up(extent(shape[0]), blocks.filters);
  blocks.channels = divisor(shape[1], (wide ? 28 : 12) / vectors);
  return blocks;
}

}  // namespace

void define_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv, int outputs, Func padded) {
  const Shape& shape = kernel.shape(conv.weight);
  const Shape& dy = kernel.shape(conv.gradient);
  const Winograd w = winograd(outputs, extent(shape[2]));
  const WeightBlocks blocks = weight_blocks(kernel, conv, outputs);
  const Expr x = t % blocks.columns * outputs;
  const Expr y = t / blocks.columns * outputs;

  // B^T d B of the images, A dy A^T of the gradient.
  Func input_row(kernel.name("input_row"));
  input_row(c, t, n, i, j) =
      times(w.input, i, [&](int q) { return padded(0, x + q - conv.pad_x, y + j - conv.pad_y, c, n); });
  Func input(kernel.name("input"));
  input(c, t, n, i, j) = times(w.input, j, [&](int q) { return input_row(c, t, n, i, q); });
  const Matrix expand = transposed(w.output);
  const auto gradient = [&](const Expr& column, const Expr& row) {
    const Expr exists = column < extent(dy[3]) && row < extent(dy[2]);
    const Expr filter = min(k, extent(shape[0]) - 1);
    const Point at{Expr(0), n, {filter, min(row, extent(dy[2]) - 1), min(column, extent(dy[3]) - 1)}};
    return select(exists, kernel.read(conv.gradient, at), kernel.constant(0));
  };
  Func gradient_row(kernel.name("gradient_row"));
  gradient_row(k, t, n, i, j) = times(expand, i, [&](int q) { return gradient(x + q, y + j); });
  Func gradients(kernel.name("gradients"));
  gradients(k, t, n, i, j) = times(expand, j, [&](int q) { return gradient_row(k, t, n, i, q); });

  // Their products, summed over the tiles of a block, the blocks of a slice, and the slices.
  const Var b("b");
  RDom r(0, blocks.tiles, 0, blocks.images, kernel.name("r"));
  r.where(b * blocks.images + r.y < kernel.blocks());
  const Expr image = min(b * blocks.images + r.y, kernel.blocks() - 1);
  Func block(kernel.name("block"));
  block(k, c, b, i, j) = kernel.constant(0);
  block(k, c, b, i, j) += gradients(k, r.x, image, i, j) * input(c, r.x, image, i, j);
  const Expr runs = (kernel.blocks() + (blocks.images - 1)) / blocks.images;
  const Expr per_slice = (runs + (blocks.slices - 1)) / blocks.slices;
  RDom run(0, per_slice, kernel.name("run"));
  run.where(sl * per_slice + run < runs);
  Func slice(kernel.name("slice"));
  slice(k, c, i, j, sl) = kernel.constant(0);
  slice(k, c, i, j, sl) += block(k, c, min(sl * per_slice + run, runs - 1), i, j);
  const RDom all(0, blocks.slices, kernel.name("all"));
  Func total(kernel.name("total"));
  total(k, c, i, j) = kernel.constant(0);
  total(k, c, i, j) += slice(k, c, i, j, all);

  // G^T u G.
  const Matrix reduce = transposed(w.filter);
  Func weight_row(kernel.name("weight_row"));
  weight_row(k, c, i, j) = times(reduce, i, [&](int q) { return total(k, c, q, j); });
  const Var kx = kernel.axis(3), ky = kernel.axis(2);
  Func weight(kernel.name("weight"));
  weight(kernel.variables(shape)) =
      times(reduce, ky, [&](int q) { return weight_row(kernel.axis(0), kernel.axis(1), kx, q); });
  kernel.stage("input_row", input_row);
  kernel.stage("input", input);
  kernel.stage("gradient_row", gradient_row);
  kernel.stage("gradients", gradients);
  kernel.stage("block", block);
  kernel.stage("slice", slice);
  kernel.stage("total", total);
  kernel.stage("weight_row", weight_row);
  kernel.define(conv.weight, weight);
}

std::pair<Func, Halide::RVar> schedule_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv,
                                                           int outputs) {
  const WeightBlocks blocks = weight_blocks(kernel, conv, outputs);
  const Shape& shape = kernel.shape(conv.weight);
  const int vector = kernel.machine().vector;
  const int points = outputs + extent(shape[2]) - 1;
  const int filters = blocks.filters * blocks.filter_blocks;
  const int channels = extent(shape[1]);
  const Var kv("kv"), ci("ci"), ko("ko"), task("task");
  constexpr TailStrategy shift = TailStrategy::ShiftInwards;

  Func slice = kernel.stage("slice");
  const Halide::RVar run = slice.rvars(0)[0];
  slice.compute_root().bound(k, 0, filters).bound(c, 0, channels).bound(i, 0, points).bound(j, 0, points);
  slice.vectorize(k, vector).parallel(blocks.points_in_parallel() ? j : sl);
  Halide::Stage update = slice.update();
  update.split(k, kb, kk, blocks.filters).split(kk, kk, kv, vector).split(c, c, ci, blocks.channels);
  update.reorder({kv, kk, ci, c, kb, i, j, run, sl}).vectorize(kv).unroll(kk).unroll(ci);
  update.parallel(blocks.points_in_parallel() ? j : sl);

  Func block = kernel.stage("block");
  const std::vector<Halide::RVar> r = block.rvars(0);
  block.compute_at(slice, c).vectorize(k, vector).unroll(k).unroll(c);
  block.update().reorder(k, c, r[0], r[1]).vectorize(k, vector).unroll(k).unroll(c);

  for (const auto& [name, row, first, count] :
       {std::tuple{"input", "input_row", c, channels}, std::tuple{"gradients", "gradient_row", k, filters}}) {
    Func whole = kernel.stage(name);
    whole.compute_at(slice, run)
        .bound(first, 0, count)
        .bound(i, 0, points)
        .bound(j, 0, points)
        .bound(t, 0, blocks.tiles)
        .align_storage(first, count + vector)
        .split(first, ko, kv, vector, shift)
        .reorder(kv, i, j, ko, t, n)
        .vectorize(kv)
        .unroll(i)
        .unroll(j);
    if (blocks.points_in_parallel()) whole.fuse(t, n, task).parallel(task);
    Func rows = kernel.stage(row);
    rows.compute_at(whole, ko).reorder(first, i, j, t, n).vectorize(first, vector, shift).unroll(i).unroll(j);
  }

  const Var o = kernel.axis(0), kx = kernel.axis(3), ky = kernel.axis(2);
  const Var oi("oi");
  Func out = kernel.out();
  out.compute_root().bound(kx, 0, extent(shape[3])).bound(ky, 0, extent(shape[2]));
  out.split(o, o, oi, vector, shift).reorder(oi, kx, ky, o, kernel.axis(1)).vectorize(oi).unroll(kx).unroll(ky);
  out.parallel(kernel.axis(1));
  Func row = kernel.stage("weight_row");
  row.compute_at(out, o).reorder(k, i, j, c).vectorize(k, vector, shift).unroll(i).unroll(j);
  Func total = kernel.stage("total");
  total.compute_at(out, o).vectorize(k, vector, shift).unroll(i).unroll(j);
  total.update()
      .reorder(k, i, j, c, total.rvars(0)[0])
      .vectorize(k, vector, TailStrategy::GuardWithIf)
      .unroll(i)
      .unroll(j);
  return {slice, run};
}

}  // namespace netc::ops
