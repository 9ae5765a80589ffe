#include "compiler/overrides.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/expressions.h"
#include "dsl/utf8.h"

namespace netc {
namespace {

/// `text` with a question mark for each byte that is not UTF-8 or moves a terminal's cursor.
std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    const bool shown = point.length > 0 && !is_control(point.value) && !is_bidi_control(point.value);
    const std::size_t length = std::max<std::size_t>(point.length, 1);
    result += shown ? text.substr(0, length) : "?";
    text.remove_prefix(length);
  }
  return shorten(result, 200);
}

std::string written(const std::string& path, const std::string& value) {
  return fmt::format("--set {}={}", printable(path), printable(value));
}

/// Ints, fractions and floats may replace each other; other types only themselves.
bool alike(const Constant& a, const Constant& b) {
  if (a.is_integer()) return b.is_integer();
  if (a.is_number()) return b.is_number();
  return a.value.index() == b.value.index();
}

ast::Node* find_child(ast::Node& parent, ast::Kind kind, const std::string& name) {
  const auto found = std::find_if(parent.children.begin(), parent.children.end(),
                                  [&](const ast::Node& node) { return node.kind == kind && node.text == name; });
  return found == parent.children.end() ? nullptr : &*found;
}

/// `value` as the child `name` of `parent`: in place of the one that is there, or behind the others.
void put(ast::Node& parent, ast::Kind kind, const std::string& name, const ast::Node& value) {
  ast::Node* child = find_child(parent, kind, name);
  if (child == nullptr) {
    parent.children.push_back(
        {.kind = kind, .span = value.span, .text = name, .operators = {}, .variables = {}, .children = {}});
    child = &parent.children.back();
  }
  child->span = value.span;
  child->children = {value};
}

/// `sgd` as a call without arguments.
void make_call(ast::Node& expression) {
  if (expression.kind != ast::Kind::name) return;
  ast::Node call{
      .kind = ast::Kind::call, .span = expression.span, .text = "", .operators = {}, .variables = {}, .children = {}};
  call.children.push_back(std::move(expression));
  expression = std::move(call);
}

}  // namespace

Overrides::Overrides(const std::vector<std::pair<std::string, std::string>>& options,
                     std::vector<std::unique_ptr<Source>>& sources, Reporter& reporter)
    : reporter_(reporter) {
  for (const auto& [path, text] : options) {
    options_.push_back({.path = path, .text = text, .value = {}});
    parse(options_.back(), sources);
  }
}

void Overrides::parse(Option& option, std::vector<std::unique_ptr<Source>>& sources) {
  sources.push_back(std::make_unique<Source>("--set " + option.path, option.text));
  reporter_.add_option(*sources.back(), written(option.path, option.text));
  Diagnostics syntax;
  option.value = parse_expression(*sources.back(), syntax);
  option.valid = !syntax.has_errors();
}

void Overrides::error(const std::string& code, const Option& option, const std::string& message,
                      const std::string& help) {
  reporter_.error(code, {}, fmt::format("{}: {}", written(option.path, option.text), message), help);
}

Constant Overrides::let(const std::string& name, const Constant& original, const Environment& environment) {
  known_.push_back(name);
  Constant result = original;
  for (Option& option : options_) {
    if (option.path != name) continue;
    option.used = true;
    if (original.as<std::string>() != nullptr && (!option.valid || option.value.kind == ast::Kind::name)) {
      result = {option.text};  // quotes may be left out, shells take them away
      continue;
    }
    if (!option.valid) {
      error("N135", option, "this is no value", "write a value such as 4, 0.5, true, relu or \"(1, 2)\"");
      continue;
    }
    result = evaluate(option.value, environment, reporter_);
    if (result.is_unknown() || original.is_unknown() || alike(original, result)) continue;
    error("N135", option,
          fmt::format("`{}` is {} in the model, {} does not fit", name, describe(original), describe(result)), "");
    result = {};
  }
  return result;
}

ast::Node Overrides::train(const ast::Node& clause) {
  ast::Node result = clause;
  for (const ast::Node& setting : clause.children) {
    known_.push_back("train." + setting.text);
    for (const ast::Node& argument : setting.children.front().children) {
      if (argument.kind == ast::Kind::argument && !argument.text.empty()) {
        known_.push_back(fmt::format("train.{}.{}", setting.text, argument.text));
      }
    }
  }
  for (Option& option : options_) {
    if (option.path.starts_with("train.")) set(result, option);
  }
  return result;
}

/// train.epochs replaces a setting, train.optimizer.lr an argument of one.
void Overrides::set(ast::Node& clause, Option& option) {
  option.used = true;
  if (!option.valid) return error("N135", option, "this is no value", "write a value such as 4 or 0.5");
  const std::string path = option.path.substr(std::string("train.").size());
  const std::size_t dot = path.find('.');
  if (dot == std::string::npos) return put(clause, ast::Kind::setting, path, option.value);
  ast::Node* setting = find_child(clause, ast::Kind::setting, path.substr(0, dot));
  if (setting == nullptr) {
    return error("N135", option, fmt::format("the `train` clause has no `{}`", printable(path.substr(0, dot))),
                 did_you_mean(option.path, known_));
  }
  make_call(setting->children.front());
  put(setting->children.front(), ast::Kind::argument, path.substr(dot + 1), option.value);
}

void Overrides::report_unused() {
  for (const Option& option : options_) {
    if (option.used) continue;
    const std::string what = option.path.starts_with("train.")
                                 ? "the model has no `train` clause"
                                 : fmt::format("the model has no `let {}`", printable(option.path));
    std::string help = did_you_mean(option.path, known_);
    if (help.empty() && !known_.empty()) help = fmt::format("these can be set: {}", fmt::join(known_, ", "));
    error("N135", option, what, help);
  }
}

}  // namespace netc
