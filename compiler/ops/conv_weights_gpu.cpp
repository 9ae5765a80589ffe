// The gradient of conv with respect to its weights on a GPU.
#include <algorithm>

#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/conv_gpu.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

constexpr int most_each = 8;
constexpr int most_inputs = 256;  // of a tile: chunks of what wider ones read are too short to hide how they are copied

const Var pixel("p"), chunk("q"), part_variable("s");

}  // namespace

std::optional<BlockWeights> BlockWeights::of(const KernelBuilder& kernel, const Node& node) {
  if (!kernel.machine().is_gpu() || node.attributes.integer("groups") > 1) return std::nullopt;
  return BlockWeights(kernel, node);
}

BlockWeights::BlockWeights(const KernelBuilder& kernel, const Node& node)
    : gradient_(node.inputs[0]),
      image_(node.inputs[1]),
      weight_(node.outputs[0]),
      windows_(windows(node.attributes)),
      shape_(kernel.shape(weight_)) {
  const ThreadSplit outputs = split_evenly(shape_[0], most_each, 8);
  const int left = std::min(most_threads / outputs.threads, most_inputs / most_each);
  const ThreadSplit inputs = split_evenly(shape_[1], most_each, left);
  tile_ = {{kernel.axis(0), outputs.each, outputs.threads, TailStrategy::ShiftInwards},
           {kernel.axis(1), inputs.each, inputs.threads, TailStrategy::ShiftInwards},
           {kernel.axis(3), 1, 1},
           {kernel.axis(2), 1, 1}};
  if (inputs.each * 2 <= most_each) choose_taps(left / inputs.threads);
  chunk_ = 32;
  const auto bytes = [&] { return (elements() + chunk_ * (tile_[0].extent() + elements() / tile_[0].extent())) * 4; };
  while (bytes() > shared_bytes) chunk_ /= 2;
  parts_ = parts_to_fill_gpu(tiles());
}

/// Few input channels: a thread takes several columns of taps, and threads lie along columns and rows of them.
void BlockWeights::choose_taps(int threads) {
  BlockSide& columns = tile_[2];
  columns.each = tile_extent(shape_[3], most_each / tile_[1].each);
  columns.threads = tile_extent(ceil_div(shape_[3], columns.each), threads);
  tile_[3].threads = tile_extent(shape_[2], threads / columns.threads);
}

/// Sums of a block.
int BlockWeights::elements() const {
  int elements = 1;
  for (const BlockSide& side : tile_) elements *= side.extent();
  return elements;
}

std::int64_t BlockWeights::tiles() const {
  return ceil_div(shape_[0], tile_[0].extent()) * ceil_div(shape_[1], tile_[1].extent()) *
         ceil_div(shape_[3], tile_[2].extent()) * ceil_div(shape_[2], tile_[3].extent());
}

// ---- Algorithm ------------------------------------------------------------------------------------------------------

/// dy, 0 behind the last pixel of the batch.
Func BlockWeights::define_gradient(KernelBuilder& kernel, const Expr& pixels) const {
  const Var o = kernel.axis(0);
  const Point at = pixel_of_batch(kernel, kernel.shape(gradient_), o, min(pixel, pixels - 1));
  Func staged(kernel.name("gradient"));
  staged(o, pixel) = select(pixel < pixels, operand_on_gpu(kernel, gradient_)(at), kernel.constant(0));
  kernel.stage("gradient", staged);
  return staged;
}

/// What a tap reads for a pixel of dy: 0 beyond the edges.
Func BlockWeights::define_image(KernelBuilder& kernel, const Expr& pixels) const {
  const Shape& images = kernel.shape(image_);
  const Var i = kernel.axis(1), ky = kernel.axis(2), kx = kernel.axis(3);
  const Point of = pixel_of_batch(kernel, kernel.shape(gradient_), i, min(pixel, pixels - 1));
  const auto source = [](const Expr& at, const Expr& tap, const Window& w) {
    return at * extent(w.stride) + tap * extent(w.dilation) - extent(w.pad);
  };
  const Expr y = source(of.axes[1], ky, windows_.y);
  const Expr x = source(of.axes[2], kx, windows_.x);
  const Expr exists = pixel < pixels && y >= 0 && y < extent(images[2]) && x >= 0 && x < extent(images[3]);
  const Point at = of.with({i, clamp(y, 0, extent(images[2]) - 1), clamp(x, 0, extent(images[3]) - 1)});
  Func staged(kernel.name("image"));
  staged(i, kx, ky, pixel) = select(exists, operand_on_gpu(kernel, image_)(at), kernel.constant(0));
  kernel.stage("image", staged);
  return staged;
}

void BlockWeights::define(KernelBuilder& kernel) const {
  const Shape& gradients = kernel.shape(gradient_);
  const Var o = kernel.axis(0), i = kernel.axis(1), ky = kernel.axis(2), kx = kernel.axis(3);
  const Expr pixels = kernel.blocks() * extent(kernel.lanes() * gradients[2] * gradients[3]);
  const Expr chunks = ceil_div(ceil_div(pixels, chunk_), parts_);  // of a part
  const Func gradient = define_gradient(kernel, pixels);
  const Func image = define_image(kernel, pixels);
  const RDom k(0, chunk_, kernel.name("k"));
  Func part(kernel.name("part"));
  part(o, i, kx, ky, chunk) = kernel.constant(0);
  part(o, i, kx, ky, chunk) += gradient(o, chunk * chunk_ + k) * image(i, kx, ky, chunk * chunk_ + k);
  const RDom r(0, chunks, kernel.name("r"));
  Func sum(kernel.name("sum"));
  sum(o, i, kx, ky, part_variable) = kernel.constant(0);
  sum(o, i, kx, ky, part_variable) += part(o, i, kx, ky, part_variable * chunks + r);
  Func slice(kernel.name("slice"));
  slice(o, i, kx, ky, part_variable) = sum(o, i, kx, ky, part_variable);
  const RDom all(0, parts_, kernel.name("all"));
  Func weight(kernel.name("weight"));
  weight(kx, ky, i, o) = kernel.constant(0);
  weight(kx, ky, i, o) += slice(o, i, kx, ky, all);
  kernel.stage("part", part);
  kernel.stage("sum", sum);
  kernel.stage("slice", slice);
  kernel.define(weight_, weight);
}

// ---- Schedule -------------------------------------------------------------------------------------------------------

namespace {

/// Whether an image's channels lie side by side in memory; otherwise pixels do.
bool channels_dense(const KernelBuilder& kernel, ValueId image) {
  return kernel.layout(image).lanes == 1 && kernel.layout(image).strides[0] == 1;
}

/// Rows of shared memory for pixels that threads copy side by side: or else a warp writes to few banks.
int padded_row(const BlockSide& side) {
  return side.extent() % 8 == 0 ? side.extent() + 4 : 0;
}

/// Floats that a thread copies at once: of two vectors, a pixel's place is computed half as often.
constexpr int most_copied = 8;

}  // namespace

StagedOperand BlockWeights::stage_gradient(KernelBuilder& kernel) const {
  const Var o = kernel.axis(0);
  StagedOperand staged{kernel.stage("gradient"), {{o, tile_[0].extent()}, {pixel, chunk_}}, {pixel, o}};
  if (!channels_dense(kernel, gradient_)) {
    staged.row = padded_row(tile_[0]);
    return staged;
  }
  staged.copied = {o, pixel};
  staged.vector = copied_at_once(tile_[0], shape_[0], most_copied);
  return staged;
}

StagedOperand BlockWeights::stage_image(KernelBuilder& kernel) const {
  StagedOperand staged{kernel.stage("image"), {}, {pixel}};
  const bool dense = channels_dense(kernel, image_);
  for (std::size_t side = 1; side < tile_.size(); ++side) {
    staged.sides.push_back({tile_[side].variable, tile_[side].extent()});
    staged.copied.insert(staged.copied.end() - (dense ? 1 : 0), tile_[side].variable);
  }
  staged.sides.push_back({pixel, chunk_});
  if (dense) {
    staged.vector = copied_at_once(tile_[1], shape_[1], most_copied);
  } else {
    staged.row = padded_row(tile_[1]);
  }
  return staged;
}

void BlockWeights::schedule(KernelBuilder& kernel) const {
  Func slice = kernel.stage("slice");
  std::vector<Var> storage;
  const auto whole = [&](const Var& variable, std::int64_t size) {
    slice.bound(variable, 0, extent(size));
    storage.push_back(variable);
  };
  whole(kernel.axis(0), shape_[0]);
  whole(kernel.axis(1), shape_[1]);
  whole(kernel.axis(3), shape_[3]);
  whole(kernel.axis(2), shape_[2]);
  whole(part_variable, parts_);
  slice.reorder_storage(storage);
  BlockSums sums{slice, kernel.stage("sum"), kernel.stage("part"), tile_, {part_variable}};
  sums.terms = sums.part.rvars(0);
  sums.unrolled = 8;
  sums.operands = {stage_gradient(kernel), stage_image(kernel)};
  schedule_block_sums(sums);
}

}  // namespace netc::ops
