// linear: y[n, o] = sum_i x[n, i] w[o, i] + b[o], and its gradients.
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/linear_gpu.h"
#include "compiler/ops/ops.h"
#include "compiler/ops/tensor_cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace {

Inference infer(const std::vector<Shape>& inputs, const Attributes& attributes) {
  const Shape& x = inputs[0];
  if (x.rank() != 2) {
    return {.error = ShapeError{"N203", "linear wants [N,features], found " + to_string(x), "input " + to_string(x),
                                "put `flatten` before it"}};
  }
  const std::int64_t in = x[1];
  const std::int64_t out = attributes.integer("features");
  Inference result{.outputs = {{x[0], out}}};
  const Initializer initializer{.rule = Initializer::Rule::fan_in_uniform};
  result.owned.push_back({"weight", Role::parameter, {out, in}, {1, 0}, initializer, in, out});
  if (attributes.boolean("bias")) {
    result.owned.push_back({"bias", Role::parameter, {out}, {}, initializer, in, out});
  }
  return result;
}

std::int64_t macs(const Graph& graph, const Node& node) {
  return graph[node.inputs[1]].shape.elements();
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  return product_gradients(builder, node, gradients[0], linear_backward_data, linear_backward_weights, {});
}

// ---- Algorithms ----------------------------------------------------------------------------------------------------

/// Tiles of the last images reach beyond the batch: they read the last image there.
Point existing(const KernelBuilder& kernel, Point point) {
  if (kernel.lanes() == 1) point.block = min(point.block, kernel.blocks() - 1);
  return point;
}

/// Terms of a part of a sum (see part_extent), whole pairs of them where they are added up in pairs; 1 on a GPU, where
/// a thread adds up all of them.
int part_of(const KernelBuilder& kernel, const Factors& factors, std::int64_t terms) {
  if (kernel.machine().is_gpu()) return 1;
  const int extent = part_extent(terms, terms);
  return extent % factors.together() == 0 ? extent : 1;
}

/// Defines the output as `start` plus the sum of `term(i)` over so many i, in parts.
void define_sum(KernelBuilder& kernel, const Node& node, const Factors& factors, const Expr& start, std::int64_t terms,
                const std::function<Expr(const Expr& i)>& term) {
  const int extent = part_of(kernel, factors, terms);
  const std::vector<Var> at = kernel.variables(kernel.shape(node.outputs[0]));
  const Var p("p");
  std::vector<Var> part_at = at;
  part_at.push_back(p);
  Func part(kernel.name("part"));
  if (extent == 1) {
    part(part_at) = term(p);
  } else {
    const RDom i(0, extent, kernel.name("i"));
    part(part_at) = kernel.constant(0);
    part(part_at) += term(p * extent + i);
  }
  const RDom parts(0, static_cast<int>(terms / extent), kernel.name("parts"));
  std::vector<Expr> of_part(at.begin(), at.end());
  of_part.emplace_back(parts);
  Func sum(kernel.name("sum"));
  sum(at) = start;
  sum(at) += part(of_part);
  kernel.stage("part", part);
  kernel.define(node.outputs[0], sum);
}

Factors forward_factors(const KernelBuilder& kernel, const Node& node) {
  return {kernel, node, kernel.shape(node.inputs[0])[1], true};
}

/// Whether there are so many weights that images would read them from memory, tile by tile, where each of these went
/// through all of its terms.
bool has_many_weights(const Graph& graph, const Node& node) {
  constexpr std::int64_t cache = 1 << 19;  // floats
  return graph[node.inputs[1]].shape.elements() > cache;
}

/// Whether they are prepared or copied for that, unrounded.
bool copies_weights(const KernelBuilder& kernel, const Node& node, const Factors& factors) {
  const Shape& weight = kernel.shape(node.inputs[1]);
  return has_many_weights(kernel.graph(), node) && kernel.lanes() == 1 && !kernel.few() && !factors.rounded() &&
         !kernel.machine().is_gpu() && weight[0] % kernel.machine().vector == 0 &&
         part_of(kernel, factors, weight[1]) > 1;
}

void forward(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  const Point point = existing(kernel, kernel.point(kernel.shape(node.outputs[0])));
  const bool bias = node.inputs.size() > 2;
  const Expr start = bias ? kernel.parameter(node.inputs[2], {point.axes[0]}) : kernel.constant(0);
  if (linear_in_blocks(kernel, node)) return define_rows_in_blocks(kernel, node, start, false);
  const Factors factors = forward_factors(kernel, node);
  const Func x = factors.rows(kernel, "rows", node.inputs[0]);
  Element weight = [&](const Expr& o, const Expr& i, const std::vector<Expr>&) {
    return kernel.parameter(node.inputs[1], {o, i});
  };
  const Shape& of = kernel.shape(node.inputs[1]);
  const bool by_vectors = copies_weights(kernel, node, factors);
  if (factors.rounded() || by_vectors) {
    weight = packed(kernel, factors, {node.inputs[1], of[0], of[1], {}, by_vectors}, {}, weight);
  }
  define_sum(kernel, node, factors, start, kernel.shape(node.inputs[0])[1], [&](const Expr& i) {
    return factors.product(weight(point.axes[0], i, {}), x(kernel.arguments(point.with({i}))));
  });
}

/// Outputs lie innermost in the weights, so that the gradient with respect to the inputs sums vectors of them: so many
/// are in a vector. 1 where no divisor of the outputs fills more than half a vector, or images lie side by side in
/// vectors.
int summed_vector(const KernelBuilder& kernel, const Node& node) {
  const int vector = divisor(kernel.shape(node.inputs[0])[1], kernel.machine().vector);
  return kernel.lanes() > 1 || vector * 2 <= kernel.machine().vector ? 1 : vector;
}

Factors backward_data_factors(const KernelBuilder& kernel, const Node& node) {
  return {kernel, node, kernel.shape(node.inputs[0])[1], false};
}

/// dx[n, i] = sum_o dy[n, o] w[o, i]
void backward_data(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->define(kernel);
  if (linear_in_blocks(kernel, node)) return define_rows_in_blocks(kernel, node, kernel.constant(0), true);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const int vector = summed_vector(kernel, node);
  Point point = existing(kernel, kernel.point(shape));
  if (vector > 1) point.axes[0] = min(point.axes[0], extent(shape[1]) - 1);
  const std::int64_t outputs = kernel.shape(node.inputs[0])[1];
  const Factors factors = backward_data_factors(kernel, node);
  const Func dy = factors.rows(kernel, "rows", node.inputs[0]);
  const auto term = [&](const Expr& o) {
    return factors.product(factors.rounded(kernel.parameter(node.inputs[1], {o, point.axes[0]})),
                           dy(kernel.arguments(point.with({o}))));
  };
  if (vector == 1) return define_sum(kernel, node, factors, kernel.constant(0), outputs, term);
  const std::vector<Var> at = kernel.variables(shape);
  const Var v("v");
  std::vector<Expr> of_vector(at.begin(), at.end());
  std::vector<Var> vector_at = at;
  vector_at.insert(vector_at.begin(), v);
  const RDom o(0, static_cast<int>(outputs / vector), kernel.name("o"));
  Func part(kernel.name("part"));
  part(vector_at) = kernel.constant(0);
  part(vector_at) += term(o * vector + v);
  const RDom all(0, vector, kernel.name("all"));
  of_vector.insert(of_vector.begin(), all);
  Func sum(kernel.name("sum"));
  sum(at) = kernel.constant(0);
  sum(at) += part(of_vector);
  kernel.stage("part", part);
  kernel.define(node.outputs[0], sum);
}

Factors weights_factors(const KernelBuilder& kernel, const Node& node) {
  return {kernel, node, 1, false};
}

/// dw[o, i] = sum_n dy[n, o] x[n, i] and db[o] = sum_n dy[n, o]
void backward_weights(KernelBuilder& kernel, const Node& node) {
  const Halide::Var o = kernel.axis(0);
  const Halide::Var i = kernel.axis(1);
  const RDom n(0, kernel.lanes(), 0, kernel.blocks(), kernel.name("n"));
  const Point example{n.x, n.y, {}};
  const Factors factors = weights_factors(kernel, node);
  const Func x = factors.rows(kernel, "rows", node.inputs[1]);
  Func gradient(kernel.name("gradient"));
  gradient(o, kernel.lane(), kernel.block()) = kernel.read(node.inputs[0], Point{kernel.lane(), kernel.block(), {o}});
  kernel.stage("gradient", gradient);
  if (const auto product = TensorProduct::of(kernel, node)) {
    product->define(kernel);
  } else if (linear_in_blocks(kernel, node)) {
    define_weights_in_blocks(kernel, node);
  } else {
    Func weight(kernel.name("weight"));
    weight(i, o) = kernel.constant(0);
    weight(i, o) += factors.product(factors.rounded(gradient(o, n.x, n.y)), x(kernel.arguments(example.with({i}))));
    kernel.define(node.outputs[0], weight);
  }
  if (node.outputs.size() == 1) return;
  Func bias(kernel.name("bias"));
  bias(o) = kernel.constant(0);
  bias(o) += gradient(o, n.x, n.y);
  kernel.define(node.outputs[1], bias);
}

// ---- Schedules -----------------------------------------------------------------------------------------------------

/// What was rounded for a whole batch, in vectors of images or features.
void schedule_rounded_rows(KernelBuilder& kernel, ValueId value) {
  if (!kernel.has_stage("rows")) return;
  Func rows = kernel.stage("rows").compute_root().parallel(kernel.block());
  if (kernel.lanes() > 1) {
    rows.vectorize(kernel.lane(), kernel.machine().vector);
  } else {
    rows.vectorize(kernel.axis(1), vector_extent(kernel.machine(), kernel.shape(value)[1]),
                   Halide::TailStrategy::ShiftInwards);
  }
}

/// What was rounded of the weights: of those that are read in vectors, the ones that a tile needs, otherwise all.
void schedule_rounded_weights(KernelBuilder& kernel, const Factors& factors, const Func& sum, const Tile& tile,
                              int vector) {
  if (!kernel.has_stage("weights")) return;
  if (factors.pairs()) {
    const Func part = kernel.stage("part");
    const Func adding = part.has_update_definition() ? part : sum;
    const Halide::RVar pair = loop_over_terms(adding.rvars(0)[0], factors.together());
    schedule_packed_at(kernel, "weights", Halide::LoopLevel(adding, pair), tile[0].extent, vector);
  } else if (kernel.lanes() > 1) {
    schedule_packed(kernel, factors, "weights");
  }
}

/// Whether a few images have so many weights that reading them takes longer than all else.
bool reads_whole_rows(const KernelBuilder& kernel, const Node& node) {
  constexpr std::int64_t cache = 1 << 13;  // floats
  const std::int64_t features = kernel.shape(node.outputs[0])[1];
  return kernel.few() && kernel.stage("part").has_update_definition() && features % kernel.machine().vector == 0 &&
         kernel.shape(node.inputs[1]).elements() > cache;
}

/// Each task adds up a part of the sums, all features of them, so that it reads whole rows of weights, some at a time,
/// in the order of memory. Alternative: tasks of features, which read a piece of every row: 19 of the 46 GB/s that the
/// machine reads, against 42 (6400 to 4096 features, 2 threads, 2026-11).
void schedule_whole_rows(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  const int rows = 4 * factors.together();
  const Var o = kernel.axis(1), n = kernel.block(), oi("oi");
  Func part = kernel.stage("part");
  const int vector = kernel.machine().vector;
  const Halide::RVar i = part.rvars(0)[0], row("row"), all("all");
  const Var p = part.args().back();
  part.compute_root().vectorize(o, vector).parallel(p);
  part.update().split(i, all, row, rows);
  // Weights that were not prepared are rounded as they are read, one by one.
  if (kernel.part() == Part::rest && factors.pairs()) {
    const Var some("some");
    Func rows_sum = part.update().rfactor(all, some);  // dot products may not stand in a loop that runs in parallel
    rows_sum.compute_at(part, o).vectorize(o, vector);
    schedule_dot_products(rows_sum.update(), {o, kernel.lane(), n, p, some, row}, o, vector, row, factors.together());
    rows_sum.update().unroll(loop_over_terms(row, factors.together()));
    part.update().split(o, o, oi, vector).reorder(oi, o, kernel.lane(), n, all, p).vectorize(oi).parallel(p);
  } else {
    part.update().split(o, o, oi, vector).reorder(row, oi, o, kernel.lane(), n, all, p).vectorize(oi).unroll(row);
    part.update().parallel(p);
  }
  Func sum = kernel.defined(node.outputs[0]);
  const Var task("task");
  kernel.out().compute_root().split(o, o, oi, vector, Halide::TailStrategy::GuardWithIf).vectorize(oi);
  kernel.out()
      .split(o, task, o, 8, Halide::TailStrategy::GuardWithIf)
      .reorder(oi, o, kernel.lane(), n, task)
      .parallel(task);
  sum.compute_at(kernel.out(), o).vectorize(o, vector);
  sum.update().reorder(o, sum.rvars(0)[0]).vectorize(o, vector);
}

/// Tasks of features: the weights of a part of the terms serve all images, whose sums stay in the cache. Choice:
/// prepared weights lie in the order of reading; others are copied part by part. Alternative: as they are, where rows
/// 16 KB apart share places in the cache, and each is a page of its own. 6272 to 4096 features of 32 images, two
/// threads: 9.1 -> 7.2 ms copied, 4.2 ms prepared (2026-11).
void schedule_parts_of_rows(KernelBuilder& kernel, const Node& node) {
  const Machine& machine = kernel.machine();
  const int vector = machine.vector;
  const std::int64_t features = kernel.shape(node.outputs[0])[1];
  const int wide = divisor(features / vector, machine.accumulators > 16 ? 4 : 2);
  const int vectors = kernel.choice("vectors", wide, divisors(features / vector, 4));
  const int most = machine.sums(vectors);
  const int images = kernel.choice("images", std::min(most, 8), up_to(most, most));
  const Var o = kernel.axis(1), n = kernel.block(), oo("oo"), no("no"), ni("ni");
  const Tile tile{{o, vectors * vector}, {n, images, Halide::TailStrategy::GuardWithIf}};
  Func out = kernel.out();
  out.compute_root().split(o, oo, o, tile[0].extent).reorder(o, kernel.lane(), n, oo).vectorize(o, vector).parallel(oo);
  Func sum = kernel.defined(node.outputs[0]);
  const Halide::RVar parts = sum.rvars(0)[0];
  sum.compute_at(out, oo).bound_extent(o, tile[0].extent).vectorize(o, vector);
  sum.update()
      .split(n, no, ni, images, Halide::TailStrategy::GuardWithIf)
      .reorder(o, ni, kernel.lane(), no, parts)
      .vectorize(o, vector)
      .unroll(ni);
  Func part = kernel.stage("part");
  schedule_parts(part, sum, tile, vector, 1);
  part.compute_at(sum, no);
  kernel.fetch_ahead(part.update(), part.rvars(0)[0], 1, 64);
  if (kernel.part() == Part::rest) return;
  Func copy = kernel.stage("weights");
  const Var feature = copy.args()[0];
  copy.compute_at(sum, parts).bound_extent(feature, tile[0].extent).vectorize(feature, vector);
}

/// Tiles of features, 16 images side by side where the layout has lanes, otherwise vectors of features by images: what
/// is read of the weights serves all images of a tile.
void schedule_tiles_of_rows(KernelBuilder& kernel, const Node& node, const Factors& factors) {
  const ValueId value = node.outputs[0];
  const std::int64_t features = kernel.shape(value)[1];
  const Machine& machine = kernel.machine();
  Func sum = kernel.defined(value);
  const Halide::RVar r = sum.rvars(0)[0];
  const auto schedule = [&](const Tile& tile, int vector, const std::vector<Var>& loops, int parallel) {
    const bool in_parts = kernel.stage("part").has_update_definition();
    schedule_tiles(sum, kernel.out(), tile, vector, {r}, loops, parallel, in_parts ? 1 : factors.together());
    schedule_parts(kernel.stage("part"), sum, tile, vector, factors.together());
    schedule_rounded_weights(kernel, factors, sum, tile, vector);
  };
  schedule_rounded_rows(kernel, node.inputs[0]);
  if (kernel.lanes() > 1) {
    const int most = machine.accumulators * machine.vector / kernel.lanes();
    const int side = kernel.choice("features", tile_extent(features, most), up_to(features, most));
    return schedule({{kernel.lane(), kernel.lanes()}, {kernel.axis(1), side}}, machine.vector,
                    {kernel.axis(1), kernel.block()}, 1);
  }
  const int vector = vector_extent(machine, features);
  const std::vector<Var> loops{kernel.lane(), kernel.block(), kernel.axis(1)};
  if (reads_whole_rows(kernel, node)) return schedule_whole_rows(kernel, node, factors);
  if (kernel.has_stage("weights") && !factors.rounded()) return schedule_parts_of_rows(kernel, node);
  if (kernel.few()) {
    const int vectors = tile_extent(features / vector, machine.accumulators - 4);
    return schedule({{kernel.axis(1), vectors * vector}}, vector, loops, 2);
  }
  const int vectors = kernel.choice("vectors", static_cast<int>(std::min<std::int64_t>(2, features / vector)),
                                    up_to(features / vector, 4));
  const int most = machine.accumulators / vectors;
  const bool one_tile = features <= vectors * vector;  // of features: tasks are images alone
  const int images = kernel.choice("images", one_tile ? std::min(most, 8) : most, up_to(most, most));
  const Tile tile{{kernel.axis(1), vectors * vector}, {kernel.block(), images, Halide::TailStrategy::GuardWithIf}};
  schedule(tile, vector, loops, 2);
}

void schedule_rows(KernelBuilder& kernel, const Node& node) {
  if (kernel.part() == Part::preparation) return schedule_packed(kernel, forward_factors(kernel, node), "weights");
  schedule_tiles_of_rows(kernel, node, forward_factors(kernel, node));
}

/// Tiles of features by images, each sum a vector. Of the weights, what 32 features take stays in the cache.
void schedule_backward_data(KernelBuilder& kernel, const Node& node) {
  const int vector = summed_vector(kernel, node);
  if (vector == 1) return schedule_tiles_of_rows(kernel, node, backward_data_factors(kernel, node));
  schedule_rounded_rows(kernel, node.inputs[0]);
  constexpr Halide::TailStrategy guard = Halide::TailStrategy::GuardWithIf;
  const std::int64_t features = kernel.shape(node.outputs[0])[1];
  const int width = kernel.choice("features", tile_extent(features, 4), up_to(features, 8));
  const int accumulators = kernel.machine().accumulators;  // vectors of weights stand beside them
  const int images = kernel.choice("images", accumulators / 4 - 1, up_to(accumulators / width, accumulators));
  const int features_in_cache = kernel.choice("features_in_cache", 32, {16, 32, 64, 128}) / width * width;
  const Var n = kernel.block(), i = kernel.axis(1), block("block"), task("task"), no("no"), io("io");
  Func out = kernel.out();
  Func sum = kernel.defined(node.outputs[0]);
  Func part = kernel.stage("part");
  out.compute_root()
      .split(i, block, i, features_in_cache, guard)
      .split(i, io, i, width, guard)
      .split(n, no, n, images, guard)
      .reorder(i, n, kernel.lane(), io, no, block)
      .unroll(i)
      .unroll(n)
      .fuse(no, block, task)
      .parallel(task);
  for (Func func : {sum, part}) {
    func.compute_at(out, io).bound_extent(kernel.axis(1), width).bound_extent(kernel.block(), images);
    func.unroll(kernel.axis(1)).unroll(kernel.block());
    func.update().unroll(kernel.axis(1)).unroll(kernel.block());
  }
  const Halide::RVar all = sum.rvars(0)[0];
  sum.update().reorder(all, kernel.axis(1), kernel.block()).atomic().vectorize(all);
  const Var v = part.args()[0];
  part.vectorize(v, vector);
  part.update().reorder(v, kernel.axis(1), kernel.block(), part.rvars(0)[0]).vectorize(v, vector);
}

void schedule_weights(KernelBuilder& kernel, const Node& node) {
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Machine& machine = kernel.machine();
  Func sum = kernel.defined(node.outputs[0]);
  const std::vector<Halide::RVar> n = sum.rvars(0);
  const int vector = vector_extent(machine, shape[0]);
  const int vectors = kernel.choice("vectors", static_cast<int>(std::min<std::int64_t>(2, shape[0] / vector)),
                                    up_to(shape[0] / vector, 4));
  const int most = machine.accumulators / vectors;
  const int high = kernel.choice("inputs", tile_extent(shape[1], most - 2), up_to(shape[1], most));
  schedule_tiles(sum, kernel.out(), {{kernel.axis(0), vectors * vector}, {kernel.axis(1), high}}, vector, n,
                 {kernel.axis(0), kernel.axis(1)}, 1);
  schedule_rounded_rows(kernel, node.inputs[1]);
  Func gradient = kernel.stage("gradient");
  if (kernel.lanes() > 1) gradient.compute_root().vectorize(kernel.lane(), machine.vector).parallel(kernel.block());
  if (node.outputs.size() == 1) return;
  Func bias = kernel.defined(node.outputs[1]);
  kernel.out(1).compute_root().vectorize(kernel.axis(0), vector);
  bias.compute_at(kernel.out(1), kernel.axis(0)).vectorize(kernel.axis(0), vector);
  bias.update().reorder(kernel.axis(0), bias.rvars(0)[0], bias.rvars(0)[1]).vectorize(kernel.axis(0), vector);
}

// ---- GPU schedules --------------------------------------------------------------------------------------------------

/// Tiles of features by images, one a thread.
void schedule_thread_rows(KernelBuilder& kernel, const Node& node) {
  const ValueId value = node.outputs[0];
  Func sum = kernel.defined(value);
  Tile tile{{kernel.axis(1), tile_extent(kernel.shape(value)[1], 4)}};
  if (kernel.lanes() == 1) tile.push_back({kernel.block(), 4, Halide::TailStrategy::GuardWithIf});
  schedule_thread_tiles(sum, kernel.out(), tile, sum.rvars(0), {kernel.lane(), kernel.axis(1), kernel.block()});
}

void schedule_forward_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  if (linear_in_blocks(kernel, node)) return schedule_rows_in_blocks(kernel, node, false);
  schedule_thread_rows(kernel, node);
}

void schedule_backward_data_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  if (linear_in_blocks(kernel, node)) return schedule_rows_in_blocks(kernel, node, true);
  schedule_thread_rows(kernel, node);
}

/// Tiles of outputs by inputs, one a thread.
void schedule_weights_on_gpu(KernelBuilder& kernel, const Node& node) {
  if (const auto product = TensorProduct::of(kernel, node)) return product->schedule(kernel);
  if (linear_in_blocks(kernel, node)) return schedule_weights_in_blocks(kernel, node);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Var o = kernel.axis(0), i = kernel.axis(1);
  Func sum = kernel.defined(node.outputs[0]);
  const Tile tile{{o, tile_extent(shape[0], 4)}, {i, tile_extent(shape[1], 4)}};
  schedule_thread_tiles(sum, kernel.out(), tile, sum.rvars(0), {o, i});
}

}  // namespace

const Operator linear{
    .name = "linear",
    .doc = "y[n, o] = sum over i of x[n, i] * weight[o, i], plus bias[o].",
    .attributes = {{"features", AttributeType::integer, {}, "", 1, 2147483647, "outputs"},
                   {"bias", AttributeType::boolean, true, "", 0, 1, "whether a bias is added"}},
    .infer = infer,
    .macs = macs,
    .gradient = gradient,
    .algorithm = forward,
    .schedule = schedule_rows,
    .gpu_schedule = schedule_forward_on_gpu,
    .multiplies_bf16 = true,
    .schedules_few = true,
    .prepares = true,
    .transforms = has_many_weights,
    .samples = {{"plain", {{Shape::batch, 40}}, {{"features", 33}, {"bias", true}}},
                {"without_bias", {{Shape::batch, 7}}, {{"features", 3}, {"bias", false}}},
                {"wide", {{Shape::batch, 300}}, {{"features", 32}, {"bias", true}}},
                {"many_weights", {{Shape::batch, 520}}, {{"features", 16}, {"bias", true}}}},
};

const Operator linear_backward_data{
    .name = "linear_backward_data",
    .doc = "dx[n, i] = sum over o of dy[n, o] * weight[o, i].",
    .in_language = false,
    .inputs = 2,
    .macs = macs,
    .algorithm = backward_data,
    .schedule = schedule_backward_data,
    .gpu_schedule = schedule_backward_data_on_gpu,
    .multiplies_bf16 = true,
};

const Operator linear_backward_weights{
    .name = "linear_backward_weights",
    .doc = "dweight[o, i] = sum over n of dy[n, o] * x[n, i]; dbias[o] = sum over n of dy[n, o].",
    .in_language = false,
    .inputs = 2,
    .macs = [](const Graph& graph, const Node& node) { return graph[node.outputs[0]].shape.elements(); },
    .algorithm = backward_weights,
    .schedule = schedule_weights,
    .gpu_schedule = schedule_weights_on_gpu,
    .multiplies_bf16 = true,
};

}  // namespace netc::ops
