// `init`: which parameters a clause selects, and the rules and distributions that they may have.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "compiler/arguments.h"
#include "compiler/clauses.h"

namespace netc {
namespace {

using ast::Kind;
using Rule = Initializer::Rule;

// ---- Rules ----------------------------------------------------------------------------------------------------------

/// A rule of torch.nn.init with its arguments.
struct RuleSpec {
  const char* name;
  Rule rule;
  const char* a;  // the arguments' names; nullptr for none
  const char* b;
  double default_a;
  double default_b;
};

constexpr RuleSpec rules[] = {
    {"constant", Rule::constant, "value", nullptr, 0, 0},
    {"uniform", Rule::uniform, "a", "b", 0, 1},
    {"normal", Rule::normal, "mean", "std", 0, 1},
    {"xavier_uniform", Rule::xavier_uniform, "gain", nullptr, 1, 0},
    {"xavier_normal", Rule::xavier_normal, "gain", nullptr, 1, 0},
    {"kaiming_uniform", Rule::kaiming_uniform, "a", nullptr, 0, 0},
    {"kaiming_normal", Rule::kaiming_normal, "a", nullptr, 0, 0},
};

const RuleSpec* find_rule(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(rules), std::end(rules), [&](const RuleSpec& spec) { return name == spec.name; });
  return found == std::end(rules) ? nullptr : found;
}

/// Reads the right sides of `init` clauses and the distributions that they name.
class RuleReader {
 public:
  RuleReader(const Environment& environment, Reporter& reporter) : environment_(environment), reporter_(reporter) {}

  std::optional<Initializer> read(const ast::Node& expression) const;

 private:
  std::optional<Initializer> named(const ast::Node& name, const ast::Node& expression) const;
  std::optional<Initializer> rule(const RuleSpec& spec, const ast::Node& expression) const;
  std::optional<Initializer> distribution(const Declaration& declaration, const ast::Node& use) const;
  std::optional<Initializer> mixture(const ast::Node& distribution) const;
  std::optional<MixturePart> part(const ast::Node& node) const;
  std::optional<Initializer> constant(const ast::Node& expression) const;
  std::optional<Initializer> error(const char* code, const Span& span, const std::string& message,
                                   const std::string& help = "") const;

  const Environment& environment_;
  Reporter& reporter_;
};

std::optional<Initializer> RuleReader::error(const char* code, const Span& span, const std::string& message,
                                             const std::string& help) const {
  reporter_.error(code, span, message, help);
  return std::nullopt;
}

std::optional<Initializer> RuleReader::read(const ast::Node& expression) const {
  const ast::Node& name = expression.kind == Kind::call ? expression.children.front() : expression;
  if (name.kind == Kind::name && environment_.find(name.text) == nullptr) return named(name, expression);
  return constant(expression);
}

std::optional<Initializer> RuleReader::named(const ast::Node& name, const ast::Node& expression) const {
  if (const Declaration* declaration = environment_.find_declaration(name.text))
    return distribution(*declaration, expression);
  if (const RuleSpec* spec = find_rule(name.text)) return rule(*spec, expression);
  for (const char* function : {"floor", "min", "max", "len"}) {
    if (expression.kind == Kind::call && name.text == function) return constant(expression);
  }
  std::vector<std::string> known = environment_.value_names();
  for (const RuleSpec& spec : rules) known.emplace_back(spec.name);
  for (const auto& [text, declaration] : environment_.declarations()) known.push_back(text);
  return error("N108", name.span, fmt::format("unknown rule `{}`", name.text), did_you_mean(name.text, known));
}

std::optional<Initializer> RuleReader::constant(const ast::Node& expression) const {
  const Constant value = evaluate(expression, environment_, reporter_);
  const auto number = need_real(value, "the initial value", expression.span, reporter_);
  if (!number) return std::nullopt;
  return Initializer{.rule = Rule::constant, .a = *number, .parts = {}};
}

std::optional<Initializer> RuleReader::rule(const RuleSpec& spec, const ast::Node& expression) const {
  std::vector<Formal> formals{{spec.a, spec.rule == Rule::constant}};
  if (spec.b != nullptr) formals.push_back({spec.b, false});
  std::vector<Argument> arguments;
  if (expression.kind == Kind::call) arguments = evaluate_arguments(expression, 1, environment_, reporter_);
  const auto bound = bind_arguments(spec.name, formals, arguments, expression.span, reporter_);
  if (!bound) return std::nullopt;
  Initializer result{.rule = spec.rule, .a = spec.default_a, .b = spec.default_b, .parts = {}};
  for (const auto& [name, argument] : *bound) {
    const auto number = need_real(argument.value, fmt::format("{}: {}", spec.name, name), argument.span, reporter_);
    if (!number) return std::nullopt;
    (name == spec.a ? result.a : result.b) = *number;
  }
  if (spec.rule == Rule::uniform && result.a > result.b) {
    return error("N115", expression.span, fmt::format("uniform: a = {} is above b = {}", result.a, result.b));
  }
  if (spec.rule == Rule::normal && result.b < 0) {
    return error("N115", expression.span, fmt::format("normal: std must be at least 0, found {}", result.b));
  }
  return result;
}

std::optional<Initializer> RuleReader::distribution(const Declaration& declaration, const ast::Node& use) const {
  const ast::Node& node = *declaration.node;
  if (node.kind != Kind::dist) {
    return error("N111", use.span, fmt::format("`{}` is no rule or distribution", node.text));
  }
  if (use.kind == Kind::call)
    return error("N117", use.span, fmt::format("the distribution `{}` takes no arguments", node.text));
  const RuleReader reader(*declaration.environment, reporter_);
  const ast::Node& first = node.children.front();
  if (first.kind == Kind::mixture_part) return reader.mixture(node);
  const ast::Node& name = first.kind == Kind::call ? first.children.front() : first;
  const RuleSpec* spec = name.kind == Kind::name ? find_rule(name.text) : nullptr;
  return spec == nullptr ? reader.constant(first) : reader.rule(*spec, first);
}

std::optional<Initializer> RuleReader::mixture(const ast::Node& distribution) const {
  Initializer result{.rule = Rule::mixture, .parts = {}};
  Constant sum = make_integer(0);
  for (const ast::Node& node : distribution.children) {
    const auto read = part(node);
    if (!read) return std::nullopt;
    result.parts.push_back(*read);
    const ast::Node& weight = node.children.front();
    sum = compute("+", sum, evaluate(weight, environment_, reporter_), weight.span, reporter_);
  }
  const auto total = need_real(sum, "the sum of the weights", distribution.span, reporter_);
  if (!total) return std::nullopt;
  if (std::abs(*total - 1) <= 1e-9) return result;
  return error("N115", distribution.span,
               fmt::format("the weights of `{}` must sum to 1, not {}", distribution.text, to_string(sum)));
}

/// weight: number, or weight: uniform(a, b)
std::optional<MixturePart> RuleReader::part(const ast::Node& node) const {
  const ast::Node& written = node.children.front();
  const auto weight = need_real(evaluate(written, environment_, reporter_), "a weight", written.span, reporter_);
  if (!weight) return std::nullopt;
  if (*weight < 0) {
    reporter_.error("N115", written.span, fmt::format("a weight must be at least 0, found {}", *weight));
    return std::nullopt;
  }
  const ast::Node& value = node.children.back();
  const bool is_call = value.kind == Kind::call && value.children.front().kind == Kind::name;
  const RuleSpec* spec = is_call ? find_rule(value.children.front().text) : nullptr;
  if (spec != nullptr && spec->rule != Rule::uniform) {
    reporter_.error("N134", value.span, fmt::format("a mixture of `{}` is not supported yet", spec->name),
                    "its parts may be numbers and uniform(a, b)");
    return std::nullopt;
  }
  const auto drawn = spec == nullptr ? constant(value) : rule(*spec, value);
  if (!drawn) return std::nullopt;
  return MixturePart{*weight, drawn->a, spec == nullptr ? drawn->a : drawn->b};
}

// ---- Selectors ------------------------------------------------------------------------------------------------------

/// Finds the parameters that a clause means.
class Selection {
 public:
  Selection(const std::vector<Owned>& owned, const Graph& graph, Reporter& reporter)
      : owned_(owned), graph_(graph), reporter_(reporter) {}

  /// The parameters of the layers that `selector` names: an operator, or a path or its beginning.
  std::vector<Owned> layers(const ast::Node& selector, const std::string& text);
  /// The parameter whose whole path is `text`, or nothing.
  std::vector<Owned> parameter(const std::string& text) const;

 private:
  const Node& node(const Owned& owned) const { return graph_.nodes[static_cast<std::size_t>(owned.node)]; }
  void report_unknown(const ast::Node& selector, const std::string& text);

  template <class Matches>
  std::vector<Owned> filter(Matches matches) const {
    std::vector<Owned> result;
    std::copy_if(owned_.begin(), owned_.end(), std::back_inserter(result),
                 [&](const Owned& owned) { return graph_[owned.value].is_parameter() && matches(owned); });
    return result;
  }

  const std::vector<Owned>& owned_;
  const Graph& graph_;
  Reporter& reporter_;
};

std::vector<Owned> Selection::parameter(const std::string& text) const {
  return filter([&](const Owned& owned) { return graph_[owned.value].name == text; });
}

std::vector<Owned> Selection::layers(const ast::Node& selector, const std::string& text) {
  std::vector<Owned> found = filter([&](const Owned& owned) { return node(owned).op->name == text; });
  if (found.empty()) {
    found = filter([&](const Owned& owned) {
      const std::string& path = node(owned).path;
      return path.starts_with(text) && (path.size() == text.size() || path[text.size()] == '.');
    });
  }
  if (found.empty()) report_unknown(selector, text);
  return found;
}

void Selection::report_unknown(const ast::Node& selector, const std::string& text) {
  if (find_operator(text) != nullptr) {
    reporter_.warning("W405", selector.span, fmt::format("the model has no `{}` with parameters", text));
    return;
  }
  std::set<std::string> known;
  for (const Owned& owned : owned_) {
    known.emplace(node(owned).op->name);
    const std::string& path = node(owned).path;
    for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1))
      known.insert(path.substr(0, dot));
    known.insert(path);
  }
  reporter_.error("N305", selector.span, fmt::format("no layer with parameters has the path `{}`", text),
                  did_you_mean(text, {known.begin(), known.end()}));
}

/// Gives `rule` to the parameters called `name` among `selected`.
void assign(const std::vector<Owned>& selected, const std::string& name, const Initializer& rule, const Span& span,
            Graph& graph, Reporter& reporter) {
  std::set<std::string> others;
  bool found = false;
  for (const Owned& owned : selected) {
    others.insert(owned.name);
    if (owned.name != name) continue;
    graph[owned.value].initializer = rule;
    found = true;
  }
  if (found || selected.empty()) return;
  const std::vector<std::string> names(others.begin(), others.end());
  reporter.error("N305", span, fmt::format("no parameter `{}` here", name),
                 fmt::format("there are {}", fmt::join(names, ", ")));
}

/// init path.weight = rule;
void apply_single(const ast::Node& clause, const RuleReader& reader, Selection& selection, Graph& graph,
                  Reporter& reporter) {
  const ast::Node& selector = clause.children.front();
  const std::optional<Initializer> rule = reader.read(clause.children.back());
  const std::size_t dot = selector.text.rfind('.');
  if (dot == std::string::npos) {
    reporter.error("N305", selector.span, fmt::format("`{}` names no parameter", selector.text),
                   fmt::format("write `{}.weight`", selector.text));
    return;
  }
  if (!rule) return;
  std::vector<Owned> selected = selection.parameter(selector.text);
  if (selected.empty()) selected = selection.layers(selector, selector.text.substr(0, dot));
  assign(selected, selector.text.substr(dot + 1), *rule, selector.span, graph, reporter);
}

}  // namespace

void apply_init(const ast::Node& clause, const Environment& environment, const std::vector<Owned>& owned, Graph& graph,
                Reporter& reporter) {
  const RuleReader reader(environment, reporter);
  Selection selection(owned, graph, reporter);
  if (clause.children.back().kind != Kind::rule) return apply_single(clause, reader, selection, graph, reporter);
  std::vector<Owned> selected;
  for (const ast::Node& child : clause.children) {
    if (child.kind != Kind::selector) continue;
    for (Owned& found : selection.layers(child, child.text)) selected.push_back(std::move(found));
  }
  for (const ast::Node& child : clause.children) {
    if (child.kind != Kind::rule) continue;
    const std::optional<Initializer> rule = reader.read(child.children.front());
    if (rule) assign(selected, child.text, *rule, child.span, graph, reporter);
  }
}

}  // namespace netc
