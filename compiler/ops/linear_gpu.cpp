#include "compiler/ops/linear_gpu.h"

#include "compiler/kernels/gpu_products.h"
#include "compiler/kernels/schedules.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

/// Terms that are staged at a time.
constexpr int chunk_terms = 32;

const Var chunk("q"), term("k");

/// Features by examples, or outputs by inputs: 64 by 64 for 128 threads where there are as many. Choice: 8 by 4 sums a
/// thread; 8 by 8 would leave half of a GPU idle with the usual sizes of layers and batches (2026-11).
BlockSide dense_side(const Var& variable, std::int64_t extent) {
  const ThreadSplit split = split_evenly(extent, 8, 8);
  return {variable, split.each, split.threads, TailStrategy::ShiftInwards};
}

BlockSide other_side(const Var& variable, std::int64_t extent) {
  const ThreadSplit split = split_evenly(extent, 4, 16);
  return {variable, split.each, split.threads, TailStrategy::ShiftInwards};
}

/// part(at, q) and sum(at), the sum of `product(k)` over `terms` numbers k in chunks.
void define_sums(KernelBuilder& kernel, const std::vector<Var>& at, const Expr& start, const Expr& terms,
                 const std::function<Expr(const Expr& k)>& product) {
  const RDom k(0, chunk_terms, kernel.name("k"));
  std::vector<Var> part_at = at;
  part_at.push_back(chunk);
  Func part(kernel.name("part"));
  part(part_at) = kernel.constant(0);
  part(part_at) += product(chunk * chunk_terms + k);
  const RDom r(0, ceil_div(terms, chunk_terms), kernel.name("r"));
  std::vector<Expr> of_part(at.begin(), at.end());
  of_part.emplace_back(r);
  Func sum(kernel.name("sum"));
  sum(at) = start;
  sum(at) += part(of_part);
  kernel.stage("part", part);
  kernel.stage("sum", sum);
}

/// Defines `value` as the sums: a Func of its own, that is written while they lie in shared memory.
void define_whole(KernelBuilder& kernel, ValueId value, const std::vector<Var>& at) {
  Func whole(kernel.name("whole"));
  whole(at) = kernel.stage("sum")(std::vector<Expr>(at.begin(), at.end()));
  kernel.define(value, whole);
}

/// An operand, 0 behind its last term.
Func define_operand(KernelBuilder& kernel, const std::string& name, const std::vector<Var>& at, const Expr& terms,
                    const std::function<Expr(const Expr& k)>& element) {
  Func operand(kernel.name(name));
  operand(at) = select(term < terms, element(min(term, terms - 1)), kernel.constant(0));
  kernel.stage(name, operand);
  return operand;
}

BlockSums block_sums(KernelBuilder& kernel, const BlockSide& dense, const BlockSide& other) {
  BlockSums sums{kernel.out(), kernel.stage("sum"), kernel.stage("part"), {dense, other}};
  sums.terms = sums.part.rvars(0);
  sums.unrolled = 8;
  return sums;
}

}  // namespace

bool linear_in_blocks(const KernelBuilder& kernel, const Node& node) {
  const auto plain = [&](ValueId value) { return !kernel.shape(value).has_batch() || kernel.layout(value).lanes == 1; };
  return kernel.machine().is_gpu() && !kernel.few() && kernel.lanes() == 1 &&
         std::all_of(node.inputs.begin(), node.inputs.end(), plain);
}

void define_rows_in_blocks(KernelBuilder& kernel, const Node& node, const Expr& start, bool backward) {
  const ValueId x = node.inputs[0];
  const Var n = kernel.block(), c = kernel.axis(1), l = kernel.lane();
  const Expr terms = extent(kernel.shape(x)[1]);
  const Func input = define_operand(kernel, "input", {term, l, n}, terms, [&](const Expr& k) {
    return kernel.read(x, Point{l, min(n, kernel.blocks() - 1), {k}});
  });
  const Func weight = define_operand(kernel, "weight", {c, term}, terms, [&](const Expr& k) {
    return kernel.parameter(node.inputs[1], backward ? std::vector<Expr>{k, c} : std::vector<Expr>{c, k});
  });
  const std::vector<Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  define_sums(kernel, at, start, terms, [&](const Expr& k) { return input(k, l, n) * weight(c, k); });
  define_whole(kernel, node.outputs[0], at);
}

void schedule_rows_in_blocks(KernelBuilder& kernel, const Node& node, bool backward) {
  const Var n = kernel.block(), c = kernel.axis(1), l = kernel.lane();
  const std::int64_t features = kernel.shape(node.outputs[0])[1];
  const BlockSide dense = dense_side(c, features);
  const BlockSide images{n, 4, 16};
  const bool whole = kernel.shape(node.inputs[0])[1] % 4 == 0;
  StagedOperand input{
      kernel.stage("input"), {{term, chunk_terms}, {l, 1}, {n, images.extent()}}, {term, l, n}, whole ? 4 : 1};
  StagedOperand weight{kernel.stage("weight"), {{c, dense.extent()}, {term, chunk_terms}}, {c, term}};
  if (!backward) {
    weight.vector = copied_at_once(dense, features);
  } else {
    weight.copied = {term, c};
    if (dense.extent() % 4 == 0) weight.row = dense.extent() + 4;  // or else a warp writes to one bank
  }
  BlockSums sums = block_sums(kernel, dense, images);
  sums.around = {l};
  sums.operands = {input, weight};
  schedule_block_sums(sums);
}

void define_weights_in_blocks(KernelBuilder& kernel, const Node& node) {
  const Var o = kernel.axis(0), i = kernel.axis(1);
  const auto rows = [&](const std::string& name, ValueId value, const Var& feature) {
    return define_operand(kernel, name, {feature, term}, kernel.blocks(), [&](const Expr& k) {
      return kernel.read(value, Point{Expr(0), k, {feature}});
    });
  };
  const Func gradient = rows("gradients", node.inputs[0], o);
  const Func input = rows("input", node.inputs[1], i);
  define_sums(kernel, {i, o}, kernel.constant(0), kernel.blocks(),
              [&](const Expr& k) { return gradient(o, k) * input(i, k); });
  define_whole(kernel, node.outputs[0], {i, o});
}

void schedule_weights_in_blocks(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Var o = kernel.axis(0), i = kernel.axis(1);
  const BlockSide outputs = dense_side(o, shape[0]);
  const BlockSide inputs = other_side(i, shape[1]);
  const auto staged = [&](const std::string& name, const BlockSide& side, std::int64_t extent) {
    return StagedOperand{kernel.stage(name),
                         {{side.variable, side.extent()}, {term, chunk_terms}},
                         {side.variable, term},
                         copied_at_once(side, extent)};
  };
  BlockSums sums = block_sums(kernel, outputs, inputs);
  sums.operands = {staged("gradients", outputs, shape[0]), staged("input", inputs, shape[1])};
  schedule_block_sums(sums);
}

}  // namespace netc::ops
