// comprehension and elementwise: whatever index notation says, with at most one reduction; what `fn`, `layer` and
// tensor functions become. Gradients are comprehensions again.
#include "compiler/ops/comprehension.h"

#include <algorithm>

#include "compiler/formula/functions.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/lower_formula.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/channel_sums.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::RVar;
using Halide::TailStrategy;
using Halide::Var;

namespace {

const Comprehension& comprehension_of(const Node& node) {
  return std::get<Comprehension>(node.attributes.all().at("formula"));
}

bool scans(const Comprehension& c) {
  return c.reduction == Reduction::cumsum || c.reduction == Reduction::reversed_cumsum;
}

/// Elements of a value that has the result's shape are read only where the result is written.
bool is_elementwise(const Graph& graph, const Comprehension& c, const std::vector<ValueId>& inputs) {
  const Shape shape(extents(c));
  const std::vector<Formula> all = reads(c.body);
  return c.reduction == Reduction::none && std::all_of(all.begin(), all.end(), [&](const Formula& read) {
           const ValueId value = inputs[static_cast<std::size_t>(read->id)];
           return !(graph[value].shape == shape) || reads_same_place(read, c.rank);
         });
}

/// The value that `c` only repeats.
std::optional<ValueId> plain_copy(const Graph& graph, const Comprehension& c, const std::vector<ValueId>& inputs) {
  const bool reads = c.reduction == Reduction::none && c.body->kind == Formula::Kind::read;
  if (!reads || !reads_same_place(c.body, c.rank)) return {};
  const ValueId value = inputs[static_cast<std::size_t>(c.body->id)];
  return graph[value].shape == Shape(extents(c)) ? std::optional(value) : std::nullopt;
}

}  // namespace

ValueId emit(GraphBuilder& builder, Comprehension c, const std::vector<ValueId>& inputs) {
  if (const auto same = plain_copy(builder.graph(), c, inputs)) return *same;
  std::vector<ValueId> used;
  c.body = rewrite(c.body, [&](const Formula& part) -> std::optional<Formula> {
    if (part->kind != Formula::Kind::read) return {};
    const ValueId value = inputs[static_cast<std::size_t>(part->id)];
    auto known = std::find(used.begin(), used.end(), value);
    if (known == used.end()) known = used.insert(known, value);
    return read(static_cast<int>(known - used.begin()), part->operands);
  });
  const Shape shape(extents(c));
  const Operator& op = is_elementwise(builder.graph(), c, used) ? elementwise : comprehension;
  return builder.add(op, {{"formula", std::move(c)}}, used, shape);
}

ValueId emit(GraphBuilder& builder, const std::vector<Step>& steps, const std::vector<ValueId>& inputs, int result) {
  std::vector<ValueId> tensors = inputs;
  for (const Step& step : steps) {
    std::vector<ValueId> operands;
    for (int tensor : step.inputs) operands.push_back(tensors[static_cast<std::size_t>(tensor)]);
    tensors.push_back(emit(builder, step.comprehension, operands));
  }
  return tensors[static_cast<std::size_t>(result)];
}

namespace {

// ---- Gradient -------------------------------------------------------------------------------------------------------

/// Tensors as `gather` numbers them.
std::vector<ValueId> gradient_inputs(GraphBuilder& builder, const Node& node, ValueId gradient) {
  const Comprehension& c = comprehension_of(node);
  std::vector<ValueId> tensors{gradient};
  if (scans(c)) tensors[0] = emit(builder, reversed_cumsum(c), tensors);
  tensors.insert(tensors.end(), node.inputs.begin(), node.inputs.end());
  if (c.reduction != Reduction::max && c.reduction != Reduction::min) return tensors;
  std::vector<ValueId> counted = node.inputs;
  counted.push_back(node.outputs[0]);
  tensors.push_back(node.outputs[0]);
  tensors.push_back(emit(builder, count_extremes(c, static_cast<int>(node.inputs.size())), counted));
  return tensors;
}

std::vector<ValueId> gradient(GraphBuilder& builder, int index, const std::vector<ValueId>& gradients) {
  const Node node = builder.graph().nodes[static_cast<std::size_t>(index)];
  const std::vector<ValueId> tensors = gradient_inputs(builder, node, gradients[0]);
  std::vector<ValueId> result;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Shape shape = builder.value(node.inputs[i]).shape;
    std::string culprit;
    const auto parts = gather(comprehension_of(node), static_cast<int>(i), shape.extents(), culprit);
    std::vector<ValueId> terms;
    for (const Comprehension& part : parts.value_or(std::vector<Comprehension>())) {
      terms.push_back(emit(builder, part, tensors));
    }
    if (terms.size() > 1) terms = {builder.add(add, {}, terms, shape)};
    result.push_back(!parts ? no_gradient : terms.empty() ? no_value : terms[0]);
  }
  return result;
}

// ---- Algorithm ------------------------------------------------------------------------------------------------------

/// Where an index stands in a kernel: at a number, or at an example.
struct Position {
  Expr number;  // undefined for the batch
  Point example;
};

/// The elements that a comprehension reads, with its indices at given positions.
class NodeElements : public FormulaContext {
 public:
  NodeElements(KernelBuilder& kernel, const Node& node, std::vector<Position> positions)
      : kernel_(kernel), node_(node), positions_(std::move(positions)) {}

  Halide::Type real() const override { return kernel_.real(); }
  Expr index(int id) const override {
    const Position& at = positions_[static_cast<std::size_t>(id)];
    return at.number.defined() ? at.number : kernel_.example(at.example);
  }
  Expr extent(int) const override { return kernel_.batch(); }
  std::int64_t extent_of(int id) const override {
    return comprehension_of(node_).indices[static_cast<std::size_t>(id)].extent;
  }
  std::int64_t known_extent(int tensor, int axis) const override { return kernel_.shape(value(tensor))[axis]; }
  Expr axis_extent(int tensor, int axis) const override { return static_cast<int>(known_extent(tensor, axis)); }
  Expr element(const Formula& read, std::vector<Expr> at) override {
    const Shape& shape = kernel_.shape(value(read->id));
    if (!shape.has_batch()) return kernel_.parameter(value(read->id), std::move(at));
    const Point& example = positions_[static_cast<std::size_t>(read.operand(0)->id)].example;
    at.erase(at.begin());
    return kernel_.read(value(read->id), example.with(std::move(at)));
  }

 private:
  ValueId value(int tensor) const { return node_.inputs[static_cast<std::size_t>(tensor)]; }

  KernelBuilder& kernel_;
  const Node& node_;
  std::vector<Position> positions_;
};

/// The result's indices at `point`.
std::vector<Position> positions(const Comprehension& c, const Point& point) {
  std::vector<Position> result;
  if (point.has_batch()) result.push_back({{}, point});
  for (const Expr& axis : point.axes) result.push_back({axis, {}});
  result.resize(c.indices.size());
  return result;
}

Expr body(KernelBuilder& kernel, const Node& node, std::vector<Position> at) {
  NodeElements elements(kernel, node, std::move(at));
  return lower(comprehension_of(node).body, elements);
}

/// 0 for examples that do not exist: later sums run over them.
Expr masked(KernelBuilder& kernel, const Point& point, const Expr& value) {
  return point.has_batch() ? select(kernel.valid(point), value, kernel.constant(0)) : value;
}

Expr value_at(KernelBuilder& kernel, const Node& node, const Point& point) {
  return masked(kernel, point, body(kernel, node, positions(comprehension_of(node), point)));
}

/// Numbers of the reduction's indices, the batch left out, the last one innermost.
std::vector<std::size_t> reduced_numbers(const Comprehension& c) {
  std::vector<std::size_t> numbers;
  for (std::size_t i = c.indices.size(); i-- > static_cast<std::size_t>(c.rank);) {
    if (c.indices[i].extent != Shape::batch) numbers.push_back(i);
  }
  return numbers;
}

std::optional<std::size_t> reduced_batch(const Comprehension& c) {
  for (std::size_t i = static_cast<std::size_t>(c.rank); i < c.indices.size(); ++i) {
    if (c.indices[i].extent == Shape::batch) return i;
  }
  return {};
}

/// Puts the reduction's indices (without the batch) into `at`, as those of a domain.
RDom reduction_domain(KernelBuilder& kernel, const Comprehension& c, std::vector<Position>& at) {
  Halide::Region ranges;
  const std::vector<std::size_t> numbers = reduced_numbers(c);
  for (std::size_t number : numbers) ranges.emplace_back(0, static_cast<int>(c.indices[number].extent));
  const RDom domain(ranges, kernel.name("r"));
  for (std::size_t i = 0; i < numbers.size(); ++i) at[numbers[i]].number = domain[static_cast<int>(i)];
  return domain;
}

/// A reduction that keeps the examples apart, or has none.
void reduce_elements(KernelBuilder& kernel, const Node& node) {
  const Comprehension& c = comprehension_of(node);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const std::vector<Var> variables = kernel.variables(shape);
  std::vector<Position> at = positions(c, kernel.point(shape));
  const RDom domain = reduction_domain(kernel, c, at);
  Func total(kernel.name(c.reduction == Reduction::sum ? "sum" : "extreme"));
  total(variables) = neutral(c.reduction, kernel.real());
  total(variables) = combine(c.reduction, total(variables), body(kernel, node, at));
  Func result(kernel.name("result"));
  result(variables) = masked(kernel, kernel.point(shape), total(variables));
  kernel.stage("total", total);
  kernel.define(node.outputs[0], result);
}

/// A reduction over the batch: first what an example gives, then slices of blocks of examples, whose number does not
/// depend on the threads, then the whole.
void reduce_batch(KernelBuilder& kernel, const Node& node, std::size_t batch) {
  const Comprehension& c = comprehension_of(node);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Var l = kernel.lane();
  const Var n = kernel.block();
  const Var s("s");
  const auto call = [&](const Expr& lane, const Expr& last) {
    std::vector<Expr> arguments{lane};
    for (const Var& variable : kernel.variables(shape)) arguments.emplace_back(variable);
    arguments.push_back(last);
    return arguments;
  };
  const auto define = [&](Func func, const std::vector<Expr>& arguments) {
    std::vector<Var> variables;
    for (const Expr& argument : arguments) variables.push_back(Var(argument.as<Halide::Internal::Variable>()->name));
    func(variables) = neutral(c.reduction, kernel.real());
  };

  const Point example{l, n, {}};
  std::vector<Position> at = positions(c, kernel.point(shape));
  at[batch].example = example;
  Func each(kernel.name("each"));
  const bool sums_inside = !reduced_numbers(c).empty();
  if (sums_inside) {
    const RDom inside = reduction_domain(kernel, c, at);
    define(each, call(l, n));
    each(call(l, n)) = combine(c.reduction, each(call(l, n)), body(kernel, node, at));
  } else {
    std::vector<Var> variables{l};
    for (const Var& variable : kernel.variables(shape)) variables.push_back(variable);
    variables.push_back(n);
    each(variables) = body(kernel, node, at);
  }

  const Expr blocks = kernel.blocks();
  const Expr per_slice = ceil_div(blocks, slices);
  RDom b(0, per_slice, kernel.name("b"));
  b.where(s * per_slice + b < blocks);
  const Expr block = min(s * per_slice + b, blocks - 1);
  Func slice(kernel.name("slice"));
  define(slice, call(l, s));
  const Expr counted = select(kernel.valid({l, block, {}}), each(call(l, block)), neutral(c.reduction, kernel.real()));
  slice(call(l, s)) = combine(c.reduction, slice(call(l, s)), counted);

  const RDom all(0, kernel.lanes(), 0, slices, kernel.name("all"));
  Func total(kernel.name("total"));
  const std::vector<Var> variables = kernel.variables(shape);
  total(variables) = neutral(c.reduction, kernel.real());
  total(variables) = combine(c.reduction, total(variables), slice(call(all.x, all.y)));
  kernel.stage("each", each);
  kernel.stage("slice", slice);
  kernel.stage("total", total);
  kernel.define(node.outputs[0], total);
}

/// y[…, i, …] = y[…, i - 1, …] + body; from the other end when it is reversed.
void scan(KernelBuilder& kernel, const Node& node) {
  const Comprehension& c = comprehension_of(node);
  const Shape& shape = kernel.shape(node.outputs[0]);
  const Point point = kernel.point(shape);
  const int last = static_cast<int>(shape[c.axis]) - 1;
  const RDom r(1, last, kernel.name("r"));
  const bool reversed = c.reduction == Reduction::reversed_cumsum;
  const std::size_t axis = static_cast<std::size_t>(c.axis - (point.has_batch() ? 1 : 0));
  const auto with = [&](const Expr& place) {
    Point moved = point;
    moved.axes[axis] = place;
    return kernel.arguments(moved);
  };
  const Expr here = reversed ? last - r : Expr(r);
  const Expr before = reversed ? here + 1 : here - 1;
  Func sums(kernel.name("cumsum"));
  sums(kernel.variables(shape)) = value_at(kernel, node, point);
  sums(with(here)) += sums(with(before));
  kernel.stage("total", sums);
  kernel.define(node.outputs[0], sums);
}

void algorithm(KernelBuilder& kernel, const Node& node) {
  const Comprehension& c = comprehension_of(node);
  if (scans(c)) return scan(kernel, node);
  if (const auto batch = reduced_batch(c)) return reduce_batch(kernel, node, *batch);
  if (c.reduction != Reduction::none) return reduce_elements(kernel, node);
  const Shape& shape = kernel.shape(node.outputs[0]);
  Func elements(kernel.name("elements"));
  elements(kernel.variables(shape)) = value_at(kernel, node, kernel.point(shape));
  kernel.define(node.outputs[0], elements);
}

// ---- Schedule -------------------------------------------------------------------------------------------------------

/// Results of a whole example at a time, in vectors of images where the layout has lanes.
void schedule_within_examples(KernelBuilder& kernel, const Node& node) {
  const ValueId value = node.outputs[0];
  Func total = kernel.stage("total");
  schedule_elements(kernel, kernel.out(), value);
  if (!kernel.shape(value).has_batch()) {
    total.compute_root();
    return;
  }
  total.compute_at(kernel.out(), kernel.block());
  if (kernel.lanes() == 1) return;
  total.vectorize(kernel.lane(), kernel.machine().vector);
  total.update().vectorize(kernel.lane(), kernel.machine().vector);
}

/// Vectors along the densest axis of the result, a few of them in registers.
void schedule_features(KernelBuilder& kernel, const Node& node) {
  const ValueId value = node.outputs[0];
  const std::vector<int> axes = axes_by_stride(kernel, value);
  Func total = kernel.stage("total");
  const std::int64_t extent = kernel.shape(value)[axes[0]];
  const int vector = vector_extent(kernel.machine(), extent);
  const int wide = vector * static_cast<int>(std::min<std::int64_t>(4, extent / vector));
  std::vector<Var> loops;
  for (int axis : axes) loops.push_back(kernel.axis(axis));
  const bool batch = kernel.shape(value).has_batch();
  if (batch) {
    loops.insert(loops.begin(), kernel.lane());
    loops.push_back(kernel.block());
  }
  schedule_tiles(total, kernel.out(), {{kernel.axis(axes[0]), wide}}, vector, total.rvars(0), loops, batch ? 1 : 0);
}

/// See `reduce_batch`: slices in parallel, vectors of examples or along the last axis.
void schedule_batch(KernelBuilder& kernel, const Node& node) {
  Func each = kernel.stage("each");
  Func slice = kernel.stage("slice");
  const std::vector<Var> arguments = slice.args();  // lane, axes from the last on, slice
  const bool lanes = kernel.lanes() > 1;
  const Var dense = lanes ? arguments.front() : arguments[1];
  const Shape& shape = kernel.shape(node.outputs[0]);
  const int vector = lanes ? kernel.machine().vector : vector_extent(kernel.machine(), shape[shape.rank() - 1]);
  const auto vectors = [&](Func func) {
    func.vectorize(dense, vector, TailStrategy::ShiftInwards);
    if (func.has_update_definition()) func.update().vectorize(dense, vector, TailStrategy::GuardWithIf);
  };
  const auto nest = [&](const std::vector<RVar>& inner, const Var& outer) {
    std::vector<Halide::VarOrRVar> order{dense};
    order.insert(order.end(), inner.begin(), inner.end());
    for (const Var& argument : arguments) {
      if (!argument.same_as(dense) && !argument.same_as(arguments.back())) order.emplace_back(argument);
    }
    order.emplace_back(outer);
    return order;
  };
  const Var s = arguments.back();
  const RVar b = slice.rvars(0)[0];
  std::vector<Halide::VarOrRVar> blocks = nest({}, s);
  blocks.insert(blocks.end() - 1, b);
  slice.compute_root().reorder(nest({}, s)).parallel(s);
  slice.update().reorder(blocks).parallel(s);
  if (lanes || vector > 1) vectors(slice);
  kernel.stage("total").compute_root();
  schedule_elements(kernel, kernel.out(), node.outputs[0]);
  if (!each.has_update_definition()) return;  // a part of the slice's sum
  each.compute_at(slice, b);
  each.update().reorder(nest(each.rvars(0), kernel.block()));
  if (lanes || vector > 1) vectors(each);
}

void schedule(KernelBuilder& kernel, const Node& node) {
  const Comprehension& c = comprehension_of(node);
  const ValueId value = node.outputs[0];
  if (scans(c)) return schedule_within_examples(kernel, node);
  if (reduced_batch(c)) return schedule_batch(kernel, node);
  if (c.reduction == Reduction::none) return schedule_elements(kernel, kernel.out(), value);
  const bool features = kernel.lanes() == 1 && !kernel.layout(value).strides.empty();
  return features ? schedule_features(kernel, node) : schedule_within_examples(kernel, node);
}

}  // namespace

const Operator elementwise{
    .name = "elementwise",
    .doc = "y = formula of the elements at the same place, and of parameters.",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = -1,
    .gradient = gradient,
    .value_at = value_at,
};

const Operator comprehension{
    .name = "comprehension",
    .doc = "y[n, o] = formula of elements anywhere, or the sum, maximum, minimum or running sum of one.",
    .in_language = false,
    .inputs = -1,
    .gradient = gradient,
    .algorithm = algorithm,
    .schedule = schedule,
};

}  // namespace netc::ops
