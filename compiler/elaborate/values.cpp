#include "compiler/elaborate/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/elaborate/expressions.h"

namespace netc {
namespace {

__extension__ using int128 = __int128;

constexpr std::size_t longest_text = 120;

Constant too_large(const Span& span, Reporter& reporter) {
  reporter.error("N205", span, "the number does not fit 64 bits");
  return {};
}

bool fits(int128 value) {
  return value >= std::numeric_limits<std::int64_t>::min() && value <= std::numeric_limits<std::int64_t>::max();
}

int128 greatest_common_divisor(int128 a, int128 b) {
  while (b != 0) {
    const int128 rest = a % b;
    a = b;
    b = rest;
  }
  return a < 0 ? -a : a;
}

/// numerator / denominator in lowest terms.
Constant make_fraction(int128 numerator, int128 denominator, const Span& span, Reporter& reporter) {
  const int128 divisor = greatest_common_divisor(numerator, denominator) * (denominator < 0 ? -1 : 1);
  numerator /= divisor;
  denominator /= divisor;
  if (!fits(numerator) || !fits(denominator)) return too_large(span, reporter);
  return {Fraction{static_cast<std::int64_t>(numerator), static_cast<std::int64_t>(denominator)}};
}

Constant division_by_zero(const Span& span, Reporter& reporter) {
  reporter.error("N112", span, "division by zero");
  return {};
}

/// The remainder has the divisor's sign.
Constant remainder(const Fraction& a, const Fraction& b, const Span& span, Reporter& reporter) {
  if (!a.is_integer() || !b.is_integer()) {
    reporter.error("N111", span, fmt::format("% takes whole numbers, found {} and {}", to_string({a}), to_string({b})));
    return {};
  }
  if (b.numerator == 0) return division_by_zero(span, reporter);
  int128 rest = int128{a.numerator} % b.numerator;
  if (rest != 0 && (rest < 0) != (b.numerator < 0)) rest += b.numerator;
  return make_integer(static_cast<std::int64_t>(rest));
}

/// a^b for a whole b, by repeated squaring. Stops at the first overflow.
Constant whole_power(const Constant& base, std::int64_t exponent, const Span& span, Reporter& reporter) {
  if (exponent < 0) {
    Constant inverse = compute("/", make_integer(1), base, span, reporter);
    if (inverse.is_unknown()) return inverse;
    if (exponent == std::numeric_limits<std::int64_t>::min()) return too_large(span, reporter);
    return whole_power(inverse, -exponent, span, reporter);
  }
  Constant result = make_integer(1);
  for (Constant square = base; exponent > 0 && !result.is_unknown();) {
    if (exponent % 2 == 1) result = compute("*", result, square, span, reporter);
    exponent /= 2;
    if (exponent > 0) square = compute("*", square, square, span, reporter);
  }
  return result;
}

double real_result(char op, double a, double b) {
  switch (op) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '%':
      return a - b * std::floor(a / b);
    default:
      return std::pow(a, b);
  }
}

Constant real_arithmetic(char op, double a, double b, const Span& span, Reporter& reporter) {
  if ((op == '/' || op == '%') && b == 0) return division_by_zero(span, reporter);
  const double result = real_result(op, a, b);
  if (std::isfinite(result)) return {result};
  reporter.error("N205", span, fmt::format("{} {} {} is no finite number", a, op, b));
  return {};
}

Constant fraction_arithmetic(char op, const Fraction& a, const Fraction& b, const Span& span, Reporter& reporter) {
  const int128 an = a.numerator, ad = a.denominator, bn = b.numerator, bd = b.denominator;
  if (op == '%') return remainder(a, b, span, reporter);
  if (op == '*') return make_fraction(an * bn, ad * bd, span, reporter);
  if (op == '/') return bn == 0 ? division_by_zero(span, reporter) : make_fraction(an * bd, ad * bn, span, reporter);
  if (op == '^') {
    if (b.is_integer()) return whole_power({a}, b.numerator, span, reporter);
    return real_arithmetic(op, a.real(), b.real(), span, reporter);
  }
  // Two products of 63 bits each: their sum fits 127.
  return make_fraction(op == '+' ? an * bd + bn * ad : an * bd - bn * ad, ad * bd, span, reporter);
}

double real(const Constant& number) {
  if (const auto* fraction = number.as<Fraction>()) return fraction->real();
  return std::get<double>(number.value);
}

/// -1, 0 or 1 as a is below, equal to or above b; exact for fractions.
int order(const Constant& a, const Constant& b) {
  const auto* x = a.as<Fraction>();
  const auto* y = b.as<Fraction>();
  if (x != nullptr && y != nullptr) {
    const int128 left = int128{x->numerator} * y->denominator;
    const int128 right = int128{y->numerator} * x->denominator;
    return (left > right) - (left < right);
  }
  return (real(a) > real(b)) - (real(a) < real(b));
}

Constant mismatch(std::string_view op, const Constant& a, const Constant& b, const Span& span, Reporter& reporter) {
  reporter.error("N111", span, fmt::format("`{}` does not take {} and {}", op, describe(a), describe(b)));
  return {};
}

std::optional<bool> equal(const Constant& a, const Constant& b);

/// Whether a and b are one operator, declaration or shared layer, with arguments that are written alike.
bool equal(const LayerReference& a, const LayerReference& b) {
  const auto node = [](const LayerReference& layer) {
    return layer.declaration == nullptr ? nullptr : layer.declaration->node;
  };
  const auto same = [](const Argument& x, const Argument& y) {
    return !x.value.is_unknown() && x.name == y.name && equal(x.value, y.value) == true;
  };
  return a.op == b.op && node(a) == node(b) && a.shared == b.shared &&
         std::equal(a.arguments.begin(), a.arguments.end(), b.arguments.begin(), b.arguments.end(), same);
}

/// Whether a and b are equal, or nullopt where their types cannot be compared.
std::optional<bool> equal(const Constant& a, const Constant& b) {
  if (a.is_number() && b.is_number()) return order(a, b) == 0;
  if (a.value.index() != b.value.index()) return std::nullopt;
  if (const auto* layer = a.as<LayerReference>()) return equal(*layer, *b.as<LayerReference>());
  if (const auto* text = a.as<std::string>()) return *text == *b.as<std::string>();
  if (const auto* truth = a.as<bool>()) return *truth == *b.as<bool>();
  const auto& left = std::get<Tuple>(a.value);
  const auto& right = std::get<Tuple>(b.value);
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const std::optional<bool> same = equal(left[i], right[i]);
    if (same != true) return same;
  }
  return true;
}

Constant compare(std::string_view op, const Constant& a, const Constant& b, const Span& span, Reporter& reporter) {
  if (op == "==" || op == "!=") {
    const std::optional<bool> same = equal(a, b);
    return same ? Constant{*same == (op == "==")} : mismatch(op, a, b, span, reporter);
  }
  if (!a.is_number() || !b.is_number()) return mismatch(op, a, b, span, reporter);
  const int sign = order(a, b);
  const bool strict = op[0] == '<' ? sign < 0 : sign > 0;
  return {strict || (op.size() == 2 && sign == 0)};
}

std::string tuple_text(const Tuple& tuple) {
  std::string text = "(";
  for (const Constant& element : tuple) {
    if (text.size() > 1) text += ", ";
    text += to_string(element);
    if (text.size() > longest_text) return text + ", …)";
  }
  return text + ")";
}

void wrong_type(const Constant& constant, const std::string& what, const std::string& type, const Span& span,
                Reporter& reporter) {
  if (constant.is_unknown()) return;
  reporter.error("N111", span, fmt::format("{} must be {}, found {}", what, type, describe(constant)));
}

}  // namespace

bool Constant::is_integer() const {
  const auto* fraction = as<Fraction>();
  return fraction != nullptr && fraction->is_integer();
}

Constant make_integer(std::int64_t value) {
  return {Fraction{value, 1}};
}

std::string type_name(const Constant& constant) {
  if (constant.is_integer()) return "int";
  constexpr const char* names[] = {"unknown", "fraction", "float", "bool", "string", "tuple", "layer"};
  return names[constant.value.index()];
}

std::string shorten(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

std::string to_string(const Constant& constant) {
  if (const auto* tuple = constant.as<Tuple>()) return tuple_text(*tuple);
  if (const auto* text = constant.as<std::string>()) return fmt::format("\"{}\"", shorten(*text, longest_text));
  if (const auto* layer = constant.as<LayerReference>()) return layer->name;
  if (const auto* truth = constant.as<bool>()) return *truth ? "true" : "false";
  if (const auto* number = constant.as<double>()) return fmt::format("{}", *number);
  const auto* fraction = constant.as<Fraction>();
  if (fraction == nullptr) return "?";
  if (fraction->is_integer()) return std::to_string(fraction->numerator);
  return fmt::format("{}/{}", fraction->numerator, fraction->denominator);
}

std::string describe(const Constant& constant) {
  if (constant.as<LayerReference>() != nullptr) return fmt::format("the layer `{}`", to_string(constant));
  return fmt::format("the {} {}", type_name(constant), to_string(constant));
}

std::int64_t weight(const Constant& constant) {
  std::int64_t sum = 1;
  if (const auto* tuple = constant.as<Tuple>()) {
    for (const Constant& element : *tuple) sum += weight(element);
  }
  if (const auto* layer = constant.as<LayerReference>()) {
    for (const Argument& argument : layer->arguments) sum += weight(argument.value);
  }
  return sum;
}

Constant compute(std::string_view op, const Constant& a, const Constant& b, const Span& span, Reporter& reporter) {
  if (a.is_unknown() || b.is_unknown()) return {};
  if (op[0] == '=' || op[0] == '!' || op[0] == '<' || op[0] == '>') return compare(op, a, b, span, reporter);
  if (!a.is_number() || !b.is_number()) return mismatch(op, a, b, span, reporter);
  const auto* x = a.as<Fraction>();
  const auto* y = b.as<Fraction>();
  if (x != nullptr && y != nullptr) return fraction_arithmetic(op[0], *x, *y, span, reporter);
  return real_arithmetic(op[0], real(a), real(b), span, reporter);
}

Constant negate(const Constant& a, const Span& span, Reporter& reporter) {
  if (a.is_number() || a.is_unknown()) return compute("-", make_integer(0), a, span, reporter);
  reporter.error("N111", span, fmt::format("`-` does not take {}", describe(a)));
  return {};
}

Constant floor(const Constant& a, const Span& span, Reporter& reporter) {
  if (const auto* fraction = a.as<Fraction>()) {
    const std::int64_t down = fraction->numerator < 0 && fraction->denominator > 1 ? 1 : 0;
    return make_integer(fraction->numerator / fraction->denominator - down);
  }
  const std::optional<double> number = need_real(a, "the argument of floor", span, reporter);
  if (!number) return {};
  const double below = std::floor(*number);
  if (!(std::abs(below) < 9.2e18)) return too_large(span, reporter);
  return make_integer(static_cast<std::int64_t>(below));
}

std::optional<bool> need_bool(const Constant& constant, const std::string& what, const Span& span, Reporter& reporter) {
  if (const auto* truth = constant.as<bool>()) return *truth;
  wrong_type(constant, what, "true or false", span, reporter);
  return std::nullopt;
}

std::optional<double> need_real(const Constant& constant, const std::string& what, const Span& span,
                                Reporter& reporter) {
  if (constant.is_number()) return real(constant);
  wrong_type(constant, what, "a number", span, reporter);
  return std::nullopt;
}

std::optional<std::int64_t> need_integer(const Constant& constant, const std::string& what, const Span& span,
                                         Reporter& reporter) {
  const auto* fraction = constant.as<Fraction>();
  if (fraction == nullptr) {
    wrong_type(constant, what, "an int", span, reporter);
    return std::nullopt;
  }
  if (!fraction->is_integer()) {
    reporter.error("N204", span, fmt::format("{} = {} is not a whole number", what, to_string(constant)),
                   fmt::format("floor(…) gives {}", to_string(floor(constant, span, reporter))));
    return std::nullopt;
  }
  return fraction->numerator;
}

}  // namespace netc
