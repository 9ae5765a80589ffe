// `train`: the settings of a recipe, and whether the data fit the model.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "compiler/arguments.h"
#include "compiler/clauses.h"

namespace netc {
namespace {

using ast::Kind;

constexpr std::int64_t largest_int = std::numeric_limits<int>::max();

/// What netc can read: gray images of `pixels` by `pixels`.
struct DataSet {
  const char* name;
  std::int64_t channels;
  std::int64_t pixels;
  std::int64_t classes;
};

constexpr DataSet data_sets[] = {{"fashion_mnist", 1, 28, 10}};

const DataSet* find_data(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(data_sets), std::end(data_sets), [&](const DataSet& data) { return name == data.name; });
  return found == std::end(data_sets) ? nullptr : found;
}

/// A setting such as `sgd(lr = 0.1)`: a name and its arguments.
struct Choice {
  std::string name;
  Span span;
  Bindings arguments;
};

/// Reads the settings of one clause into a recipe.
class TrainReader {
 public:
  TrainReader(const Environment& environment, Recipe& recipe, Reporter& reporter)
      : environment_(environment), recipe_(recipe), reporter_(reporter) {}

  void read(const ast::Node& clause);

 private:
  void setting(const ast::Node& node);
  void data(const ast::Node& expression);
  void optimizer(const ast::Node& expression);
  std::optional<std::string> choice_name(const ast::Node& expression, const char* what,
                                         const std::vector<std::string>& known);
  std::optional<Choice> choice(const ast::Node& expression, const char* what, const std::vector<std::string>& known,
                               const std::vector<Formal>& formals);
  void integer(const Constant& value, const std::string& what, const Span& span, std::int64_t least, int& target);
  void real(const Choice& choice, const std::string& name, double& target);
  void seed(const ast::Node& expression);

  const Environment& environment_;
  Recipe& recipe_;
  Reporter& reporter_;
};

void TrainReader::read(const ast::Node& clause) {
  std::set<std::string> seen;
  for (const ast::Node& node : clause.children) {
    if (seen.insert(node.text).second) {
      setting(node);
    } else {
      reporter_.error("N304", node.span, fmt::format("the setting `{}` is given twice", node.text));
    }
  }
}

void TrainReader::setting(const ast::Node& node) {
  const ast::Node& expression = node.children.front();
  if (node.text == "data") return data(expression);
  if (node.text == "optimizer") return optimizer(expression);
  if (node.text == "seed") return seed(expression);
  const auto number = [&](int& target) {
    integer(evaluate(expression, environment_, reporter_), node.text, expression.span, 1, target);
  };
  if (node.text == "batch") return number(recipe_.batch);
  if (node.text == "epochs") return number(recipe_.epochs);
  const std::string help = did_you_mean(node.text, {"data", "batch", "epochs", "optimizer", "seed"});
  reporter_.error("N304", node.span, fmt::format("`train` has no setting `{}`", node.text),
                  help.empty() ? "the settings are data, batch, epochs, optimizer and seed" : help);
}

/// The name in `name` or `name(…)`, if it is one of those that are known.
std::optional<std::string> TrainReader::choice_name(const ast::Node& expression, const char* what,
                                                    const std::vector<std::string>& known) {
  const ast::Node& name = expression.kind == Kind::call ? expression.children.front() : expression;
  if (name.kind != Kind::name) {
    reporter_.error("N304", expression.span, fmt::format("`{}` takes a name such as `{}`", what, known.front()));
    return std::nullopt;
  }
  if (std::find(known.begin(), known.end(), name.text) != known.end()) return name.text;
  const std::string help = did_you_mean(name.text, known);
  reporter_.error("N304", name.span, fmt::format("`{}` is no {} that netc knows", name.text, what),
                  help.empty() ? fmt::format("it knows {}", fmt::join(known, ", ")) : help);
  return std::nullopt;
}

std::optional<Choice> TrainReader::choice(const ast::Node& expression, const char* what,
                                          const std::vector<std::string>& known, const std::vector<Formal>& formals) {
  const auto name = choice_name(expression, what, known);
  if (!name) return std::nullopt;
  std::vector<Argument> arguments;
  if (expression.kind == Kind::call) arguments = evaluate_arguments(expression, 1, environment_, reporter_);
  const auto bound = bind_arguments(*name, formals, arguments, expression.span, reporter_);
  if (!bound) return std::nullopt;
  return Choice{*name, expression.span, *bound};
}

void TrainReader::data(const ast::Node& expression) {
  std::vector<std::string> known;
  for (const DataSet& set : data_sets) known.emplace_back(set.name);
  const auto chosen = choice(expression, "data", known, {{"resize", false}});
  if (!chosen) return;
  recipe_.data.name = chosen->name;
  const auto resize = chosen->arguments.find("resize");
  if (resize == chosen->arguments.end()) return;
  integer(resize->second.value, chosen->name + ": resize", resize->second.span, 1, recipe_.data.resize);
}

void TrainReader::optimizer(const ast::Node& expression) {
  const std::vector<Formal> formals{{"lr", false}, {"momentum", false}, {"weight_decay", false}, {"nesterov", false}};
  const auto chosen = choice(expression, "optimizer", {"sgd"}, formals);
  if (!chosen) return;
  OptimizerRecipe& recipe = recipe_.optimizer;
  recipe.name = chosen->name;
  real(*chosen, "lr", recipe.lr);
  real(*chosen, "momentum", recipe.momentum);
  real(*chosen, "weight_decay", recipe.weight_decay);
  const auto nesterov = chosen->arguments.find("nesterov");
  if (nesterov == chosen->arguments.end()) return;
  recipe.nesterov =
      need_bool(nesterov->second.value, "sgd: nesterov", nesterov->second.span, reporter_).value_or(false);
  if (recipe.nesterov && recipe.momentum == 0) {
    reporter_.error("N304", nesterov->second.span, "nesterov needs a momentum",
                    "write sgd(…, momentum = 0.9, nesterov = true)");
  }
}

void TrainReader::seed(const ast::Node& expression) {
  const auto value = need_integer(evaluate(expression, environment_, reporter_), "seed", expression.span, reporter_);
  if (!value) return;
  if (*value < 0) reporter_.error("N115", expression.span, fmt::format("seed must be at least 0, found {}", *value));
  recipe_.seed = static_cast<std::uint64_t>(*value);
}

void TrainReader::integer(const Constant& value, const std::string& what, const Span& span, std::int64_t least,
                          int& target) {
  const auto number = need_integer(value, what, span, reporter_);
  if (!number) return;
  if (*number < least || *number > largest_int) {
    reporter_.error("N115", span, fmt::format("{} must be from {} to {}, found {}", what, least, largest_int, *number));
    return;
  }
  target = static_cast<int>(*number);
}

/// A number of at least 0, if it is given.
void TrainReader::real(const Choice& choice, const std::string& name, double& target) {
  const auto given = choice.arguments.find(name);
  if (given == choice.arguments.end()) return;
  const std::string what = fmt::format("{}: {}", choice.name, name);
  const auto number = need_real(given->second.value, what, given->second.span, reporter_);
  if (!number) return;
  if (*number < 0)
    reporter_.error("N115", given->second.span, fmt::format("{} must be at least 0, found {}", what, *number));
  target = *number;
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

void apply_train(const ast::Node& clause, const Environment& environment, Graph& graph, Reporter& reporter) {
  graph.has_recipe = true;
  TrainReader(environment, graph.recipe, reporter).read(clause);
  const DataSet* data = find_data(graph.recipe.data.name);
  if (data == nullptr || reporter.has_errors()) return;
  check_classes(*data, clause, graph, reporter);
  check_input(*data, clause, graph, reporter);
}

}  // namespace netc
