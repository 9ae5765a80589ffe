#include "compiler/ops/factors.h"

#include "compiler/graph/precision.h"
#include "compiler/kernels/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

namespace {

const Var pair("pair"), along("along"), term("term"), block("block");
const Var within("within"), vectors("vectors"), terms("terms");

Expr to_bf16(const Expr& element) {
  return cast(Halide::BFloat(16), cast(Halide::Float(32), element));
}

}  // namespace

Factors::Factors(const KernelBuilder& kernel, const Node& node, std::int64_t terms, bool dense)
    : real_(kernel.real()),
      rounded_(multiplies_bf16(node) && !kernel.machine().is_gpu()),
      pairs_(rounded_ && kernel.machine().bf16 && dense && kernel.lanes() == 1 && terms % 2 == 0) {}

Expr Factors::stored(const Expr& element) const {
  return pairs_ ? to_bf16(element) : rounded(element);
}

bool Factors::in_place(const KernelBuilder& kernel, ValueId value) const {
  return !kernel.computes(value) && (!rounded_ || (pairs_ && kernel.stored_type(value) == DType::bf16));
}

Expr Factors::read(KernelBuilder& kernel, ValueId value, const Point& point) const {
  const bool as_it_is = kernel.stored_type(value) == DType::bf16 && in_place(kernel, value);
  return as_it_is ? kernel.stored(value, point) : stored(kernel.read(value, point));
}

Expr Factors::rounded(const Expr& element) const {
  return rounded_ ? cast(real_, to_bf16(element)) : element;
}

Expr Factors::product(const Expr& a, const Expr& b) const {
  return cast(real_, a) * cast(real_, b);
}

Func Factors::rows(KernelBuilder& kernel, const std::string& name, ValueId value) const {
  const Shape& shape = kernel.shape(value);
  Func copy(kernel.name(name));
  copy(kernel.variables(shape)) = read(kernel, value, kernel.point(shape));
  if (rounded_ && !in_place(kernel, value)) kernel.stage(name, copy);
  return copy;
}

Element packed(KernelBuilder& kernel, const Factors& factors, const Packing& packing, const std::vector<Var>& others,
               const Element& element) {
  const int together = factors.together();
  std::vector<Var> arguments{along, term};
  if (together > 1) arguments.insert(arguments.begin(), pair);
  arguments.insert(arguments.end(), others.begin(), others.end());
  const int vector = vector_extent(kernel.machine(), packing.along);
  const bool by_vectors = packing.by_vectors && kernel.part() != Part::whole && packing.along % vector == 0;
  if (by_vectors) arguments.push_back(block);
  const Expr number = together > 1 ? term * together + pair : Expr(term);
  Func copy(kernel.name("weights"));
  copy(arguments) = factors.stored(
      element(by_vectors ? block * vector + along : Expr(along), number, {others.begin(), others.end()}));
  const int row = by_vectors ? vector : extent(packing.along);
  kernel.stage("weights", copy);
  kernel.stage_extent("weights", row);
  std::vector<int> extents{row, extent(packing.terms / together)};
  if (together > 1) extents.insert(extents.begin(), together);
  for (std::int64_t other : packing.others) extents.push_back(extent(other));
  if (by_vectors) extents.push_back(extent(packing.along / vector));
  const Func stored = kernel.prepared(packing.parameter, copy, extents);
  return [=](const Expr& at, const Expr& of, const std::vector<Expr>& rest) {
    const Expr within = by_vectors ? at % vector : at;
    std::vector<Expr> place{within, of};
    if (together > 1) place = {of % together, within, of / together};
    place.insert(place.end(), rest.begin(), rest.end());
    if (by_vectors) place.push_back(at / vector);
    return stored(place);
  };
}

/// Choice: vectors of some terms at a time, so that what lies across the vectors is read while it is in the cache, and
/// the outermost loop, over vectors or terms, in parallel. Alternative: row by row, the terms of each tap in parallel,
/// whose threads wait for each other nine times as often: 34 -> 26 ms from ResNet-18's start to its first result, 1003
/// -> 990 ms a training step (2 threads, 2026-11).
void schedule_packed(KernelBuilder& kernel, const Factors& factors, const std::string& name) {
  constexpr int terms_together = 16;
  Func copy = kernel.stage(name);
  const std::vector<Var> arguments = copy.args();
  const bool by_vectors = arguments.back().same_as(block);
  std::vector<Var> order{within, term, vectors};
  for (const Var& argument : arguments) {
    const bool other = !argument.same_as(pair) && !argument.same_as(along) && !argument.same_as(term);
    if (other && !argument.same_as(block)) order.push_back(argument);
  }
  order.insert(by_vectors ? order.begin() + 2 : order.end(), terms);
  if (by_vectors) order.push_back(block);
  if (factors.pairs()) order.insert(order.begin(), pair);
  const int vector = vector_extent(kernel.machine(), kernel.stage_extent(name));
  copy.compute_root()
      .split(along, vectors, within, vector, Halide::TailStrategy::ShiftInwards)
      .split(term, terms, term, terms_together, Halide::TailStrategy::GuardWithIf)
      .reorder(as_loops(order))
      .vectorize(within)
      .parallel(order.back());
  if (factors.pairs()) copy.bound(pair, 0, 2).unroll(pair);
}

void schedule_packed_at(KernelBuilder& kernel, const std::string& name, const Halide::LoopLevel& pair_of_terms,
                        int tile, int vector) {
  Func copy = kernel.stage(name);
  copy.compute_at(pair_of_terms)
      .store_in(Halide::MemoryType::Register)
      .bound(pair, 0, 2)
      .bound_extent(along, tile)
      .vectorize(along, vector)
      .unroll(along)
      .unroll(pair);
}

std::vector<ValueId> product_gradients(GraphBuilder& builder, const Node& node, ValueId dy,
                                       const Operator& backward_data, const Operator& backward_weights,
                                       const Attributes& attributes) {
  const ValueId x = node.inputs[0];
  const ValueId weight = node.inputs[1];
  std::vector<ValueId> gradients{builder.add(backward_data, attributes, {dy, weight}, builder.value(x).shape)};
  std::vector<Shape> shapes{builder.value(weight).shape};
  const bool bias = node.inputs.size() > 2;
  // In front of batchnorm, which takes away what is added to a channel, the gradient of a bias is 0: nothing is summed.
  const bool zero = bias && builder.sums_to_zero(dy);
  if (bias && !zero) shapes.push_back(builder.value(node.inputs[2]).shape);
  for (ValueId id : builder.add(backward_weights, attributes, {dy, x}, shapes)) gradients.push_back(id);
  if (zero) gradients.push_back(no_value);
  return gradients;
}

}  // namespace netc::ops
