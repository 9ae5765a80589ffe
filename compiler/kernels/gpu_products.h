// Sums of products on a GPU, as matrix products are computed there: a block of threads computes a tile of sums, what
// they read is staged in shared memory a chunk at a time, and a thread keeps its part of the tile in registers.
#pragma once

#include <Halide.h>

#include <cstdint>
#include <vector>

namespace netc {

/// A side of a block's tile of sums: `threads` threads side by side, each of which takes `each` neighbours. Where the
/// tiles do not divide the extent, the last one is guarded or begins earlier, as `tail` says; what it sums beyond a
/// guard must read something that exists.
struct BlockSide {
  Halide::Var variable;
  int each;
  int threads;
  Halide::TailStrategy tail = Halide::TailStrategy::GuardWithIf;

  int extent() const { return each * threads; }
};

/// The threads of a block with these sides.
int threads_of(const std::vector<BlockSide>& tile);

/// Elements that a thread copies at once along a side of this extent: vectors of up to `most`, which divide both.
int copied_at_once(const BlockSide& side, std::int64_t extent, int most = 4);

/// Into how many parts a reduction is cut, each of which takes `blocks` blocks of threads. Choice: a few blocks for
/// each processor of a large GPU, each with several reads under way: that is what its memory takes (2026-11).
int parts_to_fill_gpu(std::int64_t blocks);

/// What the sums read, staged in shared memory a chunk at a time: its dimensions and their extents in a chunk, in the
/// order of shared memory; threads copy in the order `copied` (densest in global memory first), `vector` elements of
/// that one's first dimension at a time. Rows of the first dimension are `row` elements apart.
struct StagedOperand {
  struct Side {
    Halide::Var variable;
    int extent;
  };
  Halide::Func func;
  std::vector<Side> sides;
  std::vector<Halide::Var> copied;
  int vector = 1;
  int row = 0;

  std::int64_t bytes() const;
};

/// sum(at) = start; sum(at) += part(at, chunk), where part(at, chunk) is a reduction over the terms of a chunk; `out`
/// reads the sum at its own place. Variables of one name in `out`, `sum` and `part` are the same dimension.
struct BlockSums {
  Halide::Func out;
  Halide::Func sum;
  Halide::Func part;
  std::vector<BlockSide> tile{};      // of the sums; the first side is the densest in memory
  std::vector<Halide::Var> around{};  // the other variables of `out`
  std::vector<Halide::RVar> terms{};  // of a chunk, innermost first
  int unrolled = 1;                   // terms of the innermost loop that are unrolled
  std::vector<StagedOperand> operands{};
};

/// Choice: part sums of a chunk in registers, added to sums in shared memory. Alternatives: all terms in registers, for
/// which Halide cannot stage anything (a barrier would lie inside a thread), and sums in registers at the block, which
/// it makes an array in local memory. With chunks of 32 terms the sums' way through shared memory is a twentieth of the
/// instructions (2026-11).
void schedule_block_sums(const BlockSums& sums);

/// Shared memory that a block may have, and threads that a block of sums has at most.
constexpr std::int64_t shared_bytes = 48 << 10;
constexpr int most_threads = 128;

/// Neighbours that a thread takes along a side, and threads along it: at most `most` and `threads`.
struct ThreadSplit {
  int each;
  int threads;
};
ThreadSplit split_evenly(std::int64_t extent, int most, int threads);

}  // namespace netc
