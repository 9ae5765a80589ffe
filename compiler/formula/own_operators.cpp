#include "compiler/formula/own_operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/elaborate/init_rule.h"
#include "compiler/formula/index_notation.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/comprehension.h"
#include "netc/kernel.h"

namespace netc {

using ast::Kind;

namespace {

/// An operator together with what it refers to.
struct OwnOperator : Operator {
  std::string text;
  Inference inference;
  std::vector<Step> steps;
  int result = 0;  // the number of the tensor that is the output
};

/// A parameter while its extents are being found out.
struct OwnParameter {
  const ast::Node* node;
  TensorValue value;
};

/// Reads the body of a layer for inputs of known shapes.
class LayerReader {
 public:
  LayerReader(const Declaration& declaration, const std::vector<Shape>& inputs, Reporter& reporter)
      : node_(*declaration.node),
        inputs_(inputs),
        reporter_(reporter),
        names_(declaration.environment),
        program_(node_.text, count_tensors(node_, inputs)),
        next_parameter_(static_cast<int>(inputs.size())) {}

  bool read(const Declaration& declaration, const std::vector<Argument>& arguments, const Span& call) {
    if (!bind_constants(declaration, arguments, call, names_, reporter_)) return false;
    const ast::Node& body = node_.children.back();
    const bool declares = std::any_of(body.children.begin(), body.children.end(),
                                      [](const ast::Node& statement) { return statement.kind == Kind::input; });
    if (!declares && !add_default_input()) return false;
    for (const ast::Node& statement : body.children) {
      if (!this->statement(statement)) return false;
    }
    return check_result() && check_parameters();
  }

  void finish(OwnOperator& op) {
    const TensorValue result = scope_.tensors.at("y").value;
    op.result = result.formula->id;
    op.steps = program_.steps();
    op.inference.outputs = {Shape(program_.algebra().shape(result))};
    for (const OwnParameter& parameter : parameters_) op.inference.owned.push_back(owned(parameter));
  }

 private:
  static int count_tensors(const ast::Node& layer, const std::vector<Shape>& inputs) {
    const auto& statements = layer.children.back().children;
    return static_cast<int>(inputs.size()) +
           static_cast<int>(std::count_if(statements.begin(), statements.end(), [](const ast::Node& statement) {
             return statement.kind == Kind::tensor_parameter;
           }));
  }

  bool error(const char* code, const Span& span, const std::string& message, const std::string& help = "") {
    reporter_.error(code, span, message, help);
    return false;
  }

  bool add_default_input() {
    for (const ast::Node& child : node_.children) {
      if (child.kind != Kind::parameter || child.text != "x") continue;
      return error("N132", child.span, fmt::format("{}: `x` is the input, when a layer declares none", node_.text),
                   "give the parameter another name, or the input one: input a: f32[N, C];");
    }
    add_tensor("x", next_input_++, inputs_[0].extents(), node_.span);
    return true;
  }

  void add_tensor(const std::string& name, int number, const std::vector<std::int64_t>& extents, const Span& span) {
    scope_.tensors.emplace(name, ScopedTensor{program_.algebra().tensor(number, extents), span});
  }

  bool statement(const ast::Node& statement) {
    const bool defines = statement.kind == Kind::input || statement.kind == Kind::tensor_parameter;
    const bool is_taken = scope_.tensors.contains(statement.text) || names_.values().contains(statement.text);
    if (defines && is_taken) {
      return error("N132", statement.span, fmt::format("`{}` is declared twice", statement.text));
    }
    switch (statement.kind) {
      case Kind::input:
        return input(statement);
      case Kind::tensor_parameter:
        return parameter(statement);
      case Kind::let:
        return read_let(statement, scope_, names_, reporter_);
      default:
        return read_equation(statement, names_, scope_, program_, reporter_) && share_sizes();
    }
  }

  bool input(const ast::Node& statement) {
    const ast::Node& type = statement.children.front();
    if (type.text != "f32") return error("N111", type.span, "the input of a layer is f32");
    const std::vector<std::int64_t> extents = inputs_[static_cast<std::size_t>(next_input_)].extents();
    if (!bind_extents(type, fmt::format("the input `{}` of {}", statement.text, node_.text), extents, names_,
                      program_.algebra(), scope_, reporter_)) {
      return false;
    }
    if (!share_sizes()) return false;
    for (const auto& [name, size] : scope_.sizes) {
      if (size >= 0) names_.add(name, make_integer(size));
    }
    add_tensor(statement.text, next_input_++, extents, statement.span);
    return true;
  }

  /// Extents that are names without a value follow from equations.
  bool parameter(const ast::Node& statement) {
    const ast::Node& type = statement.children.front();
    if (type.text != "f32") return error("N111", type.span, "a parameter is f32");
    if (type.children.empty())
      return error("N212", type.span, "a parameter has extents", "write f32[1] for one number");
    std::vector<std::int64_t> extents;
    for (const ast::Node& extent : type.children) {
      const bool open = extent.kind == Kind::name && names_.find(extent.text) == nullptr;
      const auto known = open ? std::optional<std::int64_t>(0) : evaluate_extent(extent, names_, reporter_);
      if (!known) return false;
      extents.push_back(*known);
    }
    add_tensor(statement.text, next_parameter_++, extents, statement.span);
    parameters_.push_back({&statement, scope_.tensors.at(statement.text).value});
    return share_sizes();
  }

  /// Extents of one name are one size.
  bool share_sizes() {
    for (const OwnParameter& parameter : parameters_) {
      const ast::Node& type = parameter.node->children.front();
      for (std::size_t i = 0; i < type.children.size(); ++i) {
        const std::string& name = type.children[i].text;
        std::int64_t& extent = program_.indices()[static_cast<std::size_t>(parameter.value.ids[i])].extent;
        if (type.children[i].kind != Kind::name || names_.find(name) != nullptr) continue;
        if (extent == 0 && scope_.sizes.contains(name)) extent = scope_.sizes.at(name);
        if (extent == 0 || scope_.sizes.emplace(name, extent).second || scope_.sizes.at(name) == extent) continue;
        return error("N208", type.children[i].span,
                     fmt::format("the size `{}` is {} here and {} elsewhere", name, extent, scope_.sizes.at(name)));
      }
    }
    return true;
  }

  bool check_result() {
    const auto result = scope_.tensors.find("y");
    if (result == scope_.tensors.end()) {
      return error("N142", node_.children.back().span, "no equation gives `y`, the result of the layer",
                   "write y[n, …] = …;");
    }
    const std::vector<std::int64_t> shape = program_.algebra().shape(result->second.value);
    if (shape.front() == Shape::batch) return true;
    return error("N214", result->second.span, "the result of a layer has the batch as its first dimension",
                 "write y[n, …] with an index n that stands alone in the first dimension of an input");
  }

  bool check_parameters() {
    for (const OwnParameter& parameter : parameters_) {
      const ast::Node& type = parameter.node->children.front();
      for (std::size_t i = 0; i < parameter.value.ids.size(); ++i) {
        const std::int64_t extent = program_.extent(parameter.value.ids[i]);
        if (extent > 0) continue;
        return error(extent == 0 ? "N213" : "N214", type.children[i].span,
                     extent == 0 ? fmt::format("no equation says how large `{}` is", type.children[i].span.text())
                                 : "a parameter has no dimension of the batch",
                     extent == 0 ? "read the parameter at an index that stands alone, or give a number" : "");
      }
    }
    return true;
  }

  OwnedSpec owned(const OwnParameter& parameter) {
    const Shape shape(program_.algebra().shape(parameter.value));
    OwnedSpec spec{.name = parameter.node->text, .role = Role::parameter, .shape = shape};
    const std::int64_t rest = shape.rank() > 1 ? shape.elements() / shape[0] / shape[1] : 1;
    spec.fan_in = (shape.rank() > 1 ? shape[1] : shape[0]) * rest;
    spec.fan_out = shape[0] * rest;
    if (shape.rank() > 1) spec.initializer = {.rule = Initializer::Rule::kaiming_uniform, .a = std::sqrt(5.0)};
    if (parameter.node->children.size() == 1) return spec;
    const auto rule = read_initializer(parameter.node->children.back(), names_, reporter_);
    const Span& span = parameter.node->children.back().span;
    if (rule && check_fans(*rule, spec.name, shape, span, reporter_)) spec.initializer = *rule;
    return spec;
  }

  const ast::Node& node_;
  const std::vector<Shape>& inputs_;
  Reporter& reporter_;
  Environment names_;
  TensorProgram program_;
  TensorScope scope_;
  std::vector<OwnParameter> parameters_;
  // Numbers of tensors, as in Node::inputs: inputs, then parameters, in whatever order the layer declares them.
  int next_input_ = 0;
  int next_parameter_;
};

/// A function, as a layer without parameters.
bool read_function(const Declaration& declaration, const std::vector<Argument>& arguments,
                   const std::vector<Shape>& inputs, const Span& call, Reporter& reporter, OwnOperator& op) {
  TensorProgram program(declaration.node->text, static_cast<int>(inputs.size()));
  std::vector<TensorValue> tensors;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tensors.push_back(program.algebra().tensor(static_cast<int>(i), inputs[i].extents()));
  }
  const auto value = apply_tensor_function(declaration, tensors, arguments, call, program, reporter);
  if (!value) return false;
  const Shape shape(program.algebra().shape(*value));
  if (!shape.has_batch()) {
    reporter.error("N214", call,
                   fmt::format("{} gives {}: a layer's result has the batch as its first dimension",
                               declaration.node->text, to_string(shape)));
    return false;
  }
  op.result = program.keep(*value);
  op.steps = program.steps();
  op.inference.outputs = {shape};
  return true;
}

}  // namespace

std::size_t input_count(const Declaration& declaration) {
  const ast::Node& node = *declaration.node;
  if (node.kind == Kind::fn) return std::max<std::size_t>(1, tensor_parameters(node).size());
  const auto& statements = node.children.back().children;
  const auto inputs = std::count_if(statements.begin(), statements.end(),
                                    [](const ast::Node& statement) { return statement.kind == Kind::input; });
  return std::max<std::size_t>(1, static_cast<std::size_t>(inputs));
}

namespace {

/// Whether kernels have room for each step. False after an error.
bool fits_kernels(const OwnOperator& op, const ast::Node& node, Reporter& reporter) {
  constexpr std::size_t most = max_operands / 2 - 2;  // a gradient may read as many again
  for (const Step& step : op.steps) {
    if (step.inputs.size() > most) {
      reporter.error(
          "N205", node.span,
          fmt::format("{}: an equation reads {} tensors, a kernel {} at most", node.text, step.inputs.size(), most),
          "add up some of them in an equation of its own");
      return false;
    }
    if (step.comprehension.rank > max_rank) {
      reporter.error("N203", node.span,
                     fmt::format("{}: an equation has {} dimensions, a kernel {} at most", node.text,
                                 step.comprehension.rank, max_rank),
                     "put indices together, or reduce over some of them first");
      return false;
    }
  }
  return true;
}

}  // namespace

std::shared_ptr<const Operator> make_operator(const Declaration& declaration, const std::vector<Argument>& arguments,
                                              const std::vector<Shape>& inputs, const Span& call, Reporter& reporter) {
  const auto op = std::make_shared<OwnOperator>();
  const int errors = reporter.errors();
  if (declaration.node->kind == Kind::fn) {
    if (!read_function(declaration, arguments, inputs, call, reporter, *op)) return nullptr;
  } else {
    LayerReader reader(declaration, inputs, reporter);
    if (!reader.read(declaration, arguments, call)) return nullptr;
    reader.finish(*op);
  }
  if (reporter.errors() > errors || !fits_kernels(*op, *declaration.node, reporter)) return nullptr;
  op->text = declaration.node->text;
  op->name = op->text;
  op->doc = "An operator of the file's own.";
  op->inputs = static_cast<int>(inputs.size());
  op->infer = [own = op.get()](const auto&, const auto&) { return own->inference; };
  op->expand = [own = op.get()](GraphBuilder& builder, const Node& node) {
    return std::vector{ops::emit(builder, own->steps, node.inputs, own->result)};
  };
  return op;
}

}  // namespace netc
