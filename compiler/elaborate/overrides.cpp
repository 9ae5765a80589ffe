#include "compiler/elaborate/overrides.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/elaborate/expressions.h"
#include "dsl/utf8.h"
#include "netc/settings.h"

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

std::vector<TrainOption> Overrides::train() {
  const std::string prefix = "train.";
  for (const Setting& setting : train_settings()) known_.push_back(prefix + setting.name);
  std::vector<TrainOption> result;
  for (Option& option : options_) {
    if (!option.path.starts_with(prefix)) continue;
    option.used = true;
    if (option.valid) {
      result.push_back({option.path.substr(prefix.size()), option.value});
    } else {
      error("N135", option, "this is no value", "write a value such as 4, 0.5 or \"adam(lr = 0.001)\"");
    }
  }
  return result;
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
