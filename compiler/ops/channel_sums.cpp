#include "compiler/ops/channel_sums.h"

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

}  // namespace

Func channel_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Element& element) {
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

}  // namespace netc::ops
