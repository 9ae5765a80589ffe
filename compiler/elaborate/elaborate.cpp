#include "compiler/elaborate/elaborate.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/elaborate/arguments.h"
#include "compiler/elaborate/clauses.h"
#include "compiler/elaborate/elaborator.h"
#include "compiler/elaborate/imports.h"
#include "compiler/elaborate/warnings.h"

namespace netc {

using ast::Kind;

// ---- The model ------------------------------------------------------------------------------------------------------

void Elaborator::model(const ast::Node& model, const Environment& file) {
  graph_.name = model.text;
  Scope scope{.names = Environment(&file), .labels = {}, .is_model = true};
  const ValueId last = list(model.children.front(), no_value, {}, scope);
  check_complete(model);
  outputs(last, scope);
  loss(scope);
  if (!reporter_.has_errors()) layers_.assign_names();
  clauses(scope);
  overrides_.report_unused();
}

void Elaborator::check_complete(const ast::Node& model) {
  if (!has_input_ && !stopped_) {
    reporter_.error("N129", model.span, fmt::format("the model `{}` has no input", model.text),
                    "begin it with an input such as `input image: f32[N, 1, 28, 28];`");
  } else if (graph_.nodes.empty() && !reporter_.has_errors()) {
    reporter_.error("N129", model.span, fmt::format("the model `{}` has no layer", model.text));
  }
}

void Elaborator::statement(const ast::Node& node, ValueId& value, const PathPlace& place, Scope& scope) {
  switch (node.kind) {
    case Kind::let:
      return let(node, scope);
    case Kind::shared:
      return shared(node, place, scope);
    case Kind::expect:
      return expect(node, value, scope);
    case Kind::sequence:
      break;
    default:
      return model_statement(node, value, scope);
  }
  if (has_input_) return sequence(node, value, place, scope);
  reporter_.error("N129", node.span, "no input before this layer",
                  "begin the model with an input such as `input image: f32[N, 1, 28, 28];`");
  stopped_ = true;
}

void Elaborator::model_statement(const ast::Node& node, ValueId& value, Scope& scope) {
  if (!scope.is_model) {
    reporter_.error("N127", node.span, "this statement belongs directly in the model",
                    "a block takes its input from where it is called");
  } else if (node.kind == Kind::input) {
    input(node, value, scope);
  } else {
    clauses_.push_back(&node);
  }
}

void Elaborator::input(const ast::Node& node, ValueId& value, Scope& scope) {
  const bool is_first = !has_input_;
  has_input_ = true;
  const ast::Node& type = node.children.front();
  const std::optional<Shape> extents = shape(type.children, scope);
  ValueId id = no_value;
  if (type.text != "f32" && type.text != "u8") {
    reporter_.error("N111", type.span, fmt::format("an input is f32 or u8, not {}", type.text));
  } else if (extents && !extents->has_batch()) {
    reporter_.error("N203", type.span, "the first extent of an input is the batch N", "write f32[N, …]");
  } else if (extents && std::count(extents->extents().begin(), extents->extents().end(), Shape::batch) > 1) {
    reporter_.error("N203", type.span, "only the first extent of an input may be the batch N");
  } else if (extents && extents->rank() > max_rank) {
    reporter_.error("N203", type.span, fmt::format("an input has at most {} dimensions", max_rank));
  } else if (extents && layers_.check_size("the input", *extents, type.span)) {
    id = graph_.add({.name = node.text,
                     .role = Role::input,
                     .type = type.text == "u8" ? DType::u8 : DType::f32,
                     .shape = *extents,
                     .span = node.span,
                     .order = {},
                     .initializer = {}});
    graph_.inputs.push_back(id);
  }
  if (is_first) value = id;
  if (scope.labels.emplace(node.text, id).second) return;
  reporter_.error("N128", node.span, fmt::format("the name `{}` is used twice in this list", node.text));
}

// ---- What stands at its end -----------------------------------------------------------------------------------------

void Elaborator::outputs(ValueId last, const Scope& scope) {
  for (const ast::Node* clause : clauses_) {
    if (clause->kind != Kind::output) continue;
    for (const ast::Node& name : clause->children) {
      const auto found = scope.labels.find(name.text);
      if (found != scope.labels.end()) {
        graph_.outputs.push_back(found->second);
        continue;
      }
      std::vector<std::string> candidates;
      for (const auto& [label, value] : scope.labels) candidates.push_back(label);
      reporter_.error("N108", name.span, fmt::format("no label `{}` in the model", name.text),
                      did_you_mean(name.text, candidates));
    }
  }
  if (graph_.outputs.empty()) graph_.outputs.push_back(last);
}

void Elaborator::loss(const Scope& scope) {
  bool has_loss = false;
  for (const ast::Node* clause : clauses_) {
    if (clause->kind != Kind::loss) continue;
    const ast::Node& call = clause->children.front();
    const Operator* op = find_operator(call.text);
    if (op == nullptr || !op->is_loss) {
      reporter_.error("N301", call.span, fmt::format("`{}` is no loss", call.text),
                      "write `loss cross_entropy;` or `loss mse;`");
      continue;
    }
    if (has_loss) reporter_.error("N132", clause->span, "the model has two losses");
    has_loss = true;
    if (!call.children.empty() && call.children.back().kind == Kind::body) {
      reporter_.error("N141", call.span, fmt::format("the loss {} takes no branches", call.text),
                      "it compares the model's first output with the label");
    }
    const auto arguments = evaluate_arguments(call, 0, scope.names, reporter_);
    const auto attributes = bind_attributes(*op, arguments, call.span, reporter_);
    if (attributes) layers_.add_loss(*op, *attributes, graph_.outputs.front(), call.span);
  }
  const auto is_label = [&](ValueId id) { return graph_[id].name == "label"; };
  const auto clash = std::find_if(graph_.inputs.begin(), graph_.inputs.end(), is_label);
  if (!has_loss || clash == graph_.inputs.end()) return;
  reporter_.error("N128", graph_[*clash].span, "`label` is what the loss compares with",
                  "choose another name for this input");
}

void Elaborator::clauses(const Scope& scope) {
  const bool has_paths = !reporter_.has_errors();  // and parameters; later `init`s are checked after a wrong one, too
  const ast::Node* train = nullptr;
  for (const ast::Node* clause : clauses_) {
    if (clause->kind == Kind::init && has_paths) {
      apply_init(*clause, scope.names, layers_.owned(), graph_, reporter_);
    }
    if (clause->kind != Kind::train) continue;
    if (train != nullptr) reporter_.error("N132", clause->span, "the model has two `train` clauses");
    train = clause;
  }
  if (train == nullptr) return;
  if (graph_.labels.empty() && !reporter_.has_errors()) {
    reporter_.error("N304", train->span, "the model has a `train` clause, but no loss", "add `loss cross_entropy;`");
  }
  apply_train(*train, overrides_.train(), scope.names, graph_, reporter_);
}

// ---- The whole file -------------------------------------------------------------------------------------------------

namespace {

/// Functions that C's and the system's headers declare outside of all namespaces: a model's own cannot have their name.
constexpr std::string_view system_functions[] = {
    "abs",   "access", "acos",   "alarm", "asin",   "atan", "bind",  "ceil",   "clock",  "close",  "connect", "cos",
    "cosh",  "div",    "dup",    "erf",   "exit",   "exp",  "fabs",  "floor",  "fork",   "free",   "gamma",   "getenv",
    "hypot", "index",  "j0",     "j1",    "jn",     "kill", "link",  "listen", "log",    "malloc", "nice",    "open",
    "pause", "pipe",   "poll",   "pow",   "printf", "puts", "raise", "rand",   "random", "read",   "remove",  "rename",
    "rint",  "round",  "select", "send",  "signal", "sin",  "sinh",  "sleep",  "socket", "sqrt",   "sync",    "system",
    "tan",   "tanh",   "time",   "times", "trunc",  "wait", "write", "y0",     "y1",     "yn",
};

/// What stands in the namespace of a generated model.
constexpr std::string_view generated_names[] = {"Model",   "Network", "Parameters", "buffer",
                                                "kernels", "method",  "network",    "parameter"};

template <std::size_t count>
bool is_one_of(const std::string_view (&names)[count], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

/// The model's name becomes that of a namespace of C++.
void refuse_taken_name(const ast::Node& model, Reporter& reporter) {
  const std::string fix = "choose another name for the model";
  if (is_one_of(system_functions, model.text)) {
    reporter.error("N104", model.span,
                   fmt::format("`{}` is a function of the system's, and C++ has no namespace of its name", model.text),
                   fix);
  } else if (is_one_of(generated_names, model.text)) {
    reporter.error("N104", model.span, fmt::format("`{}` is a name of the generated code's own", model.text), fix);
  }
}

/// Without a model a file may still be one of functions.
void report_no_model(const ast::Node& file, const Source& source, Reporter& reporter) {
  const auto function = std::find_if(file.children.begin(), file.children.end(),
                                     [](const ast::Node& node) { return node.kind == Kind::fn; });
  if (function == file.children.end()) {
    reporter.error("N133", {&source, 0, 0}, "no model in this file", "add `model name { … }`");
    return;
  }
  const std::string help = fmt::format(
      "add `model name {{ … }}`, or give each parameter of `{}` a type such as f32[n] or a default", function->text);
  reporter.error("N133", function->span, "no model in this file, and no `fn` of f32 tensors alone", help);
}

/// The model called `name`, or the file's last one without a name; nullptr after an error.
const ast::Node* find_model(const ast::Node& file, const Source& source, const std::string& name, Reporter& reporter) {
  const ast::Node* found = nullptr;
  std::vector<std::string> names;
  for (const ast::Node& node : file.children) {
    if (node.kind != Kind::model) continue;
    if (std::find(names.begin(), names.end(), node.text) != names.end()) {
      reporter.error("N132", node.span, fmt::format("the file has two models `{}`", node.text),
                     "give one another name");
    }
    names.push_back(node.text);
    if (name.empty() || node.text == name) found = &node;
  }
  if (found != nullptr) {
    refuse_taken_name(*found, reporter);
    return found;
  }
  if (names.empty()) {
    report_no_model(file, source, reporter);
    return nullptr;
  }
  std::string help = did_you_mean(name, names);
  if (help.empty()) help = fmt::format("the file has {}", fmt::join(names, ", "));
  reporter.error("N133", {}, fmt::format("--model {}: no model of this name in {}", name, source.path), help);
  return nullptr;
}

}  // namespace

Graph elaborate(const ast::Node& file, const Source& source, const ElaborateOptions& options,
                std::vector<std::unique_ptr<Source>>& sources, Diagnostics& diagnostics) {
  Graph graph;
  Reporter reporter(diagnostics);
  Imports imports(options.std_folder, sources, diagnostics, reporter);
  const Environment& environment = imports.load(file, source);
  if (diagnostics.has_errors()) return graph;  // what an import should have defined would be reported again as unknown
  const ast::Node* model = find_model(file, source, options.model, reporter);
  if (model == nullptr) return graph;
  Overrides overrides(options.set, sources, reporter);
  Elaborator(graph, overrides, reporter).model(*model, environment);
  if (!diagnostics.has_errors()) warn(file, graph, reporter);
  return graph;
}

}  // namespace netc
