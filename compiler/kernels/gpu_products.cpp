#include "compiler/kernels/gpu_products.h"

#include <algorithm>

#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/schedules.h"

namespace netc {

using Halide::Func;
using Halide::MemoryType;
using Halide::RVar;
using Halide::Stage;
using Halide::TailStrategy;
using Halide::Var;
using Halide::VarOrRVar;

namespace {

/// Four floats are what a thread loads or stores at once.
constexpr int vector = 4;

Var named(const Var& variable, const char* suffix) {
  return Var(variable.name() + suffix);
}

/// Along the first side threads lie side by side in x, along the others in y. Loops in `around` lie outside. Returns
/// the threads of the first side.
Var divide_among_threads(Stage stage, const std::vector<BlockSide>& tile, const char* inner,
                         const std::vector<VarOrRVar>& around) {
  std::vector<VarOrRVar> nest;
  std::vector<Var> threads;
  for (const BlockSide& side : tile) {
    const Var variable = named(side.variable, inner);
    const Var each = named(variable, "e");
    threads.push_back(named(variable, "t"));
    stage.split(variable, threads.back(), each, side.each, TailStrategy::GuardWithIf);
    nest.emplace_back(each);
  }
  const std::vector<VarOrRVar> own = nest;
  nest.insert(nest.end(), threads.begin(), threads.end());
  nest.insert(nest.end(), around.begin(), around.end());
  stage.reorder(nest);
  if (tile[0].each % vector == 0) stage.vectorize(own[0], vector);
  for (const VarOrRVar& each : own) stage.unroll(each);
  if (threads.size() == 1) {
    stage.gpu_threads(threads[0]);
  } else {
    stage.gpu_threads(threads[0], fuse_all(stage, {threads.begin() + 1, threads.end()}, "threads"));
  }
  return threads[0];
}

/// The tile's sides lie in memory in their order, so that vectors along the first are dense.
void store_in_order(Func func, const std::vector<BlockSide>& tile, MemoryType memory) {
  std::vector<Var> storage;
  for (const BlockSide& side : tile) storage.push_back(side.variable);
  for (const Var& variable : func.args()) {
    const auto same = [&](const Var& stored) { return stored.same_as(variable); };
    if (std::none_of(storage.begin(), storage.end(), same)) storage.push_back(variable);
  }
  func.reorder_storage(storage).store_in(memory);
}

void schedule_out(Func out, const BlockSums& sums) {
  out.compute_root();
  std::vector<Var> blocks;
  for (const BlockSide& side : sums.tile) {
    blocks.push_back(named(side.variable, "o"));
    out.split(side.variable, blocks.back(), named(side.variable, "i"), side.extent(), side.tail);
  }
  blocks.insert(blocks.end(), sums.around.begin(), sums.around.end());
  Stage stage(out);
  divide_among_threads(stage, sums.tile, "i", {blocks.begin(), blocks.end()});
  const Var block = fuse_all(stage, blocks, "blocks");
  out.gpu_blocks(block);
  Func(sums.sum).compute_at(out, block);
}

/// All threads of the block copy, neighbours in memory side by side.
void schedule_operand(const StagedOperand& operand, const BlockSums& sums) {
  Func func = operand.func;
  std::vector<Var> storage;
  int elements = 1;
  for (const StagedOperand::Side& side : operand.sides) {
    func.bound_extent(side.variable, side.extent);
    storage.push_back(side.variable);
    elements *= side.extent;
  }
  func.compute_at(sums.sum, Func(sums.sum).rvars(0)[0]).store_in(MemoryType::GPUShared).reorder_storage(storage);
  if (operand.row > 0) func.align_storage(storage[0], operand.row);
  func.reorder(as_loops(operand.copied));
  if (operand.vector > 1) func.vectorize(operand.copied[0], operand.vector);
  Stage stage(func);
  const Var all = fuse_all(stage, operand.copied, "copied");
  const int threads = threads_of(sums.tile);
  const Var turn("turn"), thread("thread"), x("tx"), y("ty");
  func.split(all, turn, thread, threads, TailStrategy::GuardWithIf)
      .split(thread, y, x, sums.tile[0].threads)
      .reorder(turn, x, y)
      .gpu_threads(x, y);
  const int turns = ceil_div(elements / operand.vector, threads);
  func.unroll(turn, turns <= 16 ? turns : 8, TailStrategy::GuardWithIf);
}

}  // namespace

std::int64_t StagedOperand::bytes() const {
  std::int64_t elements = 1;
  for (const Side& side : sides) elements *= side.extent;
  if (row > 0) elements = elements / sides[0].extent * row;
  return elements * static_cast<std::int64_t>(sizeof(float));
}

int threads_of(const std::vector<BlockSide>& tile) {
  int threads = 1;
  for (const BlockSide& side : tile) threads *= side.threads;
  return threads;
}

int copied_at_once(const BlockSide& side, std::int64_t extent, int most) {
  for (int elements = most; elements >= vector; elements /= 2) {
    if (side.extent() % elements == 0 && extent % elements == 0) return elements;
  }
  return 1;
}

int parts_to_fill_gpu(std::int64_t blocks) {
  constexpr std::int64_t enough_blocks = 528;
  constexpr std::int64_t most_parts = 256;
  return extent(std::clamp<std::int64_t>(ceil_div(enough_blocks, blocks), 1, most_parts));
}

ThreadSplit split_evenly(std::int64_t extent, int most, int threads) {
  const int each = tile_extent(extent, most);
  return {each, divisor(extent / each, threads)};
}

void schedule_block_sums(const BlockSums& sums) {
  schedule_out(sums.out, sums);
  Func sum = sums.sum;
  store_in_order(sum, sums.tile, MemoryType::GPUShared);
  for (const BlockSide& side : sums.tile) sum.bound_extent(side.variable, side.extent());
  divide_among_threads(Stage(sum), sums.tile, "", {});
  const std::vector<RVar> chunks = sum.rvars(0);
  const Var thread = divide_among_threads(sum.update(), sums.tile, "", {chunks.begin(), chunks.end()});

  Func part = sums.part;
  std::vector<VarOrRVar> nest;
  for (const BlockSide& side : sums.tile) nest.emplace_back(side.variable);
  nest.insert(nest.end(), sums.terms.begin(), sums.terms.end());
  part.compute_at(sum, thread);
  store_in_order(part, sums.tile, MemoryType::Register);
  part.update().reorder(nest);
  for (const BlockSide& side : sums.tile) {
    part.bound_extent(side.variable, side.each);
    const bool vectors = side.variable.same_as(sums.tile[0].variable) && side.each % vector == 0;
    if (vectors) part.vectorize(side.variable, vector).update().vectorize(side.variable, vector);
    part.unroll(side.variable).update().unroll(side.variable);
  }
  if (sums.unrolled > 1) part.update().unroll(sums.terms[0], sums.unrolled);
  for (const StagedOperand& operand : sums.operands) schedule_operand(operand, sums);
}

}  // namespace netc
