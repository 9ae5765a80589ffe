// Parses the values of `--set`, which may be nested: names with arguments, and tuples.
#include "netc/overrides.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <limits>
#include <numeric>
#include <string_view>

#include "netc/error.h"
#include "netc/settings.h"

namespace netc {

namespace {

[[noreturn]] void fail(std::string_view assignment, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("--set {}: {}", assignment, why));
}

/// value = NUMBER | INT "/" INT | "true" | "false" | NAME ["(" [argument {"," argument}] ")"]
///       | "(" [value {"," value}] ")"
class ValueParser {
 public:
  ValueParser(std::string_view assignment, std::string_view text) : assignment_(assignment), text_(text) {}

  SettingValue parse() {
    SettingValue result = value(0);
    if (!next().empty()) expected("the end");
    return result;
  }

 private:
  static constexpr int deepest = 8;

  /// The text from the next token on.
  std::string_view next() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_.front())) != 0) text_.remove_prefix(1);
    return text_;
  }

  bool skip(char token) {
    if (!next().starts_with(token)) return false;
    text_.remove_prefix(1);
    return true;
  }

  [[noreturn]] void expected(const std::string& what) {
    const std::string_view rest = next();
    fail(assignment_, fmt::format("expected {}, found {}", what, rest.empty() ? "the end" : fmt::format("'{}'", rest)));
  }

  /// Letters, digits and what else numbers consist of.
  std::string_view word() {
    std::size_t length = 0;
    const std::string_view rest = next();
    while (length < rest.size() && is_word(rest[length], length > 0 ? rest[length - 1] : ' ')) ++length;
    text_.remove_prefix(length);
    return rest.substr(0, length);
  }

  static bool is_word(char c, char before) {
    const bool sign = c == '-' || c == '+';
    const bool may_have_sign = before == ' ' || before == 'e' || before == 'E';
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || (sign && may_have_sign);
  }

  SettingValue value(int depth) {
    if (depth > deepest) fail(assignment_, "the value nests too deep");
    SettingValue result;
    if (skip('(')) {
      result.kind = SettingValue::Kind::tuple;
      parts(result, depth);
      result.text = fmt::format("of {} values", result.parts.size());
      if (result.parts.size() == 1) return result.parts.front().second;  // brackets around one value are no tuple
      return result;
    }
    const std::string_view text = word();
    if (text.empty()) expected("a value");
    result.text = text;
    if (!number(result)) {
      name(result, depth);
    } else if (result.kind == SettingValue::Kind::integer && skip('/')) {
      divide(result);
    }
    return result;
  }

  static bool number(SettingValue& result) {
    const char* begin = result.text.data();
    const char* end = begin + result.text.size();
    const bool starts = std::isdigit(static_cast<unsigned char>(*begin)) != 0 || *begin == '-' || *begin == '.';
    const auto whole = std::from_chars(begin, end, result.integer);
    const auto real = std::from_chars(begin, end, result.real);
    if (!starts || real.ec != std::errc{} || real.ptr != end) return false;
    const bool is_whole = whole.ec == std::errc{} && whole.ptr == end;
    result.kind = is_whole ? SettingValue::Kind::integer : SettingValue::Kind::real;
    return true;
  }

  /// By the int that follows, in lowest terms, as netc does in a `train` clause.
  void divide(SettingValue& result) {
    const std::string_view rest = next();
    SettingValue divisor{.text = std::string(word())};
    if (!number(divisor) || divisor.kind != SettingValue::Kind::integer) {
      text_ = rest;
      expected("an int behind '/'");
    }
    if (divisor.integer == 0) fail(assignment_, "division by zero");
    constexpr auto least = std::numeric_limits<std::int64_t>::min();  // its opposite does not fit 64 bits
    if (result.integer == least || divisor.integer == least)
      fail(assignment_, "the numbers of the fraction are too large");
    const std::int64_t common = std::gcd(result.integer, divisor.integer) * (divisor.integer < 0 ? -1 : 1);
    const std::int64_t numerator = result.integer / common;
    const std::int64_t denominator = divisor.integer / common;
    const bool is_whole = denominator == 1;
    result.kind = is_whole ? SettingValue::Kind::integer : SettingValue::Kind::fraction;
    result.integer = numerator;
    result.real = static_cast<double>(numerator) / static_cast<double>(denominator);
    result.text = is_whole ? std::to_string(numerator) : fmt::format("{}/{}", numerator, denominator);
  }

  void name(SettingValue& result, int depth) {
    result.boolean = result.text == "true";
    result.kind = result.boolean || result.text == "false" ? SettingValue::Kind::boolean : SettingValue::Kind::name;
    if (skip('(')) parts(result, depth);
  }

  /// Up to the closing bracket.
  void parts(SettingValue& result, int depth) {
    if (skip(')')) return;
    do {
      SettingValue part = value(depth + 1);
      std::string name;
      if (part.kind == SettingValue::Kind::name && part.parts.empty() && skip('=')) {
        name = part.text;
        part = value(depth + 1);
      }
      result.parts.emplace_back(std::move(name), std::move(part));
    } while (skip(','));
    if (!skip(')')) expected("',' or ')'");
  }

  std::string_view assignment_;
  std::string_view text_;
};

std::string text_of(const SettingProblem& problem) {
  return problem.message + (problem.help.empty() ? "" : "; " + problem.help);
}

}  // namespace

void apply_overrides(Recipe& recipe, const std::vector<std::string>& assignments) {
  constexpr std::string_view prefix = "train.";
  RecipeReader reader(recipe);
  for (const std::string_view assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string_view::npos) fail(assignment, "expected train.SETTING=VALUE");
    const std::string_view path = assignment.substr(0, equals);
    const SettingValue value = ValueParser(assignment, assignment.substr(equals + 1)).parse();
    if (!path.starts_with(prefix))
      fail(assignment, "only settings of `train` can be set: expected train.SETTING=VALUE");
    reader.assign(std::string(path.substr(prefix.size())), value);
    if (!reader.problems().empty()) fail(assignment, text_of(reader.problems().front()));
  }
}

void check_recipe(const Recipe& recipe) {
  Recipe copy = recipe;
  RecipeReader reader(copy);
  reader.check();
  if (reader.problems().empty()) return;
  throw Error(ErrorKind::usage, fmt::format("the recipe: {}", text_of(reader.problems().front())));
}

}  // namespace netc
