#include "compiler/elaborate/expressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "compiler/graph/graph.h"
#include "compiler/graph/operator.h"

namespace netc {

// ---- Names ----------------------------------------------------------------------------------------------------------

const Constant* Environment::find(const std::string& name) const {
  for (const Environment* list = this; list != nullptr; list = list->parent_) {
    if (const auto found = list->values_.find(name); found != list->values_.end()) return &found->second;
  }
  return nullptr;
}

const Declaration* Environment::find_declaration(const std::string& name) const {
  for (const Environment* list = this; list != nullptr; list = list->parent_) {
    if (const auto found = list->declarations_.find(name); found != list->declarations_.end()) return &found->second;
  }
  return nullptr;
}

std::vector<std::string> Environment::value_names() const {
  std::vector<std::string> names;
  for (const Environment* list = this; list != nullptr; list = list->parent_) {
    for (const auto& [name, value] : list->values_) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Environment::layer_names() const {
  std::vector<std::string> names;
  for (const Operator* op : operators()) {
    if (op->in_language) names.emplace_back(op->name);
  }
  for (const Environment* list = this; list != nullptr; list = list->parent_) {
    for (const auto& [name, declaration] : list->declarations_) names.push_back(name);
    for (const auto& [name, value] : list->values_) {
      if (value.as<LayerReference>() != nullptr) names.push_back(name);
    }
  }
  return names;
}

std::vector<std::string> Environment::distribution_names() const {
  std::vector<std::string> names;
  for (const Environment* list = this; list != nullptr; list = list->parent_) {
    for (const auto& [name, declaration] : list->declarations_) {
      if (declaration.node->kind == ast::Kind::dist) names.push_back(name);
    }
  }
  return names;
}

std::optional<LayerReference> find_layer(const std::string& name, const Environment& environment) {
  const Constant* value = environment.find(name);
  if (value != nullptr && value->as<LayerReference>() != nullptr) return *value->as<LayerReference>();
  const Declaration* declaration = environment.find_declaration(name);
  if (declaration != nullptr) return LayerReference{.name = name, .declaration = declaration, .arguments = {}};
  const Operator* op = find_operator(name);
  if (op != nullptr) return LayerReference{.name = name, .op = op, .arguments = {}};
  return std::nullopt;
}

// ---- Expressions ----------------------------------------------------------------------------------------------------

namespace {

/// Walks one expression; holds what every step needs.
class Evaluator {
 public:
  Evaluator(const Environment& environment, Reporter& reporter) : environment_(environment), reporter_(reporter) {}

  Constant value(const ast::Node& node);

 private:
  Constant number(const ast::Node& node);
  Constant name(const ast::Node& node);
  Constant tuple(const ast::Node& node);
  Constant call(const ast::Node& node);
  Constant function(const ast::Node& node, const std::string& name);
  Constant extreme(const ast::Node& node, const std::string& name, const Tuple& candidates);
  Constant index(const ast::Node& node);
  Constant field(const ast::Node& node);
  Constant element(const Constant& tuple, std::int64_t index, const ast::Node& node);
  Constant binary(const ast::Node& node);
  Constant power(const ast::Node& node);
  Constant logic(const ast::Node& node);
  Constant unary(const ast::Node& node);
  Constant conditional(const ast::Node& node);
  Constant error(const std::string& code, const Span& span, const std::string& message, const std::string& help = "");

  const Environment& environment_;
  Reporter& reporter_;
};

Constant Evaluator::error(const std::string& code, const Span& span, const std::string& message,
                          const std::string& help) {
  reporter_.error(code, span, message, help);
  return {};
}

Constant Evaluator::value(const ast::Node& node) {
  using ast::Kind;
  switch (node.kind) {
    case Kind::number:
      return number(node);
    case Kind::string:
      return {node.text};
    case Kind::boolean:
      return {node.text == "true"};
    case Kind::name:
      return name(node);
    case Kind::tuple:
      return tuple(node);
    case Kind::call:
      return call(node);
    case Kind::index:
      return index(node);
    case Kind::field:
      return field(node);
    case Kind::binary:
      return binary(node);
    case Kind::unary:
      return unary(node);
    case Kind::conditional:
      return conditional(node);
    default:
      return error("N110", node.span, "this is no compile-time value");
  }
}

Constant Evaluator::number(const ast::Node& node) {
  return node.is_int ? make_integer(node.integer) : Constant{node.real};
}

Constant Evaluator::name(const ast::Node& node) {
  if (const Constant* found = environment_.find(node.text)) return *found;
  if (std::optional<LayerReference> layer = find_layer(node.text, environment_)) return {std::move(*layer)};
  if (node.text == "N") {
    return error("N110", node.span, "the batch `N` is known only when the model runs",
                 "`N` stands for the batch in the shapes of `input` and `expect`");
  }
  std::vector<std::string> candidates = environment_.value_names();
  for (std::string& layer : environment_.layer_names()) candidates.push_back(std::move(layer));
  return error("N108", node.span, fmt::format("unknown name `{}`", node.text), did_you_mean(node.text, candidates));
}

Constant Evaluator::tuple(const ast::Node& node) {
  Tuple elements;
  for (const ast::Node& child : node.children) {
    elements.push_back(value(child));
    if (elements.back().is_unknown()) return {};
  }
  Constant result{std::move(elements)};
  if (weight(result) <= max_weight) return result;
  return error("N121", node.span, fmt::format("the tuple has more than {} elements", max_weight));
}

Constant Evaluator::call(const ast::Node& node) {
  const ast::Node& callee = node.children.front();
  if (callee.kind != ast::Kind::name) return error("N110", node.span, "this is no compile-time value");
  for (const char* known : {"floor", "min", "max", "len"}) {
    if (callee.text == known) return function(node, callee.text);
  }
  std::optional<LayerReference> layer = find_layer(callee.text, environment_);
  if (!layer) {
    std::vector<std::string> candidates = environment_.layer_names();
    candidates.insert(candidates.end(), {"floor", "min", "max", "len"});
    return error("N108", callee.span, fmt::format("unknown function or layer `{}`", callee.text),
                 did_you_mean(callee.text, candidates));
  }
  for (Argument& argument : evaluate_arguments(node, 1, environment_, reporter_)) {
    layer->arguments.push_back(std::move(argument));
  }
  Constant result{std::move(*layer)};
  if (weight(result) <= max_weight) return result;
  return error("N121", node.span, fmt::format("the layer's arguments hold more than {} values", max_weight));
}

Constant Evaluator::function(const ast::Node& node, const std::string& name) {
  Tuple arguments;
  for (const Argument& argument : evaluate_arguments(node, 1, environment_, reporter_)) {
    if (argument.value.is_unknown()) return {};
    if (!argument.name.empty()) {
      return error("N118", argument.span, fmt::format("{} has no argument `{}`", name, argument.name));
    }
    arguments.push_back(argument.value);
  }
  const bool several = (name == "min" || name == "max") && arguments.size() > 1;
  if (!several && arguments.size() != 1) {
    return error(arguments.empty() ? "N120" : "N117", node.span,
                 fmt::format("{} takes one argument, {} given", name, arguments.size()));
  }
  if (name == "floor") return floor(arguments[0], node.span, reporter_);
  const Tuple* tuple = several ? &arguments : arguments[0].as<Tuple>();
  if (tuple == nullptr) {
    return error("N111", node.span, fmt::format("{} takes a tuple, found {}", name, describe(arguments[0])));
  }
  if (name == "len") return make_integer(static_cast<std::int64_t>(tuple->size()));
  return extreme(node, name, *tuple);
}

/// The smallest or largest of `candidates`.
Constant Evaluator::extreme(const ast::Node& node, const std::string& name, const Tuple& candidates) {
  if (candidates.empty()) return error("N113", node.span, fmt::format("{} of no elements", name));
  const auto other = std::find_if(candidates.begin(), candidates.end(), [](const auto& it) { return !it.is_number(); });
  if (other != candidates.end()) {
    return error("N111", node.span, fmt::format("{} takes numbers, found {}", name, describe(*other)));
  }
  Constant best = candidates.front();
  for (const Constant& candidate : candidates) {
    const Constant better = compute(name == "min" ? "<" : ">", candidate, best, node.span, reporter_);
    if (better.is_unknown()) return {};
    if (std::get<bool>(better.value)) best = candidate;
  }
  return best;
}

Constant Evaluator::index(const ast::Node& node) {
  Constant result = value(node.children.front());
  for (std::size_t i = 1; i < node.children.size() && !result.is_unknown(); ++i) {
    const Constant position = value(node.children[i]);
    const auto at = need_integer(position, "the index of an element", node.children[i].span, reporter_);
    if (!at) return {};
    result = element(result, *at, node);
  }
  return result;
}

Constant Evaluator::field(const ast::Node& node) {
  const Constant tuple = value(node.children.front());
  if (tuple.is_unknown()) return {};
  std::int64_t at = 0;
  const char* end = node.text.data() + node.text.size();
  const auto [stop, status] = std::from_chars(node.text.data(), end, at);
  if (status != std::errc() || stop != end) {
    return error("N113", node.span, fmt::format("a value has no element `{}`", node.text),
                 "elements are counted from 0: t.0, t.1");
  }
  return element(tuple, at, node);
}

Constant Evaluator::element(const Constant& tuple, std::int64_t index, const ast::Node& node) {
  const auto* elements = tuple.as<Tuple>();
  if (elements == nullptr) {
    return error("N111", node.span, fmt::format("only tuples have elements, found {}", describe(tuple)));
  }
  const auto count = static_cast<std::int64_t>(elements->size());
  if (index >= 0 && index < count) return (*elements)[static_cast<std::size_t>(index)];
  return error("N113", node.span, fmt::format("the tuple {} has no element {}", to_string(tuple), index),
               count == 0 ? "" : fmt::format("its elements are 0 to {}", count - 1));
}

Constant Evaluator::binary(const ast::Node& node) {
  const std::string& first = node.operators.front();
  if (first == "^") return power(node);
  if (first == "&&" || first == "||") return logic(node);
  const bool compares = first[0] == '<' || first[0] == '>' || first[0] == '=' || first[0] == '!';
  if (compares && node.operators.size() > 1) {
    return error("N114", node.span, "comparisons do not chain", "write a < b && b < c");
  }
  Constant result = value(node.children.front());
  for (std::size_t i = 0; i < node.operators.size(); ++i) {
    result = compute(node.operators[i], result, value(node.children[i + 1]), node.span, reporter_);
  }
  return result;
}

/// a ^ b ^ c is a ^ (b ^ c).
Constant Evaluator::power(const ast::Node& node) {
  Constant result = value(node.children.back());
  for (std::size_t i = node.children.size() - 1; i-- > 0;) {
    result = compute("^", value(node.children[i]), result, node.span, reporter_);
  }
  return result;
}

/// Stops at the first operand that decides.
Constant Evaluator::logic(const ast::Node& node) {
  const bool all = node.operators.front() == "&&";
  for (const ast::Node& child : node.children) {
    const auto truth =
        need_bool(value(child), fmt::format("an operand of {}", node.operators.front()), child.span, reporter_);
    if (!truth) return {};
    if (*truth != all) return {!all};
  }
  return {all};
}

Constant Evaluator::unary(const ast::Node& node) {
  Constant result = value(node.children.front());
  for (auto op = node.operators.rbegin(); op != node.operators.rend() && !result.is_unknown(); ++op) {
    if (*op == "-") {
      result = negate(result, node.span, reporter_);
      continue;
    }
    const auto truth = need_bool(result, "the operand of !", node.span, reporter_);
    result = truth ? Constant{!*truth} : Constant{};
  }
  return result;
}

/// condition, value, …, value: only the value that is taken is looked at.
Constant Evaluator::conditional(const ast::Node& node) {
  for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
    const ast::Node& condition = node.children[i];
    const auto truth = need_bool(value(condition), "a condition", condition.span, reporter_);
    if (!truth) return {};
    if (*truth) return value(node.children[i + 1]);
  }
  return value(node.children.back());
}

}  // namespace

Constant evaluate(const ast::Node& expression, const Environment& environment, Reporter& reporter) {
  return Evaluator(environment, reporter).value(expression);
}

std::vector<Argument> evaluate_arguments(const ast::Node& node, std::size_t first, const Environment& environment,
                                         Reporter& reporter) {
  std::vector<Argument> arguments;
  for (std::size_t i = first; i < node.children.size(); ++i) {
    const ast::Node& child = node.children[i];
    if (child.kind != ast::Kind::argument) continue;
    arguments.push_back({child.text, evaluate(child.children.front(), environment, reporter), child.span});
  }
  return arguments;
}

bool is_by_position(const ast::Node& call, std::size_t i, Reporter& reporter) {
  const ast::Node& argument = call.children[i];
  if (argument.text.empty()) return true;
  reporter.error("N118", argument.span,
                 fmt::format("{} takes this argument by its place, not as `{}`", call.children[0].text, argument.text),
                 "tensors and elements come first and have no names");
  return false;
}

std::optional<std::int64_t> evaluate_extent(const ast::Node& expression, const Environment& environment,
                                            Reporter& reporter) {
  if (expression.kind == ast::Kind::name && expression.text == "N") return Shape::batch;
  const Constant value = evaluate(expression, environment, reporter);
  const auto extent = need_integer(value, "an extent", expression.span, reporter);
  if (!extent) return std::nullopt;
  if (*extent >= 1) return extent;
  reporter.error("N115", expression.span, fmt::format("an extent must be at least 1, found {}", *extent));
  return std::nullopt;
}

}  // namespace netc
