// Compile-time values of the language, and arithmetic on them: what `let`, arguments, conditions and `repeat` work
// with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "compiler/elaborate/report.h"
#include "dsl/source.h"

namespace netc {

struct Argument;
struct Declaration;
struct Operator;
struct SharedLayer;

/// A whole number or an exact fraction, in lowest terms; the denominator is positive.
struct Fraction {
  std::int64_t numerator = 0;
  std::int64_t denominator = 1;

  bool is_integer() const { return denominator == 1; }
  double real() const { return static_cast<double>(numerator) / static_cast<double>(denominator); }
  bool operator==(const Fraction&) const = default;
};

/// A layer as a value, `act = relu` or `act = dropout(0.2)`: an operator, a block or a shared layer, and its arguments.
struct LayerReference {
  std::string name;
  const Operator* op = nullptr;
  const Declaration* declaration = nullptr;
  SharedLayer* shared = nullptr;
  std::vector<Argument> arguments;
  bool given = false;  // an argument of the block that is being unrolled: its caller's block, if it is one
};

struct Constant;
using Tuple = std::vector<Constant>;

/// One compile-time value. After an error it is unknown: so is what is computed from it, and nothing more is said.
struct Constant {
  std::variant<std::monostate, Fraction, double, bool, std::string, Tuple, LayerReference> value;

  bool is_unknown() const { return std::holds_alternative<std::monostate>(value); }
  bool is_number() const { return std::holds_alternative<Fraction>(value) || std::holds_alternative<double>(value); }
  bool is_integer() const;
  template <class T>
  const T* as() const {
    return std::get_if<T>(&value);
  }
};

/// One argument of a call; `name` is empty for a positional one.
struct Argument {
  std::string name;
  Constant value;
  Span span;
};

Constant make_integer(std::int64_t value);

/// "int", "fraction", "float", "bool", "string", "tuple", "layer"
std::string type_name(const Constant& constant);

/// At most `bytes` of `text`, without half a character.
std::string shorten(const std::string& text, std::size_t bytes);

/// As one would write it: "64", "1/2", "(96, 128)"; long ones are cut.
std::string to_string(const Constant& constant);

/// "the int 64", for messages.
std::string describe(const Constant& constant);

/// How many numbers, strings and so on a value holds; bounds what tuples of tuples, and layers of layers, may grow to.
std::int64_t weight(const Constant& constant);
constexpr std::int64_t max_weight = 10000;

/// `a op b` for + - * / % ^ == != < <= > >=. Errors (types, division by zero, overflow) are reported at `span`.
Constant compute(std::string_view op, const Constant& a, const Constant& b, const Span& span, Reporter& reporter);
Constant negate(const Constant& a, const Span& span, Reporter& reporter);
/// The largest whole number that is not above `a`.
Constant floor(const Constant& a, const Span& span, Reporter& reporter);

// What a place needs; `what` names it in the message ("conv: channels"). Nothing is said about unknown values.
std::optional<bool> need_bool(const Constant& constant, const std::string& what, const Span& span, Reporter& reporter);
std::optional<double> need_real(const Constant& constant, const std::string& what, const Span& span,
                                Reporter& reporter);
/// A whole number: N204 for a fraction.
std::optional<std::int64_t> need_integer(const Constant& constant, const std::string& what, const Span& span,
                                         Reporter& reporter);

}  // namespace netc
