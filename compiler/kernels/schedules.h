// Schedules that several operators share.
#pragma once

#include <Halide.h>

#include <type_traits>
#include <vector>

#include "compiler/kernels/kernel_builder.h"

namespace netc {

/// Element by element: a vector along whatever lies densest in memory, blocks of images in parallel.
void schedule_elements(KernelBuilder& kernel, Halide::Func out, ValueId value);

/// The axes of `value`, the batch left out, from the densest in memory to the sparsest.
std::vector<int> axes_by_stride(const KernelBuilder& kernel, ValueId value);

/// A number an example: blocks of examples in parallel, those of a block side by side where the layout has lanes.
void schedule_examples(KernelBuilder& kernel, Halide::Func out);

/// A dimension of a tile: the variable and how many of its values the tile spans; `tail` says what becomes of the last
/// tile. Where it may be alone (the batch may be smaller than a tile), it is guarded, and what is summed for it is
/// a whole tile: the sums must read something that exists.
struct TileSide {
  Halide::Var variable;
  int extent;
  Halide::TailStrategy tail = Halide::TailStrategy::ShiftInwards;
};

/// A tile of sums that stays in registers: the first side is vectorised, all of them are unrolled.
using Tile = std::vector<TileSide>;

/// Splits the loops of `out` into tiles and orders them: those within a tile, which are returned, then `loops`
/// (innermost first), in which the variable of its tiles takes the place of a tiled one.
std::vector<Halide::VarOrRVar> split_tiles(Halide::Func out, const Tile& tile, std::vector<Halide::Var>& loops);

/// Computes `out` tile by tile; `sum`, a reduction over `order` (innermost first) that `out` finishes, is computed for
/// a tile in registers. The loops around the tiles run in the order of `loops` (innermost first; a tiled variable
/// stands for its tiles), the last `parallel` of them, as one, in parallel. Returns the variable of the innermost loop
/// around the tile. `together` terms of the innermost reduction are added up by one instruction.
Halide::Var schedule_tiles(Halide::Func sum, Halide::Func out, const Tile& tile, int vector,
                           const std::vector<Halide::RVar>& order, const std::vector<Halide::Var>& loops, int parallel,
                           int together = 1);

/// The same for an update of `total` that adds `sum` up over `slice`: its tiles run inside the reduction, the `task`s
/// in parallel. The tile's sides must divide the extents where they can (see `divisor`): an element is added once.
/// `tiles_in_parallel`: instead, the tiles along the first side run in parallel, each through the whole reduction.
void schedule_tiled_update(Halide::Func sum, Halide::Func total, const Tile& tile, int vector,
                           const Halide::RVar& slice, const Halide::Var& task, bool tiles_in_parallel);

/// Rounding errors grow with the number of terms that are added one after another; so a long sum is added up of parts.
/// How many of `terms` make a part (a divisor), where all of the sum has `total`; 1 where the sum is short.
int part_extent(std::int64_t terms, std::int64_t total);

/// Computes `part`, whose values `sum` adds up, for a tile of `sum` in registers. Parts of one term are computed in
/// place.
void schedule_parts(Halide::Func part, const Halide::Func& sum, const Tile& tile, int vector, int together = 1);

/// Vectors of sums, each of which takes `together` terms of the innermost reduction at a time; `loops`, innermost
/// first, hold `variable` and `terms`.
void schedule_dot_products(Halide::Stage update, std::vector<Halide::VarOrRVar> loops, const Halide::Var& variable,
                           int vector, const Halide::RVar& terms, int together);

/// The loop over terms, or where several are added `together`, over those, of a sum that was scheduled so.
Halide::RVar loop_over_terms(const Halide::RVar& terms, int together);

/// Halide counts in 32 bits; shapes were checked to fit.
inline int extent(std::int64_t value) {
  return static_cast<int>(value);
}

/// How many of `by` it takes to hold `value`: of numbers, and of Halide's expressions.
template <class Value>
Value ceil_div(const Value& value, std::int64_t by) {
  if constexpr (std::is_same_v<Value, Halide::Expr>) {
    return (value + extent(by - 1)) / extent(by);
  } else {
    return static_cast<Value>((value + by - 1) / by);
  }
}

/// The numbers up to `most` and `extent`, and those of them that divide `extent`: candidates of choices.
std::vector<int> up_to(std::int64_t extent, std::int64_t most);
std::vector<int> divisors(std::int64_t extent, std::int64_t most);

std::vector<Halide::VarOrRVar> as_loops(const std::vector<Halide::Var>& variables);

/// The largest divisor of `extent` up to `most`.
int divisor(std::int64_t extent, std::int64_t most);

/// The largest number up to `most` that divides `extent`, or `most` itself where that leaves tiles too small.
int tile_extent(std::int64_t extent, std::int64_t most);

/// Floats that a vector along an axis of this extent takes: the machine's vector, or all of a short axis.
int vector_extent(const Machine& machine, std::int64_t extent);

}  // namespace netc
