// softmax: exponentials that add up to 1 along an axis, and the gradient.
#include "compiler/ops/softmax.h"

#include <fmt/format.h>

#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::TailStrategy;
using Halide::Var;

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes& attributes) {
  const Shape& x = inputs[0];
  const std::int64_t axis = attributes.integer("axis");
  if (axis < x.rank()) return {.outputs = {x}};
  return {.error = ShapeError{"N203", fmt::format("softmax: there is no axis {}", axis), "input " + to_string(x),
                              fmt::format("choose an axis from 1 to {}", x.rank() - 1)}};
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  const ValueId y = node.outputs[0];
  return {builder.add(softmax_backward, node.attributes, {gradients[0], y}, builder.value(y).shape)};
}

int axis_of(const Node& node) {
  return static_cast<int>(node.attributes.integer("axis"));
}

/// The shape of what is left when `axis` is summed up.
Shape without(const Shape& shape, int axis) {
  std::vector<std::int64_t> extents = shape.extents();
  extents.erase(extents.begin() + axis);
  return Shape(std::move(extents));
}

/// A place in a value `without` this axis, and where along it.
Point along(Point at, int axis, const Expr& index) {
  at.axes.insert(at.axes.begin() + (axis - 1), index);
  return at;
}

/// Threads that take a row together, a warp; shorter rows than half of it are a thread's.
constexpr int row_threads = 32;

/// Whether a GPU computes a block of threads for each example: rows of many numbers, one after the other in memory.
bool has_blocks_of_rows(const KernelBuilder& kernel, const Shape& shape) {
  return kernel.machine().is_gpu() && kernel.lanes() == 1 && shape.rank() == 2 && shape[1] >= row_threads / 2;
}

}  // namespace

// ---- Algorithms ----------------------------------------------------------------------------------------------------

namespace {

Func reduce_by_blocks(KernelBuilder& kernel, const std::string& name, int places, const AxisReduction& of) {
  const Var t("t"), l = kernel.lane(), n = kernel.block();
  const RDom turn(0, ceil_div(places, row_threads), kernel.name("turn"));
  const Expr k = turn * row_threads + t;
  const Expr term = of.term({l, n, {min(k, places - 1)}});
  Func thread(kernel.name(name + "_thread"));
  thread(t, l, n) = of.start;
  thread(t, l, n) = of.combine(thread(t, l, n), select(k < places, term, of.start));
  Func staged(kernel.name(name + "_staged"));
  staged(t, l, n) = thread(t, l, n);
  const RDom all(0, row_threads, kernel.name("all"));
  Func whole(kernel.name(name));
  whole(l, n) = of.start;
  whole(l, n) = of.combine(whole(l, n), staged(all, l, n));
  kernel.stage(name + "_thread", thread);
  kernel.stage(name + "_staged", staged);
  return whole;
}

Func reduce_plainly(KernelBuilder& kernel, const std::string& name, const Shape& shape, int axis,
                    const AxisReduction& of) {
  const Shape rest = without(shape, axis);
  const std::vector<Var> at = kernel.variables(rest);
  const RDom k(0, extent(shape[axis]), kernel.name("k"));
  Func whole(kernel.name(name));
  whole(at) = of.start;
  whole(at) = of.combine(whole(at), of.term(along(kernel.point(rest), axis, k)));
  return whole;
}

}  // namespace

Expr plus(const Expr& a, const Expr& b) {
  return a + b;
}

Func reduce_axis(KernelBuilder& kernel, const std::string& name, const Shape& shape, int axis,
                 const AxisReduction& of) {
  const Func whole = has_blocks_of_rows(kernel, shape) ? reduce_by_blocks(kernel, name, extent(shape[axis]), of)
                                                       : reduce_plainly(kernel, name, shape, axis, of);
  kernel.stage(name, whole);
  return whole;
}

Exponentials::Exponentials(KernelBuilder& kernel, ValueId x, int axis)
    : kernel_(kernel), axis_(axis - 1), exponential_(kernel.name("exponential")) {
  const Shape& shape = kernel.shape(x);
  const Point at = kernel.point(shape);
  const auto larger = [](const Expr& a, const Expr& b) { return max(a, b); };
  const auto read = [&](const Point& place) { return kernel.read(x, place); };
  maximum_ = reduce_axis(kernel, "maximum", shape, axis, {kernel.real().min(), larger, read});
  exponential_(kernel.variables(shape)) = exp(kernel.read(x, at) - maximum(at));
  const auto term = [&](const Point& place) { return exponential(place); };
  sum_ = reduce_axis(kernel, "sum", shape, axis, {kernel.constant(0), plus, term});
  kernel.stage("exponential", exponential_);
}

Point Exponentials::collapsed(Point at) const {
  at.axes.erase(at.axes.begin() + axis_);
  return at;
}

namespace {

/// y = exp(x - max(x)) / sum of exp(x - max(x)) along the axis
void forward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Exponentials exponentials(kernel, node.inputs[0], axis_of(node));
  Func softmax(kernel.name("softmax"));
  softmax(kernel.variables(shape)) = exponentials.softmax(kernel.point(shape));
  kernel.define(node.outputs[0], softmax);
}

/// dx = y * (dy - sum of dy * y along the axis)
void backward(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const int axis = axis_of(node);
  const auto term = [&](const Point& place) {
    return kernel.read(node.inputs[0], place) * kernel.read(node.inputs[1], place);
  };
  const Func sum = reduce_axis(kernel, "sum", shape, axis, {kernel.constant(0), plus, term});
  const Point at = kernel.point(shape);
  Point at_rest = at;
  at_rest.axes.erase(at_rest.axes.begin() + (axis - 1));
  Func gradient(kernel.name("gradient"));
  gradient(kernel.variables(shape)) =
      kernel.read(node.inputs[1], at) * (kernel.read(node.inputs[0], at) - sum(kernel.arguments(at_rest)));
  kernel.define(node.outputs[0], gradient);
}

}  // namespace

// ---- Schedules -----------------------------------------------------------------------------------------------------

void schedule_reduction(KernelBuilder& kernel, const std::string& name) {
  Func reduction = kernel.stage(name);
  reduction.compute_at(kernel.out(), kernel.block());
  if (kernel.lanes() == 1) return;
  reduction.vectorize(kernel.lane(), kernel.machine().vector);
  reduction.update().vectorize(kernel.lane(), kernel.machine().vector);
}

void schedule_rows_on_gpu(KernelBuilder& kernel, ValueId x, const std::vector<std::string>& names) {
  if (!has_blocks_of_rows(kernel, kernel.shape(x))) return;
  const Var l = kernel.lane(), n = kernel.block(), turn("turn"), thread("thread"), block("row");
  Func out = kernel.out().compute_root();
  out.fuse(l, n, block).gpu_blocks(block);
  if (out.dimensions() == 3) {
    out.split(kernel.axis(1), turn, thread, row_threads, TailStrategy::GuardWithIf).reorder(turn, thread, block);
    out.gpu_threads(thread);
  }
  for (const std::string& name : names) {
    Func staged = kernel.stage(name + "_staged");
    kernel.stage(name).compute_at(out, block).store_in(Halide::MemoryType::GPUShared);
    staged.compute_at(out, block).store_in(Halide::MemoryType::GPUShared).gpu_threads(staged.args()[0]);
    kernel.stage(name + "_thread").compute_at(staged, staged.args()[0]);
  }
}

void schedule_exponentials(KernelBuilder& kernel, ValueId x) {
  schedule_reduction(kernel, "maximum");
  schedule_reduction(kernel, "sum");
  Func exponential = kernel.stage("exponential").compute_at(kernel.out(), kernel.block());
  if (kernel.lanes() > 1) {
    exponential.vectorize(kernel.lane(), kernel.machine().vector);
    return;
  }
  const Var c = kernel.axis(1);
  exponential.reorder_storage(c, kernel.lane()).reorder(c, kernel.lane());
  exponential.vectorize(c, vector_extent(kernel.machine(), kernel.shape(x)[1]), TailStrategy::ShiftInwards);
}

const Operator softmax{
    .name = "softmax",
    .doc = "y = exp(x) / sum of exp(x) along `axis`.",
    .attributes = {{"axis", AttributeType::integer, std::int64_t{1}, "", 1, 3,
                    "the axis of the sum; 1: channels or features"}},
    .infer = infer,
    .gradient = gradient,
    .algorithm = forward,
    .schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_elements(kernel, kernel.out(), node.outputs[0]);
          schedule_exponentials(kernel, node.inputs[0]);
        },
    .gpu_schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_rows_on_gpu(kernel, node.inputs[0], {"maximum", "sum"});
        },
    .samples = {{"features", {{Shape::batch, 21}}, {{"axis", std::int64_t{1}}}},
                {"channels", {{Shape::batch, 18, 3, 5}}, {{"axis", std::int64_t{1}}}},
                {"columns", {{Shape::batch, 3, 4, 5}}, {{"axis", std::int64_t{3}}}}},
};

const Operator softmax_backward{
    .name = "softmax_backward",
    .doc = "dx = y * (dy - sum of dy * y along `axis`).",
    .in_language = false,
    .inputs = 2,
    .algorithm = backward,
    .schedule =
        [](KernelBuilder& kernel, const Node& node) {
          schedule_elements(kernel, kernel.out(), node.outputs[0]);
          schedule_reduction(kernel, "sum");
        },
    .gpu_schedule = [](KernelBuilder& kernel,
                       const Node& node) { schedule_rows_on_gpu(kernel, node.inputs[0], {"sum"}); },
};

}  // namespace netc::ops
