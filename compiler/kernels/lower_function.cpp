#include "compiler/kernels/lower_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "compiler/kernels/lower_formula.h"
#include "compiler/ops/ops.h"

namespace netc {

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

namespace {

const char* const axis_names[] = {"x", "y", "z", "w", "v", "u"};

class FunctionLowering {
 public:
  FunctionLowering(const TensorFunction& function, const Graph& graph, const Halide::Target& target)
      : graph_(graph), vector_(target.natural_vector_size<float>()) {
    for (const std::string& size : function.sizes) sizes_.emplace_back(Halide::Param<int>(size));
  }

  FunctionPipeline run() {
    for (ValueId input : graph_.inputs) add_input(input);
    for (const Node& node : graph_.nodes) define(node);
    std::vector<Func> outputs;
    for (ValueId output : graph_.outputs) {
      if (output != no_value) outputs.push_back(write(output));
    }
    FunctionPipeline result{Halide::Pipeline(outputs), sizes_, {}};
    for (ValueId input : graph_.inputs) result.inputs.push_back(inputs_.at(input));
    return result;
  }

  Expr extent(std::int64_t extent) const {
    if (extent > first_size) return static_cast<int>(extent);
    return sizes_[static_cast<std::size_t>(first_size - extent)];
  }

  /// The element at logical places; Halide counts axes from the last.
  Expr element(ValueId value, std::vector<Expr> at) const {
    std::reverse(at.begin(), at.end());
    const auto input = inputs_.find(value);
    return input != inputs_.end() ? input->second(at) : funcs_.at(value)(at);
  }

  const Graph& graph() const { return graph_; }

 private:
  static std::vector<Var> variables(const Shape& shape) {
    std::vector<Var> all;
    for (int i = 0; i < shape.rank(); ++i) all.emplace_back(axis_names[i]);
    return all;
  }

  void add_input(ValueId input) {
    const Shape& shape = graph_[input].shape;
    Halide::ImageParam param(Halide::Float(32), shape.rank(), graph_[input].name + "_in");
    constrain(param, shape);
    inputs_.emplace(input, param);
  }

  /// Dense, the last axis innermost.
  void constrain(Halide::OutputImageParam param, const Shape& shape) const {
    Expr stride = 1;
    for (int i = 0; i < shape.rank(); ++i) {
      const Expr size = extent(shape[shape.rank() - 1 - i]);
      param.dim(i).set_bounds(0, size).set_stride(stride);
      stride = stride * size;
    }
  }

  void define(const Node& node);
  void define_sum(const Node& node);
  void define_formula(const Node& node);
  void reduce(const Node& node, const Comprehension& c, Func func);
  void scan(const Node& node, const Comprehension& c, Func func);
  void schedule(Func func, const std::vector<Var>& arguments, const std::vector<Halide::RVar>& reduced) const;

  /// A copy that the caller sees; it is computed apart, as others may read the same value.
  Func write(ValueId value) {
    const Shape& shape = graph_[value].shape;
    Func out("out" + std::to_string(value));
    const std::vector<Var> arguments = variables(shape);
    std::vector<Expr> at(arguments.rbegin(), arguments.rend());
    out(arguments) = element(value, std::move(at));
    constrain(out.output_buffer(), shape);
    schedule(out, arguments, {});
    return out;
  }

  const Graph& graph_;
  int vector_;
  std::vector<Halide::Param<int>> sizes_;
  std::map<ValueId, Halide::ImageParam> inputs_;
  std::map<ValueId, Func> funcs_;
};

/// The indices of one comprehension at given places.
class FunctionElements : public FormulaContext {
 public:
  FunctionElements(const FunctionLowering& lowering, const Node& node, const Comprehension& c, std::vector<Expr> at)
      : lowering_(lowering), node_(node), c_(c), at_(std::move(at)) {}

  Halide::Type real() const override { return Halide::Float(32); }
  Expr index(int id) const override { return at_[static_cast<std::size_t>(id)]; }
  std::int64_t extent_of(int id) const override { return c_.indices[static_cast<std::size_t>(id)].extent; }
  Expr extent(int symbol) const override { return lowering_.extent(symbol); }
  std::int64_t known_extent(int tensor, int axis) const override { return shape(tensor)[axis]; }
  Expr axis_extent(int tensor, int axis) const override { return lowering_.extent(shape(tensor)[axis]); }
  Expr element(const Formula& read, std::vector<Expr> at) override {
    return lowering_.element(node_.inputs[static_cast<std::size_t>(read->id)], std::move(at));
  }

 private:
  const Shape& shape(int tensor) const {
    return lowering_.graph()[node_.inputs[static_cast<std::size_t>(tensor)]].shape;
  }

  const FunctionLowering& lowering_;
  const Node& node_;
  const Comprehension& c_;
  std::vector<Expr> at_;
};

/// Vectors along the last axis, whatever its size; rows of large tensors in parallel.
void FunctionLowering::schedule(Func func, const std::vector<Var>& arguments,
                                const std::vector<Halide::RVar>& reduced) const {
  func.compute_root().vectorize(arguments[0], vector_, TailStrategy::GuardWithIf);
  if (arguments.size() > 1) func.parallel(arguments.back());
  if (reduced.empty()) return;
  std::vector<Halide::VarOrRVar> order{arguments[0]};
  order.insert(order.end(), reduced.begin(), reduced.end());
  order.insert(order.end(), arguments.begin() + 1, arguments.end());
  func.update().reorder(order).vectorize(arguments[0], vector_, TailStrategy::GuardWithIf);
  if (arguments.size() > 1) func.update().parallel(arguments.back());
}

/// Gradients add up what flows together, and copy what two inputs have in common.
void FunctionLowering::define(const Node& node) {
  if (node.op == &ops::add || node.op == &ops::copy) return define_sum(node);
  if (node.op == &ops::elementwise || node.op == &ops::comprehension) return define_formula(node);
  throw std::logic_error(fmt::format("a tensor function has no kernel for the operator {}", node.op->name));
}

void FunctionLowering::define_formula(const Node& node) {
  const auto& c = std::get<Comprehension>(node.attributes.all().at("formula"));
  const std::vector<Var> arguments = variables(graph_[node.outputs[0]].shape);
  Func func(c.name + std::to_string(node.outputs[0]));
  funcs_.emplace(node.outputs[0], func);
  const bool scans = c.reduction == Reduction::cumsum || c.reduction == Reduction::reversed_cumsum;
  if (c.reduction != Reduction::none && !scans) return reduce(node, c, func);
  std::vector<Expr> at(arguments.rbegin(), arguments.rend());
  FunctionElements elements(*this, node, c, std::move(at));
  func(arguments) = lower(c.body, elements);
  if (scans) return scan(node, c, func);
  schedule(func, arguments, {});
}

void FunctionLowering::reduce(const Node& node, const Comprehension& c, Func func) {
  const std::vector<Var> arguments = variables(graph_[node.outputs[0]].shape);
  std::vector<Expr> at(arguments.rbegin(), arguments.rend());
  Halide::Region ranges;
  for (std::size_t i = c.indices.size(); i-- > static_cast<std::size_t>(c.rank);) {
    ranges.emplace_back(0, extent(c.indices[i].extent));
  }
  const RDom domain(ranges);
  for (int i = domain.dimensions() - 1; i >= 0; --i) at.emplace_back(domain[i]);
  FunctionElements elements(*this, node, c, std::move(at));
  func(arguments) = neutral(c.reduction, Halide::Float(32));
  func(arguments) = combine(c.reduction, func(arguments), lower(c.body, elements));
  schedule(func, arguments, func.rvars(0));
}

void FunctionLowering::scan(const Node& node, const Comprehension& c, Func func) {
  const Shape& shape = graph_[node.outputs[0]].shape;
  const std::vector<Var> arguments = variables(shape);
  const std::size_t axis = arguments.size() - 1 - static_cast<std::size_t>(c.axis);
  const Expr last = extent(shape[c.axis]) - 1;
  const RDom r(1, last);
  const bool reversed = c.reduction == Reduction::reversed_cumsum;
  const Expr here = reversed ? last - r : Expr(r);
  std::vector<Expr> to(arguments.begin(), arguments.end());
  std::vector<Expr> from = to;
  to[axis] = here;
  from[axis] = reversed ? here + 1 : here - 1;
  func(to) += func(from);
  func.compute_root();
}

void FunctionLowering::define_sum(const Node& node) {
  const std::vector<Var> arguments = variables(graph_[node.outputs[0]].shape);
  const std::vector<Expr> at(arguments.rbegin(), arguments.rend());
  Expr sum = element(node.inputs[0], at);
  for (std::size_t i = 1; i < node.inputs.size(); ++i) sum = sum + element(node.inputs[i], at);
  Func func(std::string(node.op->name) + std::to_string(node.outputs[0]));
  func(arguments) = sum;
  funcs_.emplace(node.outputs[0], func);
  schedule(func, arguments, {});
}

}  // namespace

std::vector<Halide::Argument> FunctionPipeline::arguments() const {
  std::vector<Halide::Argument> all(sizes.begin(), sizes.end());
  all.insert(all.end(), inputs.begin(), inputs.end());
  return all;
}

FunctionPipeline lower_function(const TensorFunction& function, const Graph& graph, const Halide::Target& target) {
  return FunctionLowering(function, graph, target).run();
}

}  // namespace netc
