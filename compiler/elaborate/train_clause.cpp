// `train`: evaluates the settings of a recipe, and checks that data and model fit each other.
#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>

#include "compiler/elaborate/clauses.h"
#include "netc/dataset.h"
#include "netc/settings.h"

namespace netc {
namespace {

using ast::Kind;

const Setting* find_setting(const std::string& name) {
  for (const Setting& setting : train_settings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

const char* code_of(SettingProblem::Kind kind) {
  static constexpr const char* codes[] = {"N304", "N111", "N204", "N115", "N118",
                                          "N117", "N116", "N119", "N120", "N310"};
  return codes[static_cast<int>(kind)];
}

/// Evaluates the settings of one clause into a recipe.
class TrainReader {
 public:
  TrainReader(const Environment& environment, Recipe& recipe, Reporter& reporter)
      : environment_(environment), reporter_(reporter), recipe_(recipe) {}

  void read(const ast::Node& clause, const std::vector<TrainOption>& options);

 private:
  void setting(const ast::Node& node);
  void option(const TrainOption& option);
  std::optional<SettingValue> value(const Setting& setting, const ast::Node& expression);
  std::optional<SettingValue> choice(const ast::Node& expression);
  std::optional<SettingValue> choices(const Setting& setting, const ast::Node& tuple);
  std::optional<SettingValue> evaluated(const ast::Node& expression);
  std::optional<SettingValue> converted(const Constant& constant, const Span& span);
  bool names_choice(const ast::Node& expression) const;
  int place(const Span& span);

  const Environment& environment_;
  Reporter& reporter_;
  RecipeReader recipe_;
  std::vector<Span> places_;
};

void TrainReader::read(const ast::Node& clause, const std::vector<TrainOption>& options) {
  const int errors = reporter_.errors();
  std::set<std::string> seen;
  for (const ast::Node& node : clause.children) {
    if (seen.insert(node.text).second) {
      setting(node);
    } else {
      reporter_.error("N304", node.span, fmt::format("the setting `{}` is given twice", node.text));
    }
  }
  for (const TrainOption& given : options) option(given);
  if (reporter_.errors() == errors && recipe_.problems().empty()) recipe_.check();
  for (const SettingProblem& problem : recipe_.problems()) {
    const Span& span = problem.place < 0 ? clause.span : places_[static_cast<std::size_t>(problem.place)];
    reporter_.error(code_of(problem.kind), span, problem.message, problem.help);
  }
}

void TrainReader::setting(const ast::Node& node) {
  const Setting* known = find_setting(node.text);
  if (known == nullptr) return recipe_.refuse(node.text, place(node.span));
  if (const auto given = value(*known, node.children.front())) recipe_.assign(*known, *given);
}

/// `train.optimizer` takes what the clause would take there, `train.optimizer.lr` a number.
void TrainReader::option(const TrainOption& option) {
  const Setting* known = find_setting(option.path);
  const auto given = known != nullptr ? value(*known, option.value) : evaluated(option.value);
  if (given) recipe_.assign(option.path, *given);
}

std::optional<SettingValue> TrainReader::value(const Setting& setting, const ast::Node& expression) {
  if (setting.number) return evaluated(expression);
  if (expression.kind == Kind::tuple && setting.chosen == nullptr) return choices(setting, expression);
  return names_choice(expression) ? choice(expression) : evaluated(expression);
}

/// `sgd` and `sgd(…)` are names of choices; a `let` is not.
bool TrainReader::names_choice(const ast::Node& expression) const {
  if (expression.kind == Kind::call) return expression.children.front().kind == Kind::name;
  return expression.kind == Kind::name && environment_.find(expression.text) == nullptr;
}

std::optional<SettingValue> TrainReader::choice(const ast::Node& expression) {
  const bool is_call = expression.kind == Kind::call;
  const ast::Node& name = is_call ? expression.children.front() : expression;
  SettingValue result{.kind = SettingValue::Kind::name, .text = name.text, .place = place(name.span)};
  if (!is_call) return result;
  const int errors = reporter_.errors();
  for (const Argument& argument : evaluate_arguments(expression, 1, environment_, reporter_)) {
    const auto part = converted(argument.value, argument.span);
    if (part) result.parts.emplace_back(argument.name, *part);
  }
  if (reporter_.errors() != errors) return std::nullopt;
  return result;
}

std::optional<SettingValue> TrainReader::choices(const Setting& setting, const ast::Node& tuple) {
  SettingValue result{.kind = SettingValue::Kind::tuple, .place = place(tuple.span)};
  for (const ast::Node& element : tuple.children) {
    const auto part = value(setting, element);
    if (!part) return std::nullopt;
    result.parts.emplace_back("", *part);
  }
  return result;
}

std::optional<SettingValue> TrainReader::evaluated(const ast::Node& expression) {
  return converted(evaluate(expression, environment_, reporter_), expression.span);
}

std::optional<SettingValue> TrainReader::converted(const Constant& constant, const Span& span) {
  using Value = SettingValue::Kind;
  if (constant.is_unknown()) return std::nullopt;
  SettingValue result{.text = to_string(constant), .place = place(span)};
  if (const auto* fraction = constant.as<Fraction>()) {
    result.kind = fraction->is_integer() ? Value::integer : Value::fraction;
    result.integer = fraction->numerator;
    result.real = fraction->real();
  } else if (const auto* real = constant.as<double>()) {
    result.kind = Value::real;
    result.real = *real;
  } else if (const auto* boolean = constant.as<bool>()) {
    result.kind = Value::boolean;
    result.boolean = *boolean;
  } else if (const auto* tuple = constant.as<Tuple>()) {
    result.kind = Value::tuple;
    for (const Constant& element : *tuple) {
      const auto part = converted(element, span);
      if (part) result.parts.emplace_back("", *part);
    }
  } else {
    result.text = describe(constant);
  }
  return result;
}

int TrainReader::place(const Span& span) {
  places_.push_back(span);
  return static_cast<int>(places_.size()) - 1;
}

// ---- Data against the model -----------------------------------------------------------------------------------------

/// Labels run from 0 to classes - 1: the output of a classifier must have as many columns.
void check_classes(const DataSet& data, const ast::Node& clause, const Graph& graph, Reporter& reporter) {
  if (graph.labels.empty() || graph.outputs.empty()) return;
  const Shape& output = graph[graph.outputs.front()].shape;
  if (graph[graph.labels.front()].type != DType::i32 || output.rank() < 2 || output[1] >= data.classes) return;
  reporter.error(
      "N303", clause.span,
      fmt::format("{} has {} classes, the output {} only {}", data.name, data.classes, to_string(output), output[1]),
      fmt::format("end the model with linear({})", data.classes));
}

void check_input(const DataSet& data, const ast::Node& clause, const Graph& graph, Reporter& reporter) {
  const std::int64_t resize = graph.recipe.data.resize;
  const std::int64_t pixels = resize > 0 ? resize : data.pixels;
  const Shape image{Shape::batch, data.channels, pixels, pixels};
  const Shape& input = graph[graph.inputs.front()].shape;
  if (input == image) return;
  const bool square = input.rank() == 4 && input[1] == data.channels && input[2] == input[3];
  reporter.warning("W406", clause.span,
                   fmt::format("the data are images {}, the input is {}", to_string(image), to_string(input)),
                   square ? fmt::format("write data = {}(resize = {})", data.name, input[2]) : "");
}

}  // namespace

void apply_train(const ast::Node& clause, const std::vector<TrainOption>& options, const Environment& environment,
                 Graph& graph, Reporter& reporter) {
  TrainReader(environment, graph.recipe, reporter).read(clause, options);
  const DataSet* data = find_data_set(graph.recipe.data.name);
  if (data == nullptr || reporter.has_errors()) return;
  check_classes(*data, clause, graph, reporter);
  check_input(*data, clause, graph, reporter);
}

}  // namespace netc
