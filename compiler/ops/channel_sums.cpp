#include "compiler/ops/channel_sums.h"

#include <algorithm>

#include "compiler/kernels/gpu_products.h"
#include "compiler/kernels/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Tuple;
using Halide::Var;

namespace {

const Var slice_variable("s");

/// What `func` holds at a place.
Terms values(const Func& func, const std::vector<Expr>& at) {
  if (func.outputs() == 1) return {func(at)};
  Terms all;
  for (int i = 0; i < func.outputs(); ++i) all.push_back(func(at)[i]);
  return all;
}

void define(Func func, const std::vector<Var>& at, const Terms& elements) {
  if (elements.size() == 1) {
    func(at) = elements[0];
  } else {
    func(at) = Tuple(elements);
  }
}

/// The stage `name`: the sums of `terms` over a reduction.
Func define_sums(KernelBuilder& kernel, const std::string& name, const std::vector<Var>& at, const Terms& terms) {
  Func sums(kernel.name(name));
  define(sums, at, Terms(terms.size(), kernel.constant(0)));
  Terms added = values(sums, {at.begin(), at.end()});
  for (std::size_t i = 0; i < terms.size(); ++i) added[i] += terms[i];
  define(sums, at, added);
  kernel.stage(name, sums);
  return sums;
}

/// `elements` where `exists`, and otherwise zeros.
Terms where(KernelBuilder& kernel, const Expr& exists, Terms elements) {
  for (Expr& element : elements) element = select(exists, element, kernel.constant(0));
  return elements;
}

/// Blocks of a GPU's threads: so many channels side by side, as they lie in memory, by so many pixels (examples, where
/// these lie side by side), and the parts of all pixels that they take.
struct SumBlocks {
  int channels;
  int pixels;
  int parts;
};

SumBlocks sum_blocks(const KernelBuilder& kernel, std::int64_t channels) {
  constexpr std::int64_t warp = 32;
  constexpr int threads = 256;
  constexpr int examples = 64;
  const int side_by_side = kernel.lanes() > 1 ? 1 : extent(std::min(warp, channels));
  const int pixels = kernel.lanes() > 1 ? examples : threads / side_by_side;
  return {side_by_side, pixels, parts_to_fill_gpu(ceil_div(channels, side_by_side))};
}

Func channel_sums_on_gpu(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Elements& elements) {
  const SumBlocks blocks = sum_blocks(kernel, shape[1]);
  const Var t("t"), c = kernel.axis(1), s = slice_variable;
  const Expr pixels = kernel.blocks() * extent(kernel.lanes() * shape.elements() / shape[1]);
  const RDom r(0, ceil_div(pixels, blocks.parts * blocks.pixels), kernel.name("r"));
  const RDom of_block(0, blocks.pixels, kernel.name("threads"));
  const RDom all(0, blocks.parts, kernel.name("all"));
  const Expr p = (s * r.x.extent() + r) * blocks.pixels + t;
  const Point at = pixel_of_batch(kernel, shape, c, min(p, pixels - 1));
  const Func thread =
      define_sums(kernel, name + "_thread", {c, t, s}, where(kernel, p < pixels && kernel.valid(at), elements(at)));
  Func staged(kernel.name(name + "_staged"));
  define(staged, {c, t, s}, values(thread, {c, t, s}));
  const Func block = define_sums(kernel, name + "_block", {c, s}, values(staged, {c, of_block, s}));
  Func slice(kernel.name(name + "_slice"));
  define(slice, {c, s}, values(block, {c, s}));
  kernel.stage(name + "_staged", staged);
  kernel.stage(name + "_slice", slice);
  kernel.stage_extent(name, extent(shape[1]));
  return define_sums(kernel, name, {c}, values(slice, {c, all}));
}

}  // namespace

Point pixel_of_batch(const KernelBuilder& kernel, const Shape& shape, const Expr& c, const Expr& p) {
  const Expr lane = p % kernel.lanes();
  const Expr rest = p / kernel.lanes();
  if (shape.rank() == 2) return {lane, rest, {c}};
  const int height = extent(shape[2]);
  const int width = extent(shape[3]);
  return {lane, rest / (height * width), {c, rest / width % height, rest % width}};
}

Func image_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Elements& elements) {
  const Var l = kernel.lane(), n = kernel.block(), c = kernel.axis(1), y = kernel.axis(2);
  const RDom columns(0, extent(shape[3]), kernel.name("x"));
  const RDom rows(0, extent(shape[2]), kernel.name("y"));
  const Func row = define_sums(kernel, name + "_row", {l, c, y, n}, elements({l, n, {c, y, columns}}));
  return define_sums(kernel, name + "_image", {l, c, n}, values(row, {l, c, rows, n}));
}

Func channel_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Elements& elements) {
  if (kernel.machine().is_gpu()) return channel_sums_on_gpu(kernel, name, shape, elements);
  const Var l = kernel.lane(), n = kernel.block(), c = kernel.axis(1);
  const auto existing = [&](const Point& at) { return where(kernel, kernel.valid(at), elements(at)); };
  Func image;
  if (shape.rank() == 4) {
    image = image_sums(kernel, name, shape, existing);
  } else {
    image = Func(kernel.name(name + "_image"));
    define(image, {l, c, n}, existing({l, n, {c}}));
    kernel.stage(name + "_image", image);
  }
  const Expr blocks = kernel.blocks();
  const Expr per_slice = ceil_div(blocks, slices);
  RDom b(0, per_slice, kernel.name("b"));
  const RDom all(0, kernel.lanes(), 0, slices, kernel.name("all"));
  b.where(slice_variable * per_slice + b < blocks);
  const Func slice = define_sums(kernel, name + "_slice", {l, c, slice_variable},
                                 values(image, {l, c, min(slice_variable * per_slice + b, blocks - 1)}));
  kernel.stage_extent(name, extent(shape[1]));
  return define_sums(kernel, name, {c}, values(slice, {all.x, c, all.y}));
}

namespace {

/// How sums run through memory: vectors along what lies densest (channels, or images side by side), then through the
/// rest of a pixel, and pixel by pixel.
struct SumLoops {
  SumLoops(KernelBuilder& kernel, const std::string& name)
      : dense(kernel.lanes() > 1 ? kernel.lane() : kernel.axis(1)),
        other(kernel.lanes() > 1 ? kernel.axis(1) : kernel.lane()),
        vector(kernel.lanes() > 1 ? kernel.machine().vector
                                  : vector_extent(kernel.machine(), kernel.stage_extent(name))) {}

  /// Vectors of no more than the channels that there are, terms outside of them, then `outer`.
  void schedule(Func func, std::vector<Halide::VarOrRVar> outer) const {
    std::vector<Halide::VarOrRVar> loops{dense, other};
    loops.insert(loops.end(), outer.begin(), outer.end());
    func.reorder(loops).vectorize(dense, vector, TailStrategy::ShiftInwards);
    loops.insert(loops.begin() + 2, func.rvars(0)[0]);
    func.update().reorder(loops).vectorize(dense, vector, TailStrategy::GuardWithIf);
  }

  Var dense;
  Var other;
  int vector;
};

}  // namespace

void schedule_image_sums(KernelBuilder& kernel, const std::string& name, const Halide::LoopLevel& at) {
  const SumLoops loops(kernel, name);
  Func image = kernel.stage(name + "_image");
  Func row = kernel.stage(name + "_row");
  image.compute_at(at);
  loops.schedule(image, {kernel.block()});
  row.compute_at(image, image.rvars(0)[0]);
  loops.schedule(row, {kernel.axis(2), kernel.block()});
}

void schedule_channel_sums(KernelBuilder& kernel, const std::string& name) {
  Func slice = kernel.stage(name + "_slice");
  slice.compute_root();
  SumLoops(kernel, name).schedule(slice, {slice_variable});
  slice.parallel(slice_variable);
  slice.update().parallel(slice_variable);
  kernel.stage(name).compute_root();
  // The sums of features are parts of the slice's.
  if (kernel.has_stage(name + "_row")) schedule_image_sums(kernel, name, {slice, slice.rvars(0)[0]});
}

void schedule_channel_sums_on_gpu(KernelBuilder& kernel, const std::string& name) {
  const int channels = kernel.stage_extent(name);
  const SumBlocks blocks = sum_blocks(kernel, channels);
  const Var c = kernel.axis(1), s = slice_variable, co("co"), ci("ci"), block("block");
  kernel.stage(name + "_slice")
      .compute_root()
      .bound(c, 0, channels)
      .bound(s, 0, blocks.parts)
      .split(c, co, ci, blocks.channels, TailStrategy::ShiftInwards)
      .fuse(co, s, block)
      .gpu_blocks(block)
      .gpu_threads(ci);
  Func slice = kernel.stage(name + "_slice");
  Func staged = kernel.stage(name + "_staged");
  staged.compute_at(slice, block).store_in(Halide::MemoryType::GPUShared).gpu_threads(c, staged.args()[1]);
  kernel.stage(name + "_thread").compute_at(staged, c);
  kernel.stage(name + "_block").compute_at(slice, ci);
}

}  // namespace netc::ops
