#include "compiler/formula/functions.h"

#include <Halide.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace netc {

namespace {

using Halide::Expr;
using Exprs = std::vector<Expr>;
using Formulas = std::vector<Formula>;
using Type = Function::Type;

Formula call(std::string_view function, const Formula& x) {
  return apply(function, {x});
}

Expr constant(const Expr& like, double value) {
  return Halide::Internal::make_const(like.type(), value);
}

Formulas zeros(const Formulas& x) {
  return Formulas(x.size(), Formula(0));
}

/// 1 where a holds, 1/2 where both are equal, else 0: how minima and maxima share a gradient, as in PyTorch.
Formula share(const Formula& wins, const Formula& a, const Formula& b) {
  return select(wins, 1, select(apply("==", {a, b}), 0.5, 0));
}

// ---- Numerics that need care ----------------------------------------------------------------------------------------

/// 2^t for |t| <= 126 in single precision, off by 1e-7 of itself: the whole part of t is an exponent, and a polynomial
/// with the least relative error stands for the rest, in [-1/2, 1/2].
Expr power_of_two(const Expr& t) {
  // Of the highest power first.
  constexpr std::array coefficients{0.00132764719795, 0.00967554133422, 0.0555071327354,
                                    0.240221197238,   0.693146967065,   1.00000007165};
  const Expr whole = Halide::round(t);
  const Expr rest = t - whole;
  Expr polynomial = constant(t, 0);
  for (double c : coefficients) polynomial = polynomial * rest + constant(t, c);
  return polynomial * Halide::reinterpret<float>((Halide::cast<int>(whole) + 127) << 23);
}

/// exp overflows to infinity for large negative x, and 1 / infinity is the limit.
///
/// Choice: in single precision an exponential without cases for what is no finite result. Alternative: Halide's exp;
/// LeNet's first convolution with its sigmoids, 256 images, 2 threads: 0.45 instead of 0.54 ms (2026-11).
Expr sigmoid(const Expr& x) {
  const Expr one = constant(x, 1);
  if (x.type().bits() != 32) return one / (one + exp(-x));
  constexpr double far = 87;  // e^-87 is the least power that is a normal number
  const Expr bounded = clamp(x, constant(x, -far), constant(x, far));
  return one / (one + power_of_two(bounded * constant(x, -std::numbers::log2e)));
}

/// Near 0 the quotient cancels: there the odd polynomial up to x^7 is exact to single precision.
Expr hyperbolic_tangent(const Expr& x) {
  const auto c = [&](double value) { return constant(x, value); };
  if (x.type().bits() == 64) return Halide::tanh(x);
  const Expr e = exp(c(-2) * abs(x));
  const Expr far = (c(1) - e) / (c(1) + e);
  const Expr x2 = x * x;
  const Expr near = x * (c(1) + x2 * (c(-1.0 / 3) + x2 * (c(2.0 / 15) + x2 * c(-17.0 / 315))));
  return Halide::select(abs(x) < c(0.1), near, Halide::select(x < c(0), -far, far));
}

Expr in_double(const char* name, const Expr& x) {
  return Halide::Internal::Call::make(x.type(), name, {x}, Halide::Internal::Call::PureExtern);
}

/// log(1 + x): the sum would lose what is small beside 1. Near 0 it is 2 artanh(s), s = x / (2 + x), up to s^9.
Expr log1p(const Expr& x) {
  if (x.type().bits() == 64) return in_double("log1p", x);
  const auto c = [&](double value) { return constant(x, value); };
  constexpr double small = 0.25;
  const Expr near = clamp(x, c(-small), c(small));
  const Expr s = near / (c(2) + near);
  const Expr s2 = s * s;
  const Expr series = c(2) * s * (c(1) + s2 * (c(1.0 / 3) + s2 * (c(1.0 / 5) + s2 * (c(1.0 / 7) + s2 * c(1.0 / 9)))));
  return Halide::select(abs(x) < c(small), series, Halide::log(c(1) + x));
}

/// exp(x) - 1: near 0 the difference would cancel, and the series up to x^9 is exact to single precision.
Expr expm1(const Expr& x) {
  if (x.type().bits() == 64) return in_double("expm1", x);
  const auto c = [&](double value) { return constant(x, value); };
  constexpr double small = 0.5;
  const Expr near = clamp(x, c(-small), c(small));
  Expr series = c(1);
  for (int k = 9; k >= 2; --k) series = c(1) + near * series * c(1.0 / k);
  return Halide::select(abs(x) < c(small), near * series, exp(x) - c(1));
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which cannot overflow.
Expr softplus(const Expr& x) {
  return max(x, constant(x, 0)) + log1p(exp(-abs(x)));
}

/// Halide has it in single precision.
Expr error_function(const Expr& x) {
  return x.type().bits() == 32 ? Halide::erf(x) : in_double("erf", x);
}

/// Whole exponents by multiplication, which also takes negative bases.
Expr power(const Expr& x, const Expr& p) {
  const auto exponent = Halide::Internal::as_const_float(p);
  if (!exponent || *exponent != std::floor(*exponent) || std::abs(*exponent) > 64) return Halide::pow(x, p);
  Expr product = constant(x, 1);
  for (int i = 0; i < std::abs(static_cast<int>(*exponent)); ++i) product = i == 0 ? x : product * x;
  return *exponent < 0 ? constant(x, 1) / product : product;
}

/// At 0, roots and other exponents below 1 have no finite slope: there 0 is taken, so that a norm of zeros trains. With
/// the exponent, 0 does not change.
Formulas power_partials(const Formulas& x) {
  const Formula slope = x[1] * apply("^", {x[0], x[1] - 1});
  const bool steep = x[1].is_number() && x[1]->number < 1;
  const Formula by_base = steep ? select(apply("==", {x[0], 0}), 0, slope) : slope;
  if (x[1].is_number()) return {by_base, 0};
  const Formula by_exponent = apply("^", {x[0], x[1]}) * call("log", x[0]);
  return {by_base, select(apply("==", {x[0], 0}), 0, by_exponent)};
}

// ---- The table ------------------------------------------------------------------------------------------------------

Function elementary(std::string_view name, double (*value)(const double*), Formulas (*partials)(const Formulas&),
                    Expr (*lower)(const Exprs&)) {
  return {.name = name, .value = value, .partials = partials, .lower = lower};
}

Function infix(std::string_view symbol, int precedence, double (*value)(const double*),
               Formulas (*partials)(const Formulas&), Expr (*lower)(const Exprs&)) {
  Function f = elementary(symbol, value, partials, lower);
  f.operands = 2;
  f.infix = symbol;
  f.precedence = precedence;
  f.in_language = false;  // written as an operator
  return f;
}

Function comparison(std::string_view symbol, double (*value)(const double*), Expr (*lower)(const Exprs&)) {
  Function f = infix(symbol, 3, value, zeros, lower);
  f.type = Type::comparison;
  return f;
}

Function logic(std::string_view symbol, int precedence, double (*value)(const double*), Expr (*lower)(const Exprs&)) {
  Function f = infix(symbol, precedence, value, zeros, lower);
  f.type = Type::logic;
  return f;
}

Function of(Function f, int operands, bool in_language = true) {
  f.operands = operands;
  f.in_language = in_language;
  return f;
}

std::vector<Function> arithmetic() {
  return {
      infix(
          "+", 4, [](const double* x) { return x[0] + x[1]; },
          [](const Formulas&) {
            return Formulas{1, 1};
          },
          [](const Exprs& x) { return x[0] + x[1]; }),
      infix(
          "-", 4, [](const double* x) { return x[0] - x[1]; },
          [](const Formulas&) {
            return Formulas{1, -1};
          },
          [](const Exprs& x) { return x[0] - x[1]; }),
      infix(
          "*", 5, [](const double* x) { return x[0] * x[1]; },
          [](const Formulas& x) {
            return Formulas{x[1], x[0]};
          },
          [](const Exprs& x) { return x[0] * x[1]; }),
      infix(
          "/", 5, [](const double* x) { return x[0] / x[1]; },
          [](const Formulas& x) {
            return Formulas{1 / x[1], -(x[0] / (x[1] * x[1]))};
          },
          [](const Exprs& x) { return x[0] / x[1]; }),
      infix(
          "^", 7, [](const double* x) { return std::pow(x[0], x[1]); }, power_partials,
          [](const Exprs& x) { return power(x[0], x[1]); }),
      of(elementary(
             "negate", [](const double* x) { return -x[0]; }, [](const Formulas&) { return Formulas{-1}; },
             [](const Exprs& x) { return -x[0]; }),
         1, false),
      // Of whole numbers, rounding down.
      of(elementary(
             "divide", [](const double* x) { return std::floor(x[0] / x[1]); }, nullptr,
             [](const Exprs& x) { return x[0] / x[1]; }),
         2, false),
      of(elementary(
             "modulo", [](const double* x) { return x[0] - x[1] * std::floor(x[0] / x[1]); }, nullptr,
             [](const Exprs& x) { return x[0] % x[1]; }),
         2, false),
  };
}

std::vector<Function> comparisons() {
  return {
      comparison(
          "<", [](const double* x) { return double(x[0] < x[1]); }, [](const Exprs& x) { return x[0] < x[1]; }),
      comparison(
          "<=", [](const double* x) { return double(x[0] <= x[1]); }, [](const Exprs& x) { return x[0] <= x[1]; }),
      comparison(
          ">", [](const double* x) { return double(x[0] > x[1]); }, [](const Exprs& x) { return x[0] > x[1]; }),
      comparison(
          ">=", [](const double* x) { return double(x[0] >= x[1]); }, [](const Exprs& x) { return x[0] >= x[1]; }),
      comparison(
          "==", [](const double* x) { return double(x[0] == x[1]); }, [](const Exprs& x) { return x[0] == x[1]; }),
      comparison(
          "!=", [](const double* x) { return double(x[0] != x[1]); }, [](const Exprs& x) { return x[0] != x[1]; }),
      logic(
          "&&", 2, [](const double* x) { return double(x[0] != 0 && x[1] != 0); },
          [](const Exprs& x) { return x[0] && x[1]; }),
      logic(
          "||", 1, [](const double* x) { return double(x[0] != 0 || x[1] != 0); },
          [](const Exprs& x) { return x[0] || x[1]; }),
      of(logic(
             "!", 0, [](const double* x) { return double(x[0] == 0); }, [](const Exprs& x) { return !x[0]; }),
         1, false),
  };
}

std::vector<Function> elementary_functions() {
  return {
      elementary(
          "exp", [](const double* x) { return std::exp(x[0]); },
          [](const Formulas& x) { return Formulas{call("exp", x[0])}; }, [](const Exprs& x) { return exp(x[0]); }),
      elementary(
          "log", [](const double* x) { return std::log(x[0]); }, [](const Formulas& x) { return Formulas{1 / x[0]}; },
          [](const Exprs& x) { return log(x[0]); }),
      of(elementary(
             "expm1", [](const double* x) { return std::expm1(x[0]); },
             [](const Formulas& x) { return Formulas{call("exp", x[0])}; }, [](const Exprs& x) { return expm1(x[0]); }),
         1, false),
      of(elementary(
             "log1p", [](const double* x) { return std::log1p(x[0]); },
             [](const Formulas& x) { return Formulas{1 / (1 + x[0])}; }, [](const Exprs& x) { return log1p(x[0]); }),
         1, false),
      elementary(
          "sqrt", [](const double* x) { return std::sqrt(x[0]); },
          [](const Formulas& x) {
            return Formulas{select(apply("==", {x[0], 0}), 0, 0.5 / call("sqrt", x[0]))};
          },
          [](const Exprs& x) { return sqrt(x[0]); }),
      elementary(
          "abs", [](const double* x) { return std::abs(x[0]); },
          [](const Formulas& x) { return Formulas{call("sign", x[0])}; }, [](const Exprs& x) { return abs(x[0]); }),
      elementary(
          "sin", [](const double* x) { return std::sin(x[0]); },
          [](const Formulas& x) { return Formulas{call("cos", x[0])}; }, [](const Exprs& x) { return sin(x[0]); }),
      elementary(
          "cos", [](const double* x) { return std::cos(x[0]); },
          [](const Formulas& x) { return Formulas{-call("sin", x[0])}; }, [](const Exprs& x) { return cos(x[0]); }),
      elementary(
          "erf", [](const double* x) { return std::erf(x[0]); },
          [](const Formulas& x) { return Formulas{2 / std::sqrt(M_PI) * call("exp", -(x[0] * x[0]))}; },
          [](const Exprs& x) { return error_function(x[0]); }),
      elementary(
          "tanh", [](const double* x) { return std::tanh(x[0]); },
          [](const Formulas& x) {
            const Formula y = call("tanh", x[0]);
            return Formulas{1 - y * y};
          },
          [](const Exprs& x) { return hyperbolic_tangent(x[0]); }),
      elementary(
          "sigmoid", [](const double* x) { return 1 / (1 + std::exp(-x[0])); },
          [](const Formulas& x) {
            const Formula y = call("sigmoid", x[0]);
            return Formulas{y * (1 - y)};
          },
          [](const Exprs& x) { return sigmoid(x[0]); }),
      elementary(
          "softplus", [](const double* x) { return std::max(x[0], 0.0) + std::log1p(std::exp(-std::abs(x[0]))); },
          [](const Formulas& x) { return Formulas{call("sigmoid", x[0])}; },
          [](const Exprs& x) { return softplus(x[0]); }),
      elementary(
          "relu", [](const double* x) { return std::max(x[0], 0.0); },
          [](const Formulas& x) {
            return Formulas{select(apply(">", {x[0], 0}), 1, 0)};
          },
          [](const Exprs& x) { return max(x[0], constant(x[0], 0)); }),
  };
}

std::vector<Function> choices() {
  return {
      of(elementary(
             "min", [](const double* x) { return std::min(x[0], x[1]); },
             [](const Formulas& x) {
               const Formula less = apply("<", {x[0], x[1]});
               return Formulas{share(less, x[0], x[1]), share(apply("<", {x[1], x[0]}), x[0], x[1])};
             },
             [](const Exprs& x) { return min(x[0], x[1]); }),
         2),
      of(elementary(
             "max", [](const double* x) { return std::max(x[0], x[1]); },
             [](const Formulas& x) {
               const Formula more = apply(">", {x[0], x[1]});
               return Formulas{share(more, x[0], x[1]), share(apply(">", {x[1], x[0]}), x[0], x[1])};
             },
             [](const Exprs& x) { return max(x[0], x[1]); }),
         2),
      // Of a condition and two values; what a branch that is not taken computes never matters.
      of(elementary(
             "select", [](const double* x) { return x[0] != 0 ? x[1] : x[2]; },
             [](const Formulas& x) {
               return Formulas{0, select(x[0], 1, 0), select(x[0], 0, 1)};
             },
             [](const Exprs& x) { return Halide::select(x[0], x[1], x[2]); }),
         3, false),
      // Its operand, held constant: no gradient flows through it.
      elementary(
          "detach", [](const double* x) { return x[0]; }, zeros, [](const Exprs& x) { return x[0]; }),
      elementary(
          "sign", [](const double* x) { return double(x[0] > 0) - double(x[0] < 0); }, nullptr,
          [](const Exprs& x) {
            const Expr zero = constant(x[0], 0);
            return Halide::select(x[0] > zero, constant(x[0], 1), x[0] < zero, constant(x[0], -1), zero);
          }),
      elementary(
          "floor", [](const double* x) { return std::floor(x[0]); }, nullptr,
          [](const Exprs& x) { return floor(x[0]); }),
      elementary(
          "round", [](const double* x) { return std::nearbyint(x[0]); }, nullptr,
          [](const Exprs& x) { return round(x[0]); }),
  };
}

}  // namespace

const std::vector<Function>& functions() {
  static const std::vector<Function> all = [] {
    std::vector<Function> list;
    for (const auto& part : {arithmetic(), comparisons(), elementary_functions(), choices()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

const Function* find_function(std::string_view name) {
  const auto found =
      std::find_if(functions().begin(), functions().end(), [&](const Function& f) { return f.name == name; });
  return found == functions().end() ? nullptr : &*found;
}

}  // namespace netc
