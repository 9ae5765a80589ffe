#include "compiler/kernels/schedules.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace netc {

using Halide::Func;
using Halide::RVar;
using Halide::TailStrategy;
using Halide::Var;
using Halide::VarOrRVar;

std::vector<VarOrRVar> as_loops(const std::vector<Var>& variables) {
  return {variables.begin(), variables.end()};
}

RVar loop_over_terms(const RVar& terms, int together) {
  return together > 1 ? RVar(terms.name() + "o") : terms;
}

std::vector<int> up_to(std::int64_t extent, std::int64_t most) {
  std::vector<int> numbers(static_cast<std::size_t>(std::max<std::int64_t>(std::min(extent, most), 0)));
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

std::vector<int> divisors(std::int64_t extent, std::int64_t most) {
  std::vector<int> numbers = up_to(extent, most);
  std::erase_if(numbers, [&](int number) { return extent % number != 0; });
  return numbers;
}

int divisor(std::int64_t extent, std::int64_t most) {
  std::int64_t divisor = std::max<std::int64_t>(1, std::min(most, extent));
  while (extent % divisor != 0) --divisor;
  return static_cast<int>(divisor);
}

int tile_extent(std::int64_t extent, std::int64_t most) {
  most = std::max<std::int64_t>(1, std::min(most, extent));
  for (std::int64_t divisor = most; divisor * 2 > most; --divisor) {
    if (extent % divisor == 0) return static_cast<int>(divisor);
  }
  return static_cast<int>(most);
}

int vector_extent(const Machine& machine, std::int64_t extent) {
  return static_cast<int>(std::min<std::int64_t>(machine.vector, extent));
}

std::vector<int> axes_by_stride(const KernelBuilder& kernel, ValueId value) {
  const Layout& layout = kernel.layout(value);
  const int first = kernel.shape(value).has_batch() ? 1 : 0;
  std::vector<int> axes;
  for (std::size_t i = 0; i < layout.strides.size(); ++i) axes.push_back(static_cast<int>(i) + first);
  const auto stride = [&](int axis) { return layout.strides[static_cast<std::size_t>(axis - first)]; };
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) { return stride(a) < stride(b); });
  return axes;
}

void schedule_elements(KernelBuilder& kernel, Func out, ValueId value) {
  const Shape& shape = kernel.shape(value);
  std::vector<VarOrRVar> order;
  for (int axis : axes_by_stride(kernel, value)) order.emplace_back(kernel.axis(axis));
  if (shape.has_batch()) {
    order.insert(order.begin(), kernel.lane());
    order.emplace_back(kernel.block());
  }
  out.compute_root().reorder(order);
  if (kernel.lanes() > 1 && shape.has_batch()) {
    out.vectorize(kernel.lane(), kernel.machine().vector);
  } else if (!kernel.layout(value).strides.empty()) {
    const int axis = axes_by_stride(kernel, value)[0];
    const int vector = vector_extent(kernel.machine(), shape[axis]);
    if (vector > 1) out.vectorize(kernel.axis(axis), vector, TailStrategy::GuardWithIf);
  } else {
    out.vectorize(kernel.block(), kernel.machine().vector, TailStrategy::GuardWithIf);
    return;
  }
  if (shape.has_batch()) out.parallel(kernel.block());
}

void schedule_examples(KernelBuilder& kernel, Func out) {
  out.compute_root().parallel(kernel.block());
  if (kernel.lanes() > 1) out.vectorize(kernel.lane(), kernel.machine().vector);
}

void schedule_dot_products(Halide::Stage update, std::vector<VarOrRVar> loops, const Var& variable, int vector,
                           const RVar& terms, int together) {
  const Var within(variable.name() + "v");
  const RVar some(terms.name() + "i");
  const RVar around = loop_over_terms(terms, together);
  update.split(variable, variable, within, vector).split(terms, around, some, together);
  std::replace_if(
      loops.begin(), loops.end(), [&](const VarOrRVar& loop) { return loop.name() == terms.name(); }, around);
  loops.insert(loops.begin(), {some, within});
  update.reorder(loops).atomic().vectorize(some).vectorize(within);
}

namespace {

/// Computes the sums of a tile in registers: vectors along its first side, which lies innermost in memory too,
/// everything else unrolled inside the loops of the reduction.
void schedule_sums(Func sum, const Tile& tile, int vector, const std::vector<RVar>& order, int together) {
  std::vector<Var> storage = sum.args();
  std::stable_partition(storage.begin(), storage.end(),
                        [&](const Var& variable) { return variable.same_as(tile[0].variable); });
  std::vector<VarOrRVar> loops;
  for (const TileSide& side : tile) loops.emplace_back(side.variable);
  loops.insert(loops.end(), order.begin(), order.end());
  if (storage.size() > 1) sum.reorder_storage(storage);
  sum.vectorize(tile[0].variable, vector);
  if (together > 1) {
    schedule_dot_products(sum.update(), loops, tile[0].variable, vector, order[0], together);
  } else {
    sum.update().reorder(loops).vectorize(tile[0].variable, vector);
  }
  for (const TileSide& side : tile) {
    if (side.tail == TailStrategy::GuardWithIf) sum.bound_extent(side.variable, side.extent);
    sum.unroll(side.variable);
    sum.update().unroll(side.variable);
  }
}

}  // namespace

std::vector<VarOrRVar> split_tiles(Func out, const Tile& tile, std::vector<Var>& loops) {
  std::vector<VarOrRVar> inside;
  for (const TileSide& side : tile) {
    const Var around(side.variable.name() + "o");
    const Var within(side.variable.name() + "i");
    out.split(side.variable, around, within, side.extent, side.tail);
    std::replace_if(
        loops.begin(), loops.end(), [&](const Var& loop) { return loop.same_as(side.variable); }, around);
    inside.emplace_back(within);
  }
  std::vector<VarOrRVar> nest = inside;
  nest.insert(nest.end(), loops.begin(), loops.end());
  out.reorder(nest);
  return inside;
}

Var schedule_tiles(Func sum, Func out, const Tile& tile, int vector, const std::vector<RVar>& order,
                   const std::vector<Var>& loops, int parallel, int together) {
  std::vector<Var> outer = loops;
  out.compute_root();
  const std::vector<VarOrRVar> inside = split_tiles(out, tile, outer);
  out.vectorize(inside[0], vector);
  for (const VarOrRVar& within : inside) out.unroll(within);
  Var task = outer.back();
  for (int i = 1; i < parallel; ++i) {
    const Var both("task" + std::to_string(i));
    out.fuse(outer[outer.size() - 1 - static_cast<std::size_t>(i)], task, both);
    task = both;
  }
  out.parallel(task);

  sum.compute_at(out, outer[0]);
  schedule_sums(sum, tile, vector, order, together);
  return outer[0];
}

int part_extent(std::int64_t terms, std::int64_t total) {
  constexpr std::int64_t longest = 256;
  constexpr std::int64_t shortest = 32;  // adding up shorter ones would take too long
  const int extent = divisor(terms, longest);
  return total > longest && extent >= shortest ? extent : 1;
}

void schedule_parts(Func part, const Func& sum, const Tile& tile, int vector, int together) {
  if (!part.has_update_definition()) return;
  part.compute_at(sum, sum.rvars(0)[0]);
  schedule_sums(part, tile, vector, part.rvars(0), together);
}

void schedule_tiled_update(Func sum, Func total, const Tile& tile, int vector, const RVar& slice, const Var& task,
                           bool tiles_in_parallel) {
  Halide::Stage update = total.update();
  std::vector<VarOrRVar> inside;
  std::vector<VarOrRVar> around;
  for (const Var& variable : total.args()) {
    const auto side =
        std::find_if(tile.begin(), tile.end(), [&](const TileSide& s) { return s.variable.same_as(variable); });
    if (side == tile.end()) {
      if (!variable.same_as(task)) around.emplace_back(variable);
      continue;
    }
    const Var outer(variable.name() + "o");
    update.split(variable, outer, Var(variable.name() + "i"), side->extent, TailStrategy::GuardWithIf);
    around.emplace_back(outer);
  }
  for (const TileSide& side : tile) inside.emplace_back(Var(side.variable.name() + "i"));
  std::vector<VarOrRVar> nest = inside;
  nest.insert(nest.end(), around.begin(), around.end());
  nest.emplace_back(slice);
  nest.emplace_back(task);
  const Var first(tile[0].variable.name() + "o");
  if (tiles_in_parallel) {
    const auto is_first = [&](const VarOrRVar& loop) { return loop.name() == first.name(); };
    std::rotate(std::find_if(nest.begin(), nest.end(), is_first), std::find_if(nest.begin(), nest.end(), is_first) + 1,
                nest.end());
  }
  update.reorder(nest).vectorize(inside[0], vector).parallel(tiles_in_parallel ? first : task);
  for (const VarOrRVar& within : inside) update.unroll(within);

  sum.compute_at(total, nest[inside.size()].var);
  schedule_sums(sum, tile, vector, sum.rvars(0), 1);
}

}  // namespace netc
