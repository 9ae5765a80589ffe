#include "compiler/kernels/gpu_stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace netc {

namespace {

using Halide::Expr;
using Halide::Internal::Box;
using Halide::Internal::Definition;
using Halide::Internal::Function;
using Halide::Internal::Interval;
using Scope = Halide::Internal::Scope<Interval>;

/// KernelBuilder's name for the number of examples.
const char* const batch_name = "batch";

bool is_root(const Function& function) {
  return function.schedule().compute_level().is_root();
}

bool is_inlined(const Function& function) {
  return function.schedule().compute_level().is_inlined();
}

/// All of an output.
Box whole(const Halide::Func& output) {
  const Halide::Parameter memory = Halide::Func(output).output_buffers()[0].parameter();
  Box box;
  for (int i = 0; i < output.dimensions(); ++i) box.push_back({0, memory.extent_constraint(i) - 1});
  return box;
}

std::vector<Expr> expressions(const Definition& definition) {
  std::vector<Expr> all = definition.args();
  all.insert(all.end(), definition.values().begin(), definition.values().end());
  return all;
}

/// The elements that each function of a pipeline computes for a batch, found from those that read it on.
class Regions {
 public:
  Regions(const GpuStages& stages, std::int64_t batch) : stages_(stages), batch_(static_cast<int>(batch)) {}

  void add(const std::string& function, const Box& box) { Halide::Internal::merge_boxes(needed_[function], box); }

  /// What the function computes, when all that read it have been here; notes what it reads.
  Box visit(const Function& function) {
    Box box = needed_[function.name()];
    if (box.empty()) box.resize(function.args().size());
    bound(function, box);
    Scope scope;
    scope.push(batch_name, Interval::single_point(batch_));
    for (std::size_t i = 0; i < box.size(); ++i) {
      box[i] = {number(box[i].min), number(box[i].max)};
      scope.push(function.args()[i], box[i]);
    }
    if (function.has_pure_definition()) read(function.definition(), scope);
    for (const Definition& update : function.updates()) read(update, scope);
    return box;
  }

 private:
  Expr number(const Expr& expression) const {
    return Halide::Internal::simplify(Halide::Internal::substitute(batch_name, batch_, expression));
  }

  /// The schedule may state what is computed. An extent alone is that of each time, which tells all of a root's.
  static void bound(const Function& function, Box& box) {
    const std::vector<std::string>& variables = function.args();
    for (const Halide::Internal::Bound& bound : function.schedule().bounds()) {
      const auto found = std::find(variables.begin(), variables.end(), bound.var);
      if (found == variables.end() || !bound.extent.defined()) continue;
      if (!bound.min.defined() && !is_root(function)) continue;
      Interval& range = box[static_cast<std::size_t>(found - variables.begin())];
      const Expr first = bound.min.defined() ? bound.min : range.min;
      range = {first, first + bound.extent - 1};
    }
  }

  void read(const Definition& definition, Scope& scope) {
    for (const Halide::Internal::ReductionVariable& variable : definition.schedule().rvars()) {
      const Expr last = variable.min + variable.extent - 1;
      scope.push(variable.var, {Halide::Internal::bounds_of_expr_in_scope(variable.min, scope).min,
                                Halide::Internal::bounds_of_expr_in_scope(last, scope).max});
    }
    for (const Expr& expression : expressions(definition)) {
      for (const auto& [name, box] : Halide::Internal::boxes_required(stages_.inlined(expression), scope)) {
        add(name, box);
      }
    }
  }

  const GpuStages& stages_;
  Expr batch_;
  std::map<std::string, Box> needed_;
};

/// Of each value of its elements.
std::vector<std::int64_t> bytes(const Function& function, const Box& box) {
  std::int64_t elements = 1;
  for (const Interval& range : box.bounds) {
    const auto extent = Halide::Internal::as_const_int(Halide::Internal::simplify(range.max - range.min + 1));
    if (!extent) throw std::logic_error(fmt::format("{}: a stage without bounds", function.name()));
    elements *= *extent;
  }
  std::vector<std::int64_t> all;
  for (const Halide::Type& type : function.output_types()) all.push_back(elements * type.bytes());
  return all;
}

}  // namespace

GpuStages::GpuStages(const Halide::Pipeline& pipeline) : pipeline_(pipeline) {
  std::vector<Function> outputs;
  for (const Halide::Func& output : pipeline_.outputs()) outputs.push_back(output.function());
  // As Halide's lowering begins, on copies.
  std::tie(outputs, functions_) = Halide::Internal::deep_copy(outputs, Halide::Internal::build_environment(outputs));
  for (auto& [name, function] : functions_) function.lock_loop_levels();
  functions_ = Halide::Internal::wrap_func_calls(functions_);
  order_ = Halide::Internal::realization_order(outputs, functions_).first;
  std::reverse(order_.begin(), order_.end());
}

int GpuStages::launches() const {
  int count = 0;
  for (const auto& [name, function] : functions_) {
    if (is_root(function)) count += 1 + static_cast<int>(function.updates().size());
  }
  return count;
}

bool GpuStages::is_output(const std::string& name) const {
  const std::vector<Halide::Func> outputs = pipeline_.outputs();
  return std::any_of(outputs.begin(), outputs.end(), [&](const Halide::Func& output) { return output.name() == name; });
}

Expr GpuStages::inlined(Expr expression) const {
  for (const std::string& name : order_) {
    const Function& function = functions_.at(name);
    if (is_inlined(function)) expression = Halide::Internal::inline_function(expression, function);
  }
  return expression;
}

std::vector<std::int64_t> GpuStages::scratch(std::int64_t batch) const {
  Regions regions(*this, batch);
  for (const Halide::Func& output : pipeline_.outputs()) regions.add(output.name(), whole(output));
  std::vector<std::int64_t> all;
  for (const std::string& name : order_) {
    const Function& function = functions_.at(name);
    if (is_inlined(function) && !is_output(name)) continue;
    const Box box = regions.visit(function);
    if (!is_root(function) || is_output(name)) continue;
    const std::vector<std::int64_t> of_it = bytes(function, box);
    all.insert(all.end(), of_it.begin(), of_it.end());
  }
  return all;
}

}  // namespace netc
