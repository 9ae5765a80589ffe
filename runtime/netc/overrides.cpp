// The settings of a recipe by name.
#include "netc/overrides.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>
#include <variant>
#include <vector>

#include "netc/error.h"
#include "netc/suggest.h"

namespace netc {

namespace {

using Target = std::variant<int*, std::uint64_t*, double*, bool*>;

struct Setting {
  std::string path;
  Target target;
};

std::vector<Setting> settings_of(Recipe& recipe) {
  OptimizerRecipe& optimizer = recipe.optimizer;
  return {{"train.batch", &recipe.batch},
          {"train.epochs", &recipe.epochs},
          {"train.seed", &recipe.seed},
          {"train.lr", &optimizer.lr},
          {"train.momentum", &optimizer.momentum},
          {"train.weight_decay", &optimizer.weight_decay},
          {"train.nesterov", &optimizer.nesterov}};
}

[[noreturn]] void fail(std::string_view assignment, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("--set {}: {}", assignment, why));
}

template <class Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

bool parse(std::string_view text, bool& value) {
  value = text == "true";
  return value || text == "false";
}

const char* type_name(const Target& target) {
  static constexpr const char* names[] = {"a whole number", "a whole number, 0 or more,", "a number", "true or false"};
  return names[target.index()];
}

}  // namespace

void apply_override(Recipe& recipe, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) fail(assignment, "expected train.SETTING=VALUE");
  const std::string_view path = assignment.substr(0, equals);
  const std::string_view text = assignment.substr(equals + 1);
  std::vector<std::string> paths;
  for (const Setting& setting : settings_of(recipe)) {
    paths.push_back(setting.path);
    if (setting.path != path) continue;
    const bool parsed = std::visit([&](auto* value) { return parse(text, *value); }, setting.target);
    if (!parsed) fail(assignment, fmt::format("expected {}, found '{}'", type_name(setting.target), text));
    return check_recipe(recipe);
  }
  fail(assignment, fmt::format("no setting '{}'{}", path, did_you_mean(path, paths)));
}

void check_recipe(const Recipe& recipe) {
  const auto require = [](bool right, const char* rule) {
    if (!right) throw Error(ErrorKind::usage, fmt::format("the recipe needs {}", rule));
  };
  const auto not_negative = [](double value) { return std::isfinite(value) && value >= 0; };
  require(recipe.batch >= 1, "a batch of 1 or more");
  require(recipe.epochs >= 1, "1 or more epochs");
  require(not_negative(recipe.optimizer.lr), "an lr of 0 or more");
  require(not_negative(recipe.optimizer.momentum), "a momentum of 0 or more");
  require(not_negative(recipe.optimizer.weight_decay), "a weight_decay of 0 or more");
}

}  // namespace netc
