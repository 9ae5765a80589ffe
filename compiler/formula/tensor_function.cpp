#include "compiler/formula/tensor_function.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/formula/index_notation.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/comprehension.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/modes.h"
#include "netc/tensor.h"

namespace netc {

using ast::Kind;

std::string TensorFunction::size_text(std::int64_t extent) const {
  return netc::size_text(extent, sizes);
}

std::string TensorFunction::shape_text(const Shape& shape) const {
  std::string all;
  for (std::int64_t extent : shape.extents()) all += (all.empty() ? "" : ", ") + size_text(extent);
  return "[" + all + "]";
}

namespace {

class FunctionReader {
 public:
  FunctionReader(const Declaration& declaration, Reporter& reporter)
      : declaration_(declaration), node_(*declaration.node), reporter_(reporter) {
    function_.name = node_.text;
    function_.span = node_.span;
    function_.value.name = node_.text;
  }

  std::optional<TensorFunction> read() {
    const std::vector<const ast::Node*> parameters = tensor_parameters(node_);
    TensorProgram program(node_.text, static_cast<int>(parameters.size()));
    std::vector<TensorValue> tensors;
    std::string declaration;
    for (const ast::Node* parameter : parameters) {
      const auto shape = input(*parameter);
      if (!shape) return std::nullopt;
      tensors.push_back(program.algebra().tensor(static_cast<int>(tensors.size()), shape->extents()));
      declaration += (declaration.empty() ? "" : ", ") + std::string(parameter->span.text());
    }
    function_.text = fmt::format("{}({})", node_.text, declaration);
    program.algebra().name_sizes(function_.sizes);
    return finish(program, apply_tensor_function(declaration_, tensors, {}, node_.span, program, reporter_));
  }

  std::optional<TensorFunction> read_for(const Shape& shape, const std::vector<Argument>& arguments, const Span& call) {
    TensorProgram program(node_.text, 1);
    add_input(node_.children.front(), shape);
    const TensorValue x = program.algebra().tensor(0, shape.extents());
    return finish(program, apply_tensor_function(declaration_, {x}, arguments, call, program, reporter_));
  }

 private:
  std::optional<TensorFunction> finish(TensorProgram& program, const std::optional<TensorValue>& value) {
    if (!value) return std::nullopt;
    function_.is_scalar = value->ids.empty();
    const int result = program.keep(*value);
    if (!fits_kernels(program)) return std::nullopt;
    emit(program, result);
    differentiate_value();
    return std::move(function_);
  }

  bool fits_kernels(const TensorProgram& program) {
    int rank = 0;
    for (ValueId input : function_.value.inputs) rank = std::max(rank, function_.value[input].shape.rank());
    for (const Step& step : program.steps()) rank = std::max(rank, step.comprehension.rank);
    if (rank <= max_rank) return true;
    reporter_.error("N203", node_.span,
                    fmt::format("{}: a tensor has {} dimensions, a kernel {} at most", node_.text, rank, max_rank),
                    "put dimensions together, or reduce over some of them first");
    return false;
  }

  /// An argument: names that stand for no number are sizes.
  std::optional<Shape> input(const ast::Node& parameter) {
    std::vector<std::int64_t> extents;
    for (const ast::Node& written : ast::parameter_type(parameter)->children) {
      const bool is_size = written.kind == Kind::name && declaration_.environment->find(written.text) == nullptr;
      const auto extent = is_size ? size(written.text) : evaluate_extent(written, *declaration_.environment, reporter_);
      if (!extent) return std::nullopt;
      extents.push_back(*extent);
    }
    if (extents.empty()) extents.push_back(1);
    const Shape shape(std::move(extents));
    add_input(parameter, shape);
    return shape;
  }

  void add_input(const ast::Node& parameter, const Shape& shape) {
    function_.value.inputs.push_back(
        function_.value.add({.name = parameter.text, .role = Role::input, .shape = shape, .span = parameter.span}));
  }

  std::optional<std::int64_t> size(const std::string& name) {
    auto& sizes = function_.sizes;
    auto known = std::find(sizes.begin(), sizes.end(), name);
    if (known == sizes.end()) known = sizes.insert(known, name);
    return first_size - (known - sizes.begin());
  }

  void emit(const TensorProgram& program, int result) {
    Graph& graph = function_.value;
    GraphBuilder builder(graph);
    Node node;
    node.path = node_.text;
    node.span = node_.span;
    builder.on_behalf_of(node, Role::activation);
    graph.outputs = {ops::emit(builder, program.steps(), graph.inputs, result)};
    prune(graph, graph.outputs);
  }

  /// A function without a gradient has a value all the same.
  void differentiate_value() {
    Graph graph = function_.value;
    const ValueId seed = graph.add({.name = "gradient", .role = Role::label, .shape = graph[graph.outputs[0]].shape});
    Diagnostics diagnostics;
    Graph result = differentiate(graph, graph.outputs[0], seed, diagnostics);
    if (diagnostics.has_errors()) return;
    result.inputs.push_back(seed);
    result.outputs.clear();
    std::vector<ValueId> needed;
    for (const auto& [value, gradient] : result.gradients) needed.push_back(gradient);
    for (ValueId input : function_.value.inputs) result.outputs.push_back(gradient_of(result, input));
    prune(result, needed);
    function_.gradient = std::move(result);
  }

  /// no_value where the value does not depend on the input.
  static ValueId gradient_of(const Graph& graph, ValueId input) {
    for (const auto& [value, gradient] : graph.gradients) {
      if (value == input) return gradient;
    }
    return no_value;
  }

  const Declaration& declaration_;
  const ast::Node& node_;
  Reporter& reporter_;
  TensorFunction function_;
};

}  // namespace

bool takes_tensors_alone(const ast::Node& function) {
  const std::vector<const ast::Node*> tensors = tensor_parameters(function);
  return !tensors.empty() && std::all_of(function.children.begin(), function.children.end(), [&](const auto& child) {
    return child.kind != Kind::parameter || ast::parameter_default(child) != nullptr ||
           std::find(tensors.begin(), tensors.end(), &child) != tensors.end();
  });
}

std::optional<TensorFunction> read_function(const Declaration& declaration, Reporter& reporter) {
  return FunctionReader(declaration, reporter).read();
}

std::optional<TensorFunction> read_elementwise(const Declaration& declaration, const Shape& shape,
                                               const std::vector<Argument>& arguments, const Span& call,
                                               Reporter& reporter) {
  return FunctionReader(declaration, reporter).read_for(shape, arguments, call);
}

std::vector<TensorFunction> read_functions(const ast::Node& file, const Environment& environment, Reporter& reporter) {
  std::vector<TensorFunction> functions;
  for (const ast::Node& node : file.children) {
    const bool takes_parameters = node.kind == Kind::fn || node.kind == Kind::layer;
    if (!takes_parameters || !has_distinct_parameters(node, reporter)) continue;
    if (node.kind != Kind::fn || !takes_tensors_alone(node)) continue;
    const Declaration* declaration = environment.find_declaration(node.text);
    auto function = read_function(*declaration, reporter);
    if (function) functions.push_back(std::move(*function));
  }
  return functions;
}

}  // namespace netc
