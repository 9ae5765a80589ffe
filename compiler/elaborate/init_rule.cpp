#include "compiler/elaborate/init_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "compiler/elaborate/arguments.h"

namespace netc {
namespace {

using ast::Kind;
using Rule = Initializer::Rule;

constexpr double largest = std::numeric_limits<float>::max();

/// A number that a rule takes.
struct NumberSpec {
  const char* name = nullptr;  // nullptr: the rule takes no such number
  double fallback = 0;
  double least = -largest;
};

struct RuleSpec {
  const char* name;
  Rule rule;
  NumberSpec a;
  NumberSpec b{};

  bool is_kaiming() const { return rule == Rule::kaiming_uniform || rule == Rule::kaiming_normal; }
};

constexpr RuleSpec rules[] = {
    {"constant", Rule::constant, {"value"}},
    {"uniform", Rule::uniform, {"a", 0}, {"b", 1}},
    {"normal", Rule::normal, {"mean", 0}, {"std", 1, 0}},
    {"xavier_uniform", Rule::xavier_uniform, {"gain", 1, 0}},
    {"xavier_normal", Rule::xavier_normal, {"gain", 1, 0}},
    {"kaiming_uniform", Rule::kaiming_uniform, {"a", 0}},
    {"kaiming_normal", Rule::kaiming_normal, {"a", 0}},
};

const RuleSpec* find_rule(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(rules), std::end(rules), [&](const RuleSpec& spec) { return name == spec.name; });
  return found == std::end(rules) ? nullptr : found;
}

std::vector<std::string> rule_names() {
  std::vector<std::string> names;
  for (const RuleSpec& spec : rules) names.emplace_back(spec.name);
  return names;
}

/// How much a nonlinearity shrinks a signal, as torch.nn.init.calculate_gain has it; `slope` is leaky_relu's.
struct Nonlinearity {
  const char* name;
  double (*gain)(double slope);
};

constexpr Nonlinearity nonlinearities[] = {
    {"linear", [](double) { return 1.0; }},
    {"sigmoid", [](double) { return 1.0; }},
    {"tanh", [](double) { return 5.0 / 3; }},
    {"relu", [](double) { return std::sqrt(2.0); }},
    {"leaky_relu", [](double slope) { return std::sqrt(2 / (1 + slope * slope)); }},
    {"selu", [](double) { return 3.0 / 4; }},
};

/// Reads one rule in the names that its text sees.
class RuleReader {
 public:
  RuleReader(const Environment& environment, Reporter& reporter) : environment_(environment), reporter_(reporter) {}

  std::optional<Initializer> read(const ast::Node& expression) const;

 private:
  std::optional<Initializer> named(const ast::Node& name, const ast::Node& expression) const;
  std::optional<Initializer> rule(const RuleSpec& spec, const ast::Node& expression) const;
  std::optional<Initializer> kaiming(Initializer rule, const Bindings& arguments) const;
  std::optional<double> number(const RuleSpec& spec, const NumberSpec& of, const Bindings& arguments) const;
  std::optional<std::string> word(const Bindings& arguments, const std::string& name, const std::string& fallback,
                                  const std::vector<std::string>& known) const;
  std::optional<Initializer> distribution(const Declaration& declaration, const ast::Node& use) const;
  std::optional<Initializer> rule_or_number(const ast::Node& expression) const;
  std::optional<Initializer> mixture(const ast::Node& distribution) const;
  std::optional<MixturePart> part(const ast::Node& node) const;
  std::optional<Initializer> constant(const ast::Node& expression) const;
  std::nullopt_t error(const char* code, const Span& span, const std::string& message,
                       const std::string& help = "") const;

  const Environment& environment_;
  Reporter& reporter_;
};

std::nullopt_t RuleReader::error(const char* code, const Span& span, const std::string& message,
                                 const std::string& help) const {
  reporter_.error(code, span, message, help);
  return std::nullopt;
}

const ast::Node& name_of(const ast::Node& expression) {
  return expression.kind == Kind::call ? expression.children.front() : expression;
}

std::optional<Initializer> RuleReader::read(const ast::Node& expression) const {
  const ast::Node& name = name_of(expression);
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
  for (const std::string& rule : rule_names()) known.push_back(rule);
  for (const std::string& dist : environment_.distribution_names()) known.push_back(dist);
  std::string help = did_you_mean(name.text, known);
  if (help.empty()) help = fmt::format("rules are a number, a `dist`, {}", fmt::join(rule_names(), ", "));
  return error("N108", name.span, fmt::format("unknown rule `{}`", name.text), help);
}

std::optional<Initializer> RuleReader::constant(const ast::Node& expression) const {
  const Constant value = evaluate(expression, environment_, reporter_);
  const auto number = need_real(value, "the initial value", expression.span, reporter_);
  if (!number) return std::nullopt;
  if (std::abs(*number) > largest) {
    return error("N115", expression.span, fmt::format("the initial value {} does not fit a float", to_string(value)),
                 fmt::format("a float reaches {:.7g}", largest));
  }
  return Initializer{.rule = Rule::constant, .a = *number};
}

// ---- Rules ----------------------------------------------------------------------------------------------------------

std::optional<Initializer> RuleReader::rule(const RuleSpec& spec, const ast::Node& expression) const {
  std::vector<Formal> formals{{spec.a.name, spec.rule == Rule::constant}};
  if (spec.b.name != nullptr) formals.push_back({spec.b.name, false});
  if (spec.is_kaiming()) formals.insert(formals.end(), {{"mode", false}, {"nonlinearity", false}});
  std::vector<Argument> given;
  if (expression.kind == Kind::call) given = evaluate_arguments(expression, 1, environment_, reporter_);
  const auto arguments = bind_arguments(spec.name, formals, given, expression.span, reporter_);
  if (!arguments) return std::nullopt;
  const auto a = number(spec, spec.a, *arguments);
  const auto b = number(spec, spec.b, *arguments);
  if (!a || !b) return std::nullopt;
  if (spec.rule == Rule::uniform && *a > *b) {
    return error("N115", expression.span, fmt::format("uniform: a = {} is above b = {}", *a, *b),
                 fmt::format("write uniform({}, {})", *b, *a));
  }
  const Initializer result{.rule = spec.rule, .a = *a, .b = *b};
  return spec.is_kaiming() ? kaiming(result, *arguments) : result;
}

std::optional<double> RuleReader::number(const RuleSpec& spec, const NumberSpec& of, const Bindings& arguments) const {
  const auto given = of.name == nullptr ? arguments.end() : arguments.find(of.name);
  if (given == arguments.end()) return of.fallback;
  const Argument& argument = given->second;
  const std::string what = fmt::format("{}: {}", spec.name, of.name);
  const auto number = need_real(argument.value, what, argument.span, reporter_);
  if (!number || (*number >= of.least && *number <= largest)) return number;
  const bool is_low = *number < of.least && of.least > -largest;
  const std::string range = is_low ? fmt::format("at least {}", of.least) : "within the range of a float";
  return error("N115", argument.span, fmt::format("{} must be {}, found {}", what, range, to_string(argument.value)));
}

/// The rule with its gain, which the nonlinearity and the slope `a` give.
std::optional<Initializer> RuleReader::kaiming(Initializer rule, const Bindings& arguments) const {
  std::vector<std::string> names;
  for (const Nonlinearity& known : nonlinearities) names.emplace_back(known.name);
  const auto mode = word(arguments, "mode", "fan_in", {"fan_in", "fan_out"});
  const auto nonlinearity = word(arguments, "nonlinearity", "leaky_relu", names);
  if (!mode || !nonlinearity) return std::nullopt;
  const auto* chosen = std::find_if(std::begin(nonlinearities), std::end(nonlinearities),
                                    [&](const Nonlinearity& known) { return *nonlinearity == known.name; });
  rule.a = chosen->gain(rule.a);
  rule.by_fan_out = *mode == "fan_out";
  return rule;
}

std::optional<std::string> RuleReader::word(const Bindings& arguments, const std::string& name,
                                            const std::string& fallback, const std::vector<std::string>& known) const {
  const auto given = arguments.find(name);
  if (given == arguments.end()) return fallback;
  const Constant& value = given->second.value;
  const std::string choice = fmt::format("write \"{}\"", fmt::join(known, "\", \""));
  const auto* text = value.as<std::string>();
  if (text == nullptr) {
    return error("N111", given->second.span, fmt::format("{} must be a string, found {}", name, describe(value)),
                 choice);
  }
  if (std::find(known.begin(), known.end(), *text) != known.end()) return *text;
  const std::string alike = did_you_mean(*text, known);
  return error("N108", given->second.span, fmt::format("unknown {} {}", name, to_string(value)),
               alike.empty() ? choice : alike);
}

// ---- Distributions --------------------------------------------------------------------------------------------------

std::optional<Initializer> RuleReader::distribution(const Declaration& declaration, const ast::Node& use) const {
  const ast::Node& node = *declaration.node;
  if (node.kind != Kind::dist) {
    return error("N111", use.span, fmt::format("`{}` is no rule or distribution", node.text),
                 "name a `dist`, or a rule such as normal(0, 0.01)");
  }
  if (use.kind == Kind::call) {
    return error("N117", use.span, fmt::format("the distribution `{}` takes no arguments", node.text),
                 fmt::format("write `{}`", node.text));
  }
  const RuleReader reader(*declaration.environment, reporter_);
  const ast::Node& first = node.children.front();
  return first.kind == Kind::mixture_part ? reader.mixture(node) : reader.rule_or_number(first);
}

std::optional<Initializer> RuleReader::rule_or_number(const ast::Node& expression) const {
  const ast::Node& name = name_of(expression);
  const RuleSpec* spec = name.kind == Kind::name ? find_rule(name.text) : nullptr;
  return spec == nullptr ? constant(expression) : rule(*spec, expression);
}

std::optional<Initializer> RuleReader::mixture(const ast::Node& distribution) const {
  Initializer result{.rule = Rule::mixture};
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
               fmt::format("the weights of `{}` must sum to 1, not {}", distribution.text, to_string(sum)),
               "the number before each colon is the part's probability");
}

/// weight: number, or weight: uniform(a, b)
std::optional<MixturePart> RuleReader::part(const ast::Node& node) const {
  const ast::Node& written = node.children.front();
  const auto weight = need_real(evaluate(written, environment_, reporter_), "a weight", written.span, reporter_);
  if (!weight) return std::nullopt;
  if (*weight < 0) return error("N115", written.span, fmt::format("a weight must be at least 0, found {}", *weight));
  const auto value = rule_or_number(node.children.back());
  if (!value) return std::nullopt;
  return MixturePart{*weight, value->rule, value->a, value->b, value->by_fan_out};
}

}  // namespace

std::optional<Initializer> read_initializer(const ast::Node& expression, const Environment& environment,
                                            Reporter& reporter) {
  return RuleReader(environment, reporter).read(expression);
}

const char* rule_name(Rule rule) {
  const auto* found =
      std::find_if(std::begin(rules), std::end(rules), [&](const RuleSpec& spec) { return rule == spec.rule; });
  if (found != std::end(rules)) return found->name;
  return rule == Rule::mixture ? "mixture" : "fan_in_uniform";
}

bool check_fans(const Initializer& initializer, const std::string& parameter, const Shape& shape, const Span& span,
                Reporter& reporter) {
  const auto scales = [](Rule rule) {
    return rule != Rule::constant && rule != Rule::uniform && rule != Rule::normal && rule != Rule::mixture;
  };
  const bool needs_fans =
      scales(initializer.rule) || std::any_of(initializer.parts.begin(), initializer.parts.end(),
                                              [&](const MixturePart& part) { return scales(part.rule); });
  if (!needs_fans || shape.rank() >= 2) return true;
  reporter.error("N306", span,
                 fmt::format("{} scales by fan-in and fan-out, which `{}` {} has not",
                             initializer.parts.empty() ? rule_name(initializer.rule) : "a part of the mixture",
                             parameter, to_string(shape)),
                 "give it a number, uniform(a, b) or normal(mean, std)");
  return false;
}

}  // namespace netc
