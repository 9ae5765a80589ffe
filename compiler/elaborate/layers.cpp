// The statements that may stand in any list, and the layers made of other layers: chains, groups, repeats, branches.
#include <fmt/format.h>

#include "compiler/elaborate/arguments.h"
#include "compiler/elaborate/elaborator.h"
#include "dsl/lexical.h"

namespace netc {
namespace {

using ast::Kind;

constexpr int max_steps = 1000000;  // elements and repetitions, also those that make no layer
constexpr int max_depth = 512;      // layers inside layers, through all blocks: bounds the recursion
constexpr std::int64_t max_repetitions = 10000;

/// Counts a level of nesting while it lives.
class Depth {
 public:
  explicit Depth(int& depth) : depth_(depth) { ++depth_; }
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

}  // namespace

bool Elaborator::step(const Span& span) {
  if (stopped_ || reporter_.full()) return false;
  if (++steps_ <= max_steps && depth_ <= max_depth) return true;
  stopped_ = true;
  reporter_.error("N121", span,
                  depth_ > max_depth ? fmt::format("layers nest more than {} deep", max_depth)
                                     : fmt::format("the model unrolls to more than {} steps", max_steps));
  return false;
}

// ---- Statements -----------------------------------------------------------------------------------------------------

ValueId Elaborator::list(const ast::Node& body, ValueId value, const PathPlace& place, Scope& scope) {
  for (const ast::Node& node : body.children) {
    if (!step(node.span)) return no_value;
    statement(node, value, place, scope);
  }
  return value;
}

/// A list inside another one, with values and labels of its own.
ValueId Elaborator::nested(const ast::Node& body, ValueId value, const PathPlace& place, Scope& parent) {
  Scope scope{.names = Environment(&parent.names), .labels = {}, .parent = &parent};
  return list(body, value, place, scope);
}

void Elaborator::sequence(const ast::Node& node, ValueId& value, const PathPlace& place, Scope& scope) {
  PathPlace here = place;
  here.label = node.text;
  value = element(node.children.front(), value, here, scope);
  if (node.text.empty() || scope.labels.emplace(node.text, value).second) return;
  reporter_.error("N128", node.span, fmt::format("the label `{}` is used twice in this list", node.text));
}

void Elaborator::let(const ast::Node& node, Scope& scope) {
  Constant value = evaluate(node.children.front(), scope.names, reporter_);
  if (scope.is_model) value = overrides_.let(node.text, value, scope.names);
  declare(node.text, std::move(value), node.span, scope);
}

void Elaborator::declare(const std::string& name, Constant value, const Span& span, Scope& scope) {
  if (name == "N") {
    reporter_.error("N132", span, "`N` is the batch", "choose another name");
  } else if (!scope.names.add(name, std::move(value))) {
    reporter_.error("N132", span, fmt::format("`{}` is declared twice in this list", name));
  }
}

void Elaborator::shared(const ast::Node& node, const PathPlace& place, Scope& scope) {
  PathPlace here{.prefix = place.prefix, .label = node.text, .number = nullptr, .instance = place.instance};
  shared_.push_back({.element = &node.children.front(),
                     .scope = &scope,
                     .place = here,
                     .parameters = {.name = node.text, .use = {}, .owned = {}},
                     .blocks = static_cast<std::ptrdiff_t>(active_.size())});
  declare(node.text, {LayerReference{.name = node.text, .shared = &shared_.back(), .arguments = {}}}, node.span, scope);
}

std::optional<Shape> Elaborator::shape(const std::vector<ast::Node>& extents, const Scope& scope) {
  std::vector<std::int64_t> values;
  for (const ast::Node& extent : extents) {
    const auto value = evaluate_extent(extent, scope.names, reporter_);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return Shape(std::move(values));
}

void Elaborator::expect(const ast::Node& node, ValueId value, const Scope& scope) {
  const std::optional<Shape> wanted = shape(node.children, scope);
  if (!wanted || value == no_value || graph_[value].shape == *wanted) return;
  reporter_.report(
      {.code = "N211",
       .span = node.span,
       .message = fmt::format("expected {}, the shape here is {}", to_string(*wanted), to_string(graph_[value].shape)),
       .label = fmt::format("{} here", to_string(graph_[value].shape)),
       .notes = {},
       .help = ""});
}

// ---- Layers ---------------------------------------------------------------------------------------------------------

ValueId Elaborator::element(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  const Depth depth(depth_);
  if (!step(node.span)) return no_value;
  switch (node.kind) {
    case Kind::chain:
      return chain(node, value, place, scope);
    case Kind::group:
      return nested(node.children.front(), value, place.inside(), scope);
    case Kind::sequential:
      return sequential(node, value, place, scope);
    case Kind::conditional_element:
      return conditional(node, value, place, scope);
    case Kind::repeat:
      return repeat(node, value, place, scope);
    case Kind::add:
    case Kind::concat:
      return branches(node, value, place, scope);
    case Kind::from:
      return from(node, scope);
    case Kind::op:
      return call(node, value, place, scope);
    default:
      break;
  }
  reporter_.error("N126", node.span, "this is no layer");
  return no_value;
}

ValueId Elaborator::chain(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  const PathPlace inside = place.inside();
  for (const ast::Node& child : node.children) {
    if (child.kind == Kind::from && &child != &node.children.front()) {
      reporter_.error("N122", child.span, "from() in the middle of a chain: what stands before it would be lost",
                      "begin a statement with it, or join both values with add { … } or concat { … }");
      return no_value;
    }
    value = element(child, value, inside, scope);
  }
  return value;
}

ValueId Elaborator::sequential(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  PathPlace inside = place.inside_module();
  int number = 0;
  inside.number = &number;
  return nested(node.children.front(), value, inside, scope);
}

/// condition, body, (condition, body)*, body?
ValueId Elaborator::conditional(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
    const ast::Node& condition = node.children[i];
    const auto truth = need_bool(evaluate(condition, scope.names, reporter_), "a condition", condition.span, reporter_);
    if (!truth) return no_value;
    if (*truth) return nested(node.children[i + 1], value, place.inside(), scope);
  }
  if (node.children.size() % 2 == 0) return value;
  return nested(node.children.back(), value, place.inside(), scope);
}

ValueId Elaborator::from(const ast::Node& node, const Scope& scope) {
  std::vector<std::string> candidates;
  for (const Scope* list = &scope; list != nullptr; list = list->parent) {
    if (const auto found = list->labels.find(node.text); found != list->labels.end()) return found->second;
    for (const auto& [label, value] : list->labels) candidates.push_back(label);
  }
  reporter_.error("N108", node.span, fmt::format("no label or input `{}` stands above", node.text),
                  did_you_mean(node.text, candidates));
  return no_value;
}

// ---- repeat ---------------------------------------------------------------------------------------------------------

/// What a repeat runs over: the numbers of a count or range, or the elements of a tuple.
std::optional<Tuple> Elaborator::repetitions(const ast::Node& node, const Scope& scope) {
  const auto over = [&](std::size_t i) { return evaluate(node.children[i], scope.names, reporter_); };
  const Constant first = over(0);
  if (node.children.size() == 2 && !node.variables.empty()) {
    if (const auto* tuple = first.as<Tuple>()) return *tuple;
    if (first.is_unknown()) return std::nullopt;
    reporter_.error("N111", node.children[0].span,
                    fmt::format("repeat … in takes a tuple or a range, found {}", describe(first)),
                    first.is_integer() ? fmt::format("write 0..{}", to_string(first)) : "");
    return std::nullopt;
  }
  const bool is_range = node.children.size() == 3;
  const Span& last_span = node.children[is_range ? 1 : 0].span;
  const auto begin = is_range ? need_integer(first, "the start of the range", node.children[0].span, reporter_) : 0;
  const auto end =
      need_integer(is_range ? over(1) : first, is_range ? "the end of the range" : "a count", last_span, reporter_);
  if (!begin || !end) return std::nullopt;
  if (*end < *begin) {
    reporter_.error("N115", last_span, fmt::format("cannot repeat from {} to {}", *begin, *end));
    return std::nullopt;
  }
  // Unsigned: the distance of two int64 fits.
  if (static_cast<std::uint64_t>(*end) - static_cast<std::uint64_t>(*begin) > max_repetitions) {
    reporter_.error("N121", last_span, fmt::format("more than {} repetitions", max_repetitions));
    return std::nullopt;
  }
  Tuple numbers;
  for (std::int64_t i = *begin; i < *end; ++i) numbers.push_back(make_integer(i));
  return numbers;
}

ValueId Elaborator::repeat(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  const std::optional<Tuple> items = repetitions(node, scope);
  if (!items) return no_value;
  PathPlace inside = place.inside();
  if (place.label.empty()) inside.instance = layers_.add_instance(node.span, place.instance);
  const int errors = reporter_.errors();
  for (std::size_t i = 0; i < items->size(); ++i) {
    if (!step(node.span)) return no_value;
    PathPlace here = inside;
    if (here.number == nullptr) here.prefix += std::to_string(i) + ".";
    value = iteration(node, (*items)[i], value, here, scope);
    if (reporter_.errors() > errors) return no_value;  // the next ones would say the same
  }
  return value;
}

ValueId Elaborator::iteration(const ast::Node& repeat, const Constant& item, ValueId value, const PathPlace& place,
                              Scope& scope) {
  Scope inner{.names = Environment(&scope.names), .labels = {}, .parent = &scope};
  const std::vector<std::string>& variables = repeat.variables;
  if (variables.empty()) return list(repeat.children.back(), value, place, inner);
  const auto* parts = item.as<Tuple>();
  if (variables.size() == 1) {
    declare(variables[0], item, repeat.span, inner);
  } else if (parts == nullptr || parts->size() != variables.size()) {
    reporter_.error("N111", repeat.children.front().span,
                    fmt::format("{} names for {}", variables.size(), describe(item)));
    return no_value;
  } else {
    for (std::size_t i = 0; i < variables.size(); ++i) declare(variables[i], (*parts)[i], repeat.span, inner);
  }
  const std::string names = variables.size() == 1 ? variables[0] : fmt::format("({})", fmt::join(variables, ", "));
  const LoopTrail trail(reporter_, fmt::format("{} = {}", names, to_string(item)));
  return list(repeat.children.back(), value, place, inner);
}

// ---- add and concat -------------------------------------------------------------------------------------------------

namespace {

/// Whether a statement is a branch; if not, says so.
bool is_branch(const ast::Node& statement, Reporter& reporter) {
  if (statement.kind != Kind::sequence) {
    const char* help = statement.kind == Kind::expect ? "put it in braces with the branch that it is about"
                                                      : "put it before the layer that has these branches";
    reporter.error("N123", statement.span, "only layers and `let` stand among branches", help);
    return false;
  }
  const ast::Node& element = statement.children.front();
  if (element.kind != Kind::conditional_element || element.children.size() % 2 != 0) return true;
  reporter.error("N123", statement.span, "an `if` used as a branch needs its `else`",
                 "write `else { identity }` to pass the input through");
  return false;
}

}  // namespace

/// The values of the statements of `body`, all fed `value`.
std::vector<ValueId> Elaborator::branch_values(const ast::Node& body, ValueId value, const PathPlace& inside,
                                               Scope& scope) {
  Scope inner{.names = Environment(&scope.names), .labels = {}, .parent = &scope};
  std::vector<ValueId> values;
  for (const ast::Node& branch : body.children) {
    if (branch.kind == Kind::let) {
      let(branch, inner);
      continue;
    }
    ValueId result = no_value;
    if (is_branch(branch, reporter_)) {
      result = value;
      sequence(branch, result, inside, inner);
    } else if (branch.kind == Kind::shared) {
      shared(branch, inside, inner);  // so that its uses are known
    }
    values.push_back(result);
  }
  return values;
}

ValueId Elaborator::branches(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  const PathPlace inside = place.inside_module();
  const std::vector<ValueId> values = branch_values(node.children.back(), value, inside, scope);
  const std::string name = node.kind == Kind::add ? "add" : "concat";
  if (values.empty()) reporter_.error("N124", node.span, fmt::format("{} without branches", name));
  const Operator& op = *find_operator(name);
  const auto arguments = evaluate_arguments(node, 0, scope.names, reporter_);
  const auto attributes = bind_attributes(op, arguments, node.span, reporter_);
  if (!attributes || values.empty()) return no_value;
  return layers_.add(op, *attributes, values, inside.leaf(name), node.span);
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

ValueId Elaborator::call(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope) {
  std::optional<LayerReference> layer = find_layer(node.text, scope.names);
  if (!layer) {
    const Constant* constant = scope.names.find(node.text);
    if (constant == nullptr) {
      std::vector<std::string> candidates = scope.names.layer_names();
      candidates.insert(candidates.end(), statement_words().begin(), statement_words().end());
      reporter_.error("N108", node.span, fmt::format("unknown operator or block `{}`", node.text),
                      did_you_mean(node.text, candidates));
    } else if (!constant->is_unknown()) {
      reporter_.error("N126", node.span, fmt::format("`{}` is {}, not a layer", node.text, describe(*constant)));
    }
    return no_value;
  }
  for (Argument& argument : evaluate_arguments(node, 0, scope.names, reporter_)) {
    layer->arguments.push_back(std::move(argument));
  }
  const bool has_branches = !node.children.empty() && node.children.back().kind == Kind::body;
  if (!has_branches) return apply(*layer, {value}, place, node.span);
  PathPlace here = place;
  here.has_branches = !place.label.empty();
  return apply(*layer, branch_values(node.children.back(), value, place.branches(), scope), here, node.span);
}

}  // namespace netc
