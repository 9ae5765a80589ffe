#include "compiler/ops/conv_winograd.h"

#include <algorithm>
#include <iterator>

#include "compiler/kernels/schedules.h"
#include "compiler/kernels/winograd.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/factors.h"

// Choice: the transforms of a block of tiles stay in the cache, between one copy of its images with zeros around them
// and its outputs. Alternative: each transform a pass over all images, which is written and read from memory. Measured
// on ResNet-18's training step at batch 256, two threads, against direct sums: 3211 -> 1397 ms; strided ones and F(6,
// 3) for gradients 1299 -> 1165 ms (2026-11). Error against double precision, relative to the norm: F(4, 3), F(3, 3)
// and F(2, 5) 5e-7, F(6, 3) and F(4, 5) 1.5e-6; direct sums 3e-7, like PyTorch's.
namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::LoopLevel;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

/// How many times as much is computed where `needed` things are computed `together` at a time.
double excess(int needed, int together) {
  return static_cast<double>(ceil_div(needed, together) * together) / needed;
}

const Var c("c"), k("k"), kk("kk"), kb("kb"), kv("kv"), t("t"), n("n"), p("p"), sl("slice"), pair("pair");
const Var &i = tile_column, &j = tile_row;

}  // namespace

Func transform(KernelBuilder& kernel, const std::string& name, const Matrix& matrix, const std::vector<Var>& at,
               const std::function<Expr(const Expr& column, const Expr& row)>& element, int stride,
               const std::function<Expr(const Expr& element)>& stored) {
  const auto place = [&](const Expr& column, const Expr& row) {
    std::vector<Expr> arguments(at.begin(), at.end());
    arguments.insert(arguments.end(), {column, row});
    return arguments;
  };
  std::vector<Var> variables = at;
  variables.insert(variables.end(), {i, j});
  Func along_rows(kernel.name(name + "_row"));
  along_rows(variables) = times(
      matrix, i, [&](int q) { return element(q, j); }, stride);
  Func whole(kernel.name(name));
  whole(variables) = stored(times(
      matrix, j, [&](int q) { return along_rows(place(i, q)); }, stride));
  kernel.stage(name + "_row", along_rows);
  kernel.stage(name, whole);
  return whole;
}

void unroll_tile(Func func, int vector) {
  const std::vector<Var> at = func.args();
  std::vector<Var> order{at[0], i, j};
  std::copy_if(at.begin() + 1, at.end(), std::back_inserter(order),
               [](const Var& variable) { return !variable.same_as(i) && !variable.same_as(j); });
  func.reorder(as_loops(order)).vectorize(at[0], vector, TailStrategy::ShiftInwards).unroll(i).unroll(j);
}

void schedule_output(KernelBuilder& kernel, const LoopLevel& at) {
  for (const char* name : {"output", "output_row"}) {
    Func stage = kernel.stage(name);
    stage.compute_at(at);
    unroll_tile(stage, kernel.machine().vector);
  }
}

namespace {

/// All points of a block's tiles, in the arguments channel, tile, image, column and row. A row of memory is a vector
/// longer than the channels, so that points do not lie multiples of 4 KB apart.
Func schedule_points(KernelBuilder& kernel, const std::string& name, int channels, int points, const LoopLevel& block) {
  const int vector = kernel.machine().vector;
  Func whole = kernel.stage(name);
  const Var channel = whole.args()[0];
  const Var within("within");
  whole.compute_at(block)
      .bound(channel, 0, channels)
      .bound(i, 0, points)
      .bound(j, 0, points)
      .align_storage(channel, channels + vector)
      .split(channel, channel, within, vector, TailStrategy::ShiftInwards)
      .reorder(within, i, j, channel, t, n)
      .vectorize(within)
      .unroll(i)
      .unroll(j);
  Func along_rows = kernel.stage(name + "_row");
  along_rows.compute_at(whole, channel);
  unroll_tile(along_rows, vector);
  return whole;
}

/// B^T d B of tile t of image n; tiles are `step` pixels apart, and the images whole blocks: the last of them may not
/// exist.
template <typename Conv>
Func transformed_images(KernelBuilder& kernel, const Conv& conv, int columns, int step, const Func& padded,
                        const Factors& factors) {
  const Expr image = min(n, kernel.blocks() - 1);
  const auto pixel = [&](const Expr& column, const Expr& row) {
    return cast(kernel.real(),
                padded(0, t % columns * step - conv.pad_x + column, t / columns * step - conv.pad_y + row, c, image));
  };
  return transform(kernel, "input", conv.matrices.input, {c, t, n}, pixel, conv.matrices.stride,
                   [&](const Expr& element) { return factors.stored(element); });
}

/// Sums that stay in registers: so many output channels, by so many tiles or input channels.
struct Registers {
  int filters;
  int filter_blocks;  // of all output channels
  int sums;

  int all_filters() const { return filters * filter_blocks; }
};

/// Vectors of output channels side by side in registers, so that few are computed beyond the last channel.
int filter_vectors(int channels, int vector, int most) {
  const int vectors = ceil_div(channels, vector);
  int best = 1;
  for (int count = 2; count <= most; ++count) {
    const int waste = ceil_div(vectors, count) * count - vectors;
    if (waste * 8 <= vectors) best = count;
  }
  return best;
}

Registers registers_of(const KernelBuilder& kernel, std::int64_t channels, int most_vectors = 4) {
  const Machine& machine = kernel.machine();
  const int most = std::min(machine.accumulators > 16 ? 4 : 2, most_vectors);
  const int vectors =
      kernel.choice("vectors", filter_vectors(extent(channels), machine.vector, most), up_to(most, most));
  const int filters = vectors * machine.vector;
  return {filters, ceil_div(extent(channels), filters), machine.sums(vectors)};
}

/// Whether the sums of all tiles of an image stay in the cache.
bool sums_fit(const Shape& output, std::int64_t outputs, std::int64_t points) {
  constexpr std::int64_t cache = 2048;  // floats of a channel, of which a task computes a vector
  return ceil_div(output[2], outputs) * ceil_div(output[3], outputs) * points * points <= cache;
}

/// A few images: tasks of some output channels, of a vector of them where they transform the filters that they use.
bool tasks_of_filters(const KernelBuilder& kernel, const WinogradConv& conv) {
  const Shape& shape = kernel.shape(conv.output);
  return kernel.few() && shape[1] % kernel.machine().vector == 0 && sums_fit(shape, conv.outputs(), conv.points());
}

/// Tasks of filters have a vector of them, whose sums stay in the cache nearest to the processor.
Registers registers_of(const KernelBuilder& kernel, const WinogradConv& conv) {
  return registers_of(kernel, kernel.shape(conv.output)[1], tasks_of_filters(kernel, conv) ? 1 : 4);
}

// ---- Images ---------------------------------------------------------------------------------------------------------

/// How the tiles of all images are cut into blocks (some rows of tiles of one image, or several whole images), and how
/// many products are summed in registers at a time.
struct Blocks {
  int columns;  // tiles in a row
  int rows;     // of tiles, in a block
  int images;   // in a block
  int tiles;    // of an image at a time
  int tiles_of_images;

  /// Of an image in a block, with those that only fill registers.
  int all_tiles() const { return ceil_div(columns * rows, tiles) * tiles; }
};

/// Fills `sums` registers with tiles of one image or of several, so that few are computed beyond the last tile.
int tiles_in_registers(const Blocks& blocks, int image_tiles, int sums) {
  int best = 1;
  double least = 0;
  for (int tiles = 1; tiles <= std::min(sums, image_tiles); ++tiles) {
    const int images = std::min(sums / tiles, blocks.images);
    const double cost = excess(image_tiles, tiles) * (1 + 1.0 / (tiles * images));
    if (least != 0 && cost > least) continue;
    least = cost;
    best = tiles;
  }
  return best;
}

/// Rows of tiles in a block of up to `most` tiles, so that few are computed beyond the last row, and the filters, which
/// every block reads, serve many.
int rows_of_block(int columns, int rows, int most) {
  int best = 1;
  double least = 0;
  for (int count = 1; count <= std::clamp(most / columns, 1, rows); ++count) {
    const double cost = excess(rows, count) * (1 + 5.0 / (count * columns));
    if (least != 0 && cost > least) continue;
    least = cost;
    best = count;
  }
  return best;
}

Blocks blocks_of(const KernelBuilder& kernel, const WinogradConv& conv) {
  const Shape& shape = kernel.shape(conv.output);
  const int columns = ceil_div(extent(shape[3]), conv.outputs());
  const int rows = ceil_div(extent(shape[2]), conv.outputs());
  const std::int64_t floats = conv.points() * conv.points() * (conv.channels + shape[1]);  // of a tile
  const auto tiles = [&](int cache, int most) { return std::clamp(extent(cache / floats), 8, most); };
  Blocks blocks{};
  blocks.columns = columns;
  // Rows of a block overlap with the next block's.
  const bool whole = tasks_of_filters(kernel, conv);
  blocks.rows =
      whole ? rows : kernel.choice("rows", rows_of_block(columns, rows, tiles(1 << 19, 128)), up_to(rows, rows));
  const int images = std::max(1, tiles(1 << 18, 64) / (columns * rows));
  blocks.images = whole || blocks.rows < rows ? 1 : kernel.choice("images", images, {1, 2, 4, 8, 16, 32, 64});
  if (kernel.pools()) blocks.images = 1;
  const int sums = registers_of(kernel, conv).sums;
  const int tiles_of_image = columns * blocks.rows;
  blocks.tiles = kernel.choice("tiles", tiles_in_registers(blocks, tiles_of_image, sums), up_to(tiles_of_image, sums));
  blocks.tiles_of_images = std::min(sums / blocks.tiles, blocks.images);
  blocks.images -= blocks.images % blocks.tiles_of_images;
  return blocks;
}

/// The output's transform enlarges the rounding errors of the sums over channels: they are added up of parts, where
/// some divisor of the channels makes long enough ones.
int part_of(const WinogradConv& conv) {
  const int part = divisor(conv.channels, conv.longest_part);
  return part * 2 > conv.longest_part && part % conv.factors.together() == 0 ? part : extent(conv.channels);
}

/// A factor of a product: channel, column and row of a tile's points, of output channel kk of block kb.
using PackedFilter = std::function<Expr(const Expr& c, const Expr& i, const Expr& j)>;

/// G w G^T, once a call, as blocks of output channels; where products are added up in pairs, those of two channels lie
/// side by side.
PackedFilter packed_filters(KernelBuilder& kernel, const WinogradConv& conv, const Registers& registers, int channels,
                            const WinogradFilter& weight, ValueId weights) {
  const Func filter = transform(kernel, "whole_filter", conv.matrices.filter, {k, c},
                                [&](const Expr& column, const Expr& row) { return weight(k, c, row, column); });
  const Expr number = kb * registers.filters + kk;
  const Expr existing = registers.all_filters() == channels ? number : min(number, channels - 1);
  const int together = conv.factors.together();
  // Blocks lie in the order of reading: tasks of filters read all points of a block.
  const bool tasks = tasks_of_filters(kernel, conv);
  const int points = conv.points();
  Func packed(kernel.name("filter"));
  const std::vector<Var> at = tasks ? std::vector<Var>{pair, kk, c, i, j, kb} : std::vector<Var>{pair, kk, c, kb, i, j};
  packed(at) = conv.factors.stored(filter(existing, c * together + pair, i, j));
  kernel.stage("filter", packed);
  std::vector<int> extents{together, registers.filters, extent(conv.channels / together), points, points};
  extents.insert(tasks ? extents.end() : extents.begin() + 3, registers.filter_blocks);
  const Func stored = kernel.prepared(weights, packed, extents);
  return [=](const Expr& channel, const Expr& column, const Expr& row) {
    std::vector<Expr> place{channel % together, kk, channel / together, column, row};
    place.insert(tasks ? place.end() : place.begin() + 3, Expr(kb));
    return stored(place);
  };
}

/// Sums in registers, tiles of output channels by tiles of pixels.
void schedule_part(Func part, const WinogradConv& conv, int vector) {
  const Halide::RVar r = part.rvars(0)[0];
  part.vectorize(kk, vector).unroll(kk).unroll(t);
  const int together = conv.factors.together();
  if (together > 1) {
    schedule_dot_products(part.update(), {kk, t, n, kb, i, j, r}, kk, vector, r, together);
  } else {
    part.update().reorder(kk, t, n, kb, i, j, r).vectorize(kk, vector);
  }
  part.update().unroll(kk).unroll(t);
}

/// The tiles of a block in registers, each point by itself.
void schedule_products(KernelBuilder& kernel, const WinogradConv& conv, const Blocks& blocks,
                       const Registers& registers, const LoopLevel& block) {
  const int vector = kernel.machine().vector;
  const Var ti("ti"), ni("ni");
  Func product = kernel.stage("product");
  product.compute_at(block)
      .bound(k, 0, registers.all_filters())
      .bound_extent(t, blocks.all_tiles())
      .bound(i, 0, conv.points())
      .bound(j, 0, conv.points())
      .align_storage(k, registers.all_filters() + vector)
      .split(k, kb, kk, registers.filters)
      .split(kk, kk, kv, vector)
      .split(t, t, ti, blocks.tiles, TailStrategy::RoundUp)
      .split(n, n, ni, blocks.tiles_of_images, TailStrategy::RoundUp)
      .reorder(kv, kk, ti, ni, t, n, kb, i, j)
      .vectorize(kv)
      .unroll(kk)
      .unroll(ti)
      .unroll(ni);
  Func sums = kernel.stage("sums");
  Func part = kernel.stage("part");
  sums.compute_at(product, t);
  sums.bound_extent(kk, registers.filters).vectorize(kk, vector).unroll(kk).unroll(t).unroll(n);
  sums.update().reorder(kk, t, n, kb, i, j, sums.rvars(0)[0]).vectorize(kk, vector).unroll(kk).unroll(t).unroll(n);
  part.compute_at(sums, sums.rvars(0)[0]);
  schedule_part(part, conv, vector);
  part.unroll(n);
  part.update().unroll(n);
}

/// Vectors of filters, all points of each unrolled.
Func schedule_filters(KernelBuilder& kernel, const WinogradConv& conv, const Registers& registers,
                      const LoopLevel& at) {
  const int vector = kernel.machine().vector;
  Func filter = kernel.stage("filter");
  filter.compute_at(at)
      .bound(kk, 0, registers.filters)
      .bound(pair, 0, conv.factors.together())
      .split(kk, kk, kv, vector)
      .reorder(kv, pair, i, j, kk, kb, c)
      .vectorize(kv)
      .unroll(pair)
      .unroll(i)
      .unroll(j);
  Func along_rows = kernel.stage("whole_filter_row");
  along_rows.compute_at(filter, kk);
  unroll_tile(along_rows, vector);
  return filter;
}

}  // namespace

bool suits_winograd(const Windows& windows, std::int64_t groups, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t channels = 16;
  const std::int64_t size = windows.x.kernel;
  return windows.y.kernel == size && (size == 3 || size == 5) && groups == 1 && in >= channels && out >= channels;
}

Winograd WinogradTile::matrices(const Window& window) const {
  const int taps = extent(window.kernel);
  return whole ? winograd_of_whole_row(outputs, taps) : winograd(outputs, taps, extent(window.stride));
}

WinogradGradient WinogradTile::gradient(const Window& window) const {
  const int taps = extent(window.kernel);
  if (!whole) return winograd_gradient(outputs, taps, extent(window.stride), extent(window.pad));
  Winograd flipped = winograd_of_whole_row(outputs, taps);
  for (std::vector<double>& row : flipped.filter) std::reverse(row.begin(), row.end());
  return {flipped, 0};
}

namespace {

/// The tiles that a convolution may have.
struct Tiles {
  const Windows& windows;
  const Shape& output;

  int size() const { return extent(windows.x.kernel); }
  int stride() const { return extent(windows.x.stride); }

  /// Whether a tile is a whole image, and has the algorithm of one.
  bool is_whole(int outputs) const {
    const auto keeps = [](const Window& w) { return w.stride == 1 && w.dilation == 1 && w.pad * 2 + 1 == w.kernel; };
    const bool image = output[2] == outputs && output[3] == outputs && keeps(windows.y) && keeps(windows.x);
    return image && whole_row_points(outputs, size()) > 0;
  }

  std::int64_t points(int outputs) const {
    return is_whole(outputs) ? whole_row_points(outputs, size()) : (outputs - 1) * stride() + size();
  }

  std::int64_t multiplications(int outputs) const {
    return ceil_div(output[2], outputs) * ceil_div(output[3], outputs) * points(outputs) * points(outputs);
  }

  /// With up to `most_points` for a phase of a row, of a tile that takes up to `widest` + 1 elements.
  std::vector<int> candidates(int most_points, int widest) const {
    std::vector<int> result{0, 2, 3, 4, 5, 6};
    std::erase_if(result, [&](int outputs) {
      const bool allowed = outputs != 5 && winograd_points(outputs, size(), stride()) <= most_points;
      return (!allowed && !is_whole(outputs)) || (outputs - 1) * stride() > widest;
    });
    return result;
  }
};

}  // namespace

std::optional<WinogradTile> winograd_tile(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                          const Shape& input, const Shape& output, int most_points) {
  const Tiles tiles{windows, output};
  const std::int64_t size = tiles.size();
  const auto fits = [&](const Window& w) { return w.kernel == size && w.stride == tiles.stride() && w.dilation == 1; };
  // Axes share their matrices.
  const bool alike = tiles.stride() == 1 || (tiles.stride() == 2 && windows.y.pad == windows.x.pad);
  if (kernel.machine().is_gpu() || kernel.lanes() > 1 || !alike) return std::nullopt;
  if (!suits_winograd(windows, groups, input[1], output[1]) || !fits(windows.y) || !fits(windows.x))
    return std::nullopt;
  // All of a tile is unrolled: with 16 registers, F(6, 3) spills, and ResNet-18 takes a third longer to compile.
  // Choice: processors without AVX2 get tiles of 2 pixels alone. Alternative: those of AVX2: ResNet-18 compiles in 34
  // in place of 27 s for everybody, its library is a quarter larger; a step takes them 2.0 in place of 4.0 s (2026-11).
  const bool few_lanes = kernel.machine().vector < 8;
  const int widest = few_lanes ? 1 : kernel.machine().accumulators > 16 ? 5 : 4;
  const std::vector<int> candidates = tiles.candidates(most_points, widest);
  if (candidates.size() == 1) return std::nullopt;
  // A few images share what it takes to transform the filters, the more if these are written and read again.
  // Of prepared ones, it takes about as long to read one as to multiply so many times.
  constexpr std::int64_t reading = 12;
  const bool prepared = kernel.part() != Part::whole;
  const auto cost = [&](int outputs) {
    const std::int64_t points = tiles.points(outputs);
    const std::int64_t products = tiles.multiplications(outputs);
    if (prepared) return products + (kernel.few() ? reading * points * points : 0);
    const std::int64_t transform = points * size * (size + points);
    const bool written = !sums_fit(output, outputs, points);
    return products + (kernel.few() ? transform * (written ? 12 : 5) / 4 : 0);
  };
  int best = 0;
  for (int outputs : candidates) {
    if (outputs > 0 && (best == 0 || cost(outputs) <= cost(best))) best = outputs;
  }
  const std::int64_t taps = size * size;
  const std::int64_t direct = taps * (output[2] * output[3] + (kernel.few() && prepared ? reading : 0));
  const bool pays = kernel.few() ? cost(best) * 4 < direct * 3 : cost(best) * 3 < direct * 2;
  const int outputs = kernel.choice("outputs", pays ? best : 0, candidates);
  return outputs > 0 ? std::optional(WinogradTile{outputs, tiles.is_whole(outputs)}) : std::nullopt;
}

void define_by_winograd(KernelBuilder& kernel, const WinogradConv& conv, const Func& padded, const Expr& start,
                        const WinogradFilter& weight, ValueId weights) {
  const Winograd& w = conv.matrices;
  const Shape& shape = kernel.shape(conv.output);
  const Blocks blocks = blocks_of(kernel, conv);
  const Registers registers = registers_of(kernel, conv);
  const PackedFilter filter = packed_filters(kernel, conv, registers, extent(shape[1]), weight, weights);
  const Func input = transformed_images(kernel, conv, blocks.columns, conv.step, padded, conv.factors);

  const int terms = part_of(conv);
  const RDom r(0, terms, kernel.name("r"));
  const RDom all(0, extent(conv.channels) / terms, kernel.name("all"));
  const Expr channel = p * terms + r;
  Func part(kernel.name("part"));
  part(kk, kb, t, n, i, j, p) = kernel.constant(0);
  part(kk, kb, t, n, i, j, p) += conv.factors.product(filter(channel, i, j), input(channel, t, n, i, j));
  Func sums(kernel.name("sums"));
  sums(kk, kb, t, n, i, j) = kernel.constant(0);
  sums(kk, kb, t, n, i, j) += part(kk, kb, t, n, i, j, all);
  Func product(kernel.name("product"));
  product(k, t, n, i, j) = sums(k % registers.filters, k / registers.filters, t, n, i, j);
  kernel.stage("part", part);
  kernel.stage("sums", sums);
  kernel.stage("product", product);

  // A^T m A.
  const Func output = transform(kernel, "output", w.output, {k, t, n},
                                [&](const Expr& column, const Expr& row) { return product(k, t, n, column, row); });
  const Point at = kernel.point(shape);
  const Expr& y = at.axes[1];
  const Expr& x = at.axes[2];
  const int outputs = conv.outputs();
  const Expr tile = x / outputs + blocks.columns * (y / outputs);
  Func result(kernel.name("result"));
  result(kernel.variables(shape)) = start + output(at.axes[0], tile, at.block, x % outputs, y % outputs);
  kernel.define(conv.output, result);
}

namespace {

/// Each task transforms the filters that it multiplies, some channels at a time; its sums, of all tiles, stay in the
/// cache. Alternative: all filters first, which are written, 4 times as large as they were, and read again by each
/// block of tiles. 128 to 128 channels of 12x12 at batch 1: 0.18 -> 0.13 ms; 256 to 384, which did not pay before: 1.39
/// -> 0.64 ms (2026-11).
LoopLevel schedule_tasks_of_filters(KernelBuilder& kernel, const WinogradConv& conv) {
  const Blocks blocks = blocks_of(kernel, conv);
  const Registers registers = registers_of(kernel, conv);
  const int vector = kernel.machine().vector;
  const Var x = kernel.axis(3), y = kernel.axis(2), z = kernel.axis(1);
  const Var xi("xi"), yi("yi"), zi("zi"), zo("zo"), ti("ti");
  constexpr TailStrategy guard = TailStrategy::GuardWithIf;
  Func out = kernel.out();
  out.compute_root()
      .split(y, y, yi, conv.outputs(), guard)
      .split(x, x, xi, conv.outputs(), guard)
      .split(z, zo, z, registers.filters, guard)
      .split(z, z, zi, vector)
      .reorder(zi, xi, yi, z, x, y, kernel.lane(), kernel.block(), zo)
      .vectorize(zi)
      .unroll(xi)
      .unroll(yi)
      .parallel(zo);
  schedule_output(kernel, LoopLevel(out, z));
  Func sums = kernel.stage("sums");
  Func part = kernel.stage("part");
  const Halide::RVar all = sums.rvars(0)[0];
  sums.compute_at(out, zo)
      .bound(kk, 0, registers.filters)
      .bound_extent(kb, 1)
      .bound_extent(t, blocks.all_tiles())
      .bound(i, 0, conv.points())
      .bound(j, 0, conv.points())
      .vectorize(kk, vector);
  sums.update()
      .split(kk, kk, kv, vector)
      .split(t, t, ti, blocks.tiles)
      .reorder(kv, kk, ti, t, n, kb, i, j, all)
      .vectorize(kv)
      .unroll(kk)
      .unroll(ti);
  part.compute_at(sums, t);
  schedule_part(part, conv, vector);
  kernel.fetch_ahead(part.update(), part.rvars(0)[0], conv.factors.together(), 64);
  schedule_points(kernel, "input", extent(conv.channels), conv.points(), LoopLevel::root()).parallel(t);
  schedule_filters(kernel, conv, registers, LoopLevel(sums, all));
  return LoopLevel::root();
}

}  // namespace

LoopLevel schedule_by_winograd(KernelBuilder& kernel, const WinogradConv& conv) {
  if (tasks_of_filters(kernel, conv)) return schedule_tasks_of_filters(kernel, conv);
  const Blocks blocks = blocks_of(kernel, conv);
  const int vector = kernel.machine().vector;
  const Var x = kernel.axis(3), y = kernel.axis(2), z = kernel.axis(1);
  const Var xi("xi"), yi("yi"), zi("zi"), ni("ni"), yo("yo"), no("no"), block("block");
  constexpr TailStrategy guard = TailStrategy::GuardWithIf;
  Func out = kernel.out();
  out.compute_root()
      .split(kernel.block(), no, ni, blocks.images, guard)
      .split(y, yo, y, blocks.rows * conv.outputs(), guard)
      .split(y, y, yi, conv.outputs(), guard)
      .split(x, x, xi, conv.outputs(), guard)
      .split(z, z, zi, vector, TailStrategy::ShiftInwards)
      .reorder(zi, xi, yi, z, kernel.lane(), x, y, ni, yo, no)
      .vectorize(zi)
      .unroll(xi)
      .unroll(yi)
      .fuse(yo, no, block)
      .parallel(block);
  schedule_output(kernel, LoopLevel(out, z));
  const Registers registers = registers_of(kernel, conv);
  schedule_products(kernel, conv, blocks, registers, LoopLevel(out, block));
  schedule_points(kernel, "input", extent(conv.channels), conv.points(), LoopLevel(out, block));
  schedule_filters_once(kernel, conv);
  return {out, block};
}

void schedule_filters_once(KernelBuilder& kernel, const WinogradConv& conv) {
  const Registers registers = registers_of(kernel, conv);
  Func filter = schedule_filters(kernel, conv, registers, LoopLevel::root());
  filter.bound(kb, 0, registers.filter_blocks).parallel(c, 8, TailStrategy::GuardWithIf);
}

// ---- Weights --------------------------------------------------------------------------------------------------------

namespace {

/// How the sums over tiles are cut: into blocks of images whose transforms stay in the cache, and slices of blocks with
/// sums of their own, in parallel; or, where the sums are large, one slice whose points run in parallel.
struct WeightBlocks {
  int columns;  // tiles in a row
  int tiles;    // of an image
  int images;   // in a block
  int slices;
  int channels;  // input channels at a time

  bool points_in_parallel() const { return slices == 1; }
};

WeightBlocks weight_blocks(const KernelBuilder& kernel, const WinogradWeights& conv) {
  const Shape& shape = kernel.shape(conv.weight);
  const Shape& gradient = kernel.shape(conv.gradient);
  const std::int64_t sums = conv.points() * conv.points() * shape[0] * shape[1];
  WeightBlocks blocks{};
  blocks.columns = ceil_div(extent(gradient[3]), conv.outputs());
  blocks.tiles = blocks.columns * ceil_div(extent(gradient[2]), conv.outputs());
  blocks.slices = kernel.choice("slices",
                                sums <= 1 << 18   ? slices
                                : sums <= 5 << 17 ? slices / 2
                                                  : 1,
                                {1, slices / 2, slices});
  blocks.images = kernel.choice("images", std::max(1, (blocks.points_in_parallel() ? 128 : 36) / blocks.tiles),
                                {1, 2, 4, 8, 16, 32, 64, 128});
  const int most = registers_of(kernel, shape[0]).sums;
  blocks.channels = kernel.choice("channels", divisor(shape[1], most), divisors(shape[1], most));
  return blocks;
}

}  // namespace

Func transformed_gradient(KernelBuilder& kernel, const Winograd& matrices, int width, int height, const Var& tile,
                          const std::vector<Var>& at, const std::function<Expr(const Expr& x, const Expr& y)>& dy) {
  const int columns = ceil_div(width, matrices.results());
  return transform(kernel, "gradient", transposed(matrices.output), at, [&](const Expr& column, const Expr& row) {
    const Expr x = tile % columns * matrices.results() + column;
    const Expr y = tile / columns * matrices.results() + row;
    const Expr element = dy(min(x, width - 1), min(y, height - 1));
    return select(x < width && y < height, element, kernel.constant(0));
  });
}

/// A vector of output channels with all taps.
void schedule_taps(KernelBuilder& kernel, const Shape& shape) {
  const int vector = vector_extent(kernel.machine(), shape[0]);
  constexpr TailStrategy shift = TailStrategy::ShiftInwards;
  const Var o = kernel.axis(0), kx = kernel.axis(3), ky = kernel.axis(2), oi("oi");
  Func out = kernel.out();
  out.compute_root().bound(kx, 0, extent(shape[3])).bound(ky, 0, extent(shape[2]));
  out.split(o, o, oi, vector, shift).reorder(oi, kx, ky, o, kernel.axis(1)).vectorize(oi).unroll(kx).unroll(ky);
  out.parallel(kernel.axis(1));
  Func along_rows = kernel.stage("taps_row");
  along_rows.compute_at(out, o);
  unroll_tile(along_rows, vector);
}

void define_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv, const Func& padded,
                                const Func& output_gradient) {
  const Shape& shape = kernel.shape(conv.weight);
  const Winograd& w = conv.matrices;
  const WeightBlocks blocks = weight_blocks(kernel, conv);
  const Func input =
      transformed_images(kernel, conv, blocks.columns, conv.outputs() * w.stride, padded, Factors(kernel));
  const Shape& dy = kernel.shape(conv.gradient);
  const auto output_at = [&](const Expr& x, const Expr& y) {
    return output_gradient(0, x, y, min(k, extent(dy[1]) - 1), n);
  };
  const Func gradient = transformed_gradient(kernel, w, extent(dy[3]), extent(dy[2]), t, {k, t, n}, output_at);

  // Their products, summed over the tiles of a block, the blocks of a slice, and the slices.
  const Var b("b");
  RDom r(0, blocks.tiles, 0, blocks.images, kernel.name("r"));
  r.where(b * blocks.images + r.y < kernel.blocks());
  const Expr image = min(b * blocks.images + r.y, kernel.blocks() - 1);
  Func block(kernel.name("block"));
  block(k, c, b, i, j) = kernel.constant(0);
  block(k, c, b, i, j) += gradient(k, r.x, image, i, j) * input(c, r.x, image, i, j);
  const Expr runs = ceil_div(kernel.blocks(), blocks.images);
  const Expr per_slice = ceil_div(runs, blocks.slices);
  RDom run(0, per_slice, kernel.name("run"));
  run.where(sl * per_slice + run < runs);
  Func slice(kernel.name("slice"));
  slice(k, c, i, j, sl) = kernel.constant(0);
  slice(k, c, i, j, sl) += block(k, c, min(sl * per_slice + run, runs - 1), i, j);
  const RDom all(0, blocks.slices, kernel.name("all"));
  Func total(kernel.name("total"));
  total(k, c, i, j) = kernel.constant(0);
  total(k, c, i, j) += slice(k, c, i, j, all);
  kernel.stage("block", block);
  kernel.stage("slice", slice);
  kernel.stage("total", total);

  // G^T u G.
  const Func taps = transform(kernel, "taps", transposed(w.filter), {k, c},
                              [&](const Expr& column, const Expr& row) { return total(k, c, column, row); });
  Func weight(kernel.name("weight"));
  weight(kernel.variables(shape)) = taps(kernel.axis(0), kernel.axis(1), kernel.axis(3), kernel.axis(2));
  kernel.define(conv.weight, weight);
}

CopyPlace schedule_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv) {
  const Shape& shape = kernel.shape(conv.weight);
  const WeightBlocks blocks = weight_blocks(kernel, conv);
  const Registers registers = registers_of(kernel, shape[0]);
  const int vector = kernel.machine().vector;
  const int points = conv.points();
  const int channels = extent(shape[1]);

  Func slice = kernel.stage("slice");
  const Halide::RVar run = slice.rvars(0)[0];
  const Var ci("ci");
  slice.compute_root()
      .bound(k, 0, registers.all_filters())
      .bound(c, 0, channels)
      .bound(i, 0, points)
      .bound(j, 0, points);
  slice.vectorize(k, vector);
  Halide::Stage update = slice.update();
  update.split(k, kb, kk, registers.filters).split(kk, kk, kv, vector).split(c, c, ci, blocks.channels);
  update.reorder({kv, kk, ci, c, kb, i, j, run, sl}).vectorize(kv).unroll(kk).unroll(ci);
  for (Halide::Stage stage : {Halide::Stage(slice), update}) {
    const Var point("point");
    if (blocks.points_in_parallel()) {
      stage.fuse(i, j, point).parallel(point);
    } else {
      stage.parallel(sl);
    }
  }

  Func block = kernel.stage("block");
  const std::vector<Halide::RVar> r = block.rvars(0);
  block.compute_at(slice, c).vectorize(k, vector).unroll(k).unroll(c);
  block.update().reorder(k, c, r[0], r[1]).vectorize(k, vector).unroll(k).unroll(c);

  const LoopLevel at(slice, run);
  for (Func transformed : {schedule_points(kernel, "input", channels, points, at),
                           schedule_points(kernel, "gradient", registers.all_filters(), points, at)}) {
    const Var tile("tile");
    if (blocks.points_in_parallel()) transformed.fuse(t, n, tile).parallel(tile);
  }
  schedule_taps(kernel, shape);
  Func total = kernel.stage("total");
  total.compute_at(kernel.out(), kernel.axis(0)).vectorize(k, vector, TailStrategy::ShiftInwards).unroll(i).unroll(j);
  total.update()
      .reorder(k, i, j, c, total.rvars(0)[0])
      .vectorize(k, vector, TailStrategy::GuardWithIf)
      .unroll(i)
      .unroll(j);
  return {at, blocks.points_in_parallel()};
}

}  // namespace netc::ops
