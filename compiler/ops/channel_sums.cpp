#include "compiler/ops/channel_sums.h"

#include <algorithm>

#include "compiler/gpu_products.h"
#include "compiler/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

const Var slice_variable("s");

using Element = std::function<Expr(const Point&)>;

/// The sum of an image's pixels, rows first; of features there is one a channel.
Func image_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Element& element) {
  const Var l = kernel.lane();
  const Var n = kernel.block();
  const Var c = kernel.axis(1);
  Func image(kernel.name(name + "_image"));
  if (shape.rank() == 2) {
    image(l, c, n) = element({l, n, {c}});
    return image;
  }
  const Var y = kernel.axis(2);
  const RDom columns(0, static_cast<int>(shape[3]), kernel.name("x"));
  const RDom rows(0, static_cast<int>(shape[2]), kernel.name("y"));
  Func row(kernel.name(name + "_row"));
  row(l, c, y, n) = kernel.constant(0);
  row(l, c, y, n) += element({l, n, {c, y, columns}});
  image(l, c, n) = kernel.constant(0);
  image(l, c, n) += row(l, c, rows, n);
  kernel.stage(name + "_row", row);
  return image;
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

Func channel_sums_on_gpu(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Element& element) {
  const SumBlocks blocks = sum_blocks(kernel, shape[1]);
  const Var t("t"), c = kernel.axis(1), s = slice_variable;
  const Expr pixels = kernel.blocks() * extent(kernel.lanes() * shape.elements() / shape[1]);
  const RDom r(0, ceil_div(pixels, blocks.parts * blocks.pixels), kernel.name("r"));
  const RDom of_block(0, blocks.pixels, kernel.name("threads"));
  const RDom all(0, blocks.parts, kernel.name("all"));
  const Expr p = (s * r.x.extent() + r) * blocks.pixels + t;
  const Point at = pixel_of_batch(kernel, shape, c, min(p, pixels - 1));
  Func thread(kernel.name(name + "_thread"));
  thread(c, t, s) = kernel.constant(0);
  thread(c, t, s) += select(p < pixels && kernel.valid(at), element(at), kernel.constant(0));
  Func staged(kernel.name(name + "_staged"));
  staged(c, t, s) = thread(c, t, s);
  Func block(kernel.name(name + "_block"));
  block(c, s) = kernel.constant(0);
  block(c, s) += staged(c, of_block, s);
  Func slice(kernel.name(name + "_slice"));
  slice(c, s) = block(c, s);
  Func total(kernel.name(name));
  total(c) = kernel.constant(0);
  total(c) += slice(c, all);
  kernel.stage(name + "_thread", thread);
  kernel.stage(name + "_staged", staged);
  kernel.stage(name + "_block", block);
  kernel.stage(name + "_slice", slice);
  kernel.stage(name + "_total", total);
  kernel.stage_extent(name, extent(shape[1]));
  return total;
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

Func channel_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Element& element) {
  if (kernel.machine().is_gpu()) return channel_sums_on_gpu(kernel, name, shape, element);
  const Var l = kernel.lane();
  const Var n = kernel.block();
  const Var c = kernel.axis(1);
  const Expr blocks = kernel.blocks();
  const Expr per_slice = ceil_div(blocks, slices);
  RDom b(0, per_slice, kernel.name("b"));
  const RDom all(0, kernel.lanes(), 0, slices, kernel.name("all"));
  const Func image = image_sums(
      kernel, name, shape, [&](const Point& at) { return select(kernel.valid(at), element(at), kernel.constant(0)); });
  Func slice(kernel.name(name + "_slice"));
  b.where(slice_variable * per_slice + b < blocks);
  slice(l, c, slice_variable) = kernel.constant(0);
  slice(l, c, slice_variable) += image(l, c, min(slice_variable * per_slice + b, blocks - 1));
  Func total(kernel.name(name));
  total(c) = kernel.constant(0);
  total(c) += slice(all.x, c, all.y);
  kernel.stage(name + "_image", image);
  kernel.stage(name + "_slice", slice);
  kernel.stage(name + "_total", total);
  kernel.stage_extent(name, static_cast<int>(shape[1]));
  return total;
}

void schedule_channel_sums(KernelBuilder& kernel, const std::string& name) {
  Func image = kernel.stage(name + "_image");
  Func slice = kernel.stage(name + "_slice");
  const bool lanes = kernel.lanes() > 1;
  const Var dense = lanes ? kernel.lane() : kernel.axis(1);
  const int vector = lanes ? kernel.machine().vector : vector_extent(kernel.machine(), kernel.stage_extent(name));
  const Var other = lanes ? kernel.axis(1) : kernel.lane();
  const auto vectors = [&](Func func) {  // of no more than the channels that there are
    func.vectorize(dense, vector, TailStrategy::ShiftInwards);
    func.update().vectorize(dense, vector, TailStrategy::GuardWithIf);
  };
  const Halide::RVar b = slice.rvars(0)[0];
  slice.compute_root().reorder(dense, other, slice_variable).parallel(slice_variable);
  slice.update().reorder(dense, other, b, slice_variable).parallel(slice_variable);
  vectors(slice);
  kernel.stage(name + "_total").compute_root();
  if (!image.has_update_definition()) return;  // features: a part of the slice's sum
  Func row = kernel.stage(name + "_row");
  image.compute_at(slice, b).reorder(dense, other, kernel.block());
  image.update().reorder(dense, other, image.rvars(0)[0], kernel.block());
  vectors(image);
  row.compute_at(image, image.rvars(0)[0]).reorder(dense, other, kernel.axis(2), kernel.block());
  row.update().reorder(dense, other, row.rvars(0)[0], kernel.axis(2), kernel.block());
  vectors(row);
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
