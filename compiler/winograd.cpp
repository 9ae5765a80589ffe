#include "compiler/winograd.h"

#include <cmath>

namespace netc {

using Halide::Expr;

namespace {

/// Choice: for 4 and 5 points, of all in eighths up to 2, those whose transforms lose least in single precision (pairs
/// of either sign share sums); for 6 and 7 nothing in quarters was better than the plain ones. Alternative: 0, 1, -1,
/// 2, -2, whose transforms multiply less and lose twice as much: relative to the norm, with sums held exact, F(4,
/// 3) 5.1e-7 against 2.6e-7, F(3, 3) 2.8e-7 against 2.2e-7. (2026-11)
std::vector<double> finite_points(int count) {
  if (count <= 3) return {0, 1, -1};
  if (count == 4) return {0, 0.75, -0.75, 2};
  if (count == 5) return {0, 0.625, -0.625, 1.5, -1.5};
  return {0, 1, -1, 2, -2, 0.5, -0.5};
}

/// The coefficients of the polynomial with these roots, but for the one numbered `without`.
std::vector<double> polynomial(const std::vector<double>& roots, int without) {
  std::vector<double> coefficients{1};
  for (int i = 0; i < static_cast<int>(roots.size()); ++i) {
    if (i == without) continue;
    std::vector<double> next(coefficients.size() + 1, 0);
    for (std::size_t k = 0; k < coefficients.size(); ++k) {
      next[k + 1] += coefficients[k];
      next[k] -= roots[static_cast<std::size_t>(i)] * coefficients[k];
    }
    coefficients = next;
  }
  return coefficients;
}

/// The product of the differences between a point and the other ones.
double scale(const std::vector<double>& points, double of) {
  double product = 1;
  for (double point : points) product *= point == of ? 1 : of - point;
  return product;
}

Expr scaled(double factor, const Expr& value) {
  if (factor == 1) return value;
  if (factor == -1) return -value;
  return value * Halide::Internal::make_const(value.type(), factor);
}

Expr sum(const Expr& a, const Expr& b) {
  return a.defined() ? (b.defined() ? a + b : a) : b;
}

/// The even or the odd elements of a row; `sign` makes the last coefficient positive.
struct Half {
  Expr sum;
  double sign = 1;
};

Half half(const std::vector<double>& row, std::size_t first, const std::function<Expr(int)>& element) {
  Half result;
  for (std::size_t i = first; i < row.size(); i += 2) {
    if (row[i] != 0) result.sign = row[i] < 0 ? -1 : 1;
  }
  for (std::size_t i = first; i < row.size(); i += 2) {
    if (row[i] != 0) result.sum = sum(result.sum, scaled(result.sign * row[i], element(static_cast<int>(i))));
  }
  return result;
}

/// Rows of points p and -p agree but for the sign of the odd elements: Halide computes each half once for both.
Expr by_halves(const std::vector<double>& row, const std::function<Expr(int)>& element) {
  const Half even = half(row, 0, element);
  const Half odd = half(row, 1, element);
  if (!odd.sum.defined()) return scaled(even.sign, even.sum);
  if (!even.sum.defined()) return scaled(odd.sign, odd.sum);
  if (even.sign == odd.sign) return scaled(even.sign, even.sum + odd.sum);
  return even.sign > 0 ? even.sum - odd.sum : odd.sum - even.sum;
}

/// Columns of points p and -p (1 and 2, 3 and 4, ...) agree but for their sign: their elements' sum and difference
/// serve all rows.
Expr by_pairs(const std::vector<double>& row, const std::function<Expr(int)>& element) {
  Expr result;
  const auto add = [&](double factor, const std::function<Expr()>& value) {
    if (factor != 0) result = sum(result, scaled(factor, value()));
  };
  const auto at = [&](std::size_t i) { return element(static_cast<int>(i)); };
  add(row[0], [&] { return at(0); });
  std::size_t i = 1;
  for (; i + 2 < row.size(); i += 2) {
    if (row[i] == row[i + 1]) {
      add(row[i], [&] { return at(i) + at(i + 1); });
    } else if (row[i] == -row[i + 1]) {
      add(row[i], [&] { return at(i) - at(i + 1); });
    } else {
      add(row[i], [&] { return at(i); });
      add(row[i + 1], [&] { return at(i + 1); });
    }
  }
  for (; i < row.size(); ++i) add(row[i], [&] { return at(i); });
  return result;
}

}  // namespace

Winograd winograd(int outputs, int taps) {
  Winograd w{.outputs = outputs, .taps = taps, .input = {}, .filter = {}, .output = {}};
  std::vector<double> points = finite_points(w.points() - 1);
  points.resize(static_cast<std::size_t>(w.points() - 1));
  w.output.resize(static_cast<std::size_t>(outputs));
  for (std::size_t p = 0; p < points.size(); ++p) {
    std::vector<double> input = polynomial(points, static_cast<int>(p));
    input.push_back(0);
    std::vector<double> filter;
    for (int k = 0; k < taps; ++k) filter.push_back(std::pow(points[p], k) / scale(points, points[p]));
    for (int o = 0; o < outputs; ++o) w.output[static_cast<std::size_t>(o)].push_back(std::pow(points[p], o));
    w.input.push_back(input);
    w.filter.push_back(filter);
  }
  // The last point is infinity.
  w.input.push_back(polynomial(points, -1));
  w.filter.emplace_back(static_cast<std::size_t>(taps), 0.0).back() = 1;
  for (int o = 0; o < outputs; ++o) w.output[static_cast<std::size_t>(o)].push_back(o == outputs - 1 ? 1 : 0);
  return w;
}

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix[0].size());
  for (const std::vector<double>& row : matrix) {
    for (std::size_t i = 0; i < row.size(); ++i) result[i].push_back(row[i]);
  }
  return result;
}

Expr times(const Matrix& matrix, const Expr& row, const std::function<Expr(int)>& element) {
  const bool wide = matrix.size() < matrix[0].size();
  Expr result;
  for (std::size_t i = matrix.size(); i-- > 0;) {
    const Expr value = wide ? by_pairs(matrix[i], element) : by_halves(matrix[i], element);
    result = result.defined() ? select(row == static_cast<int>(i), value, result) : value;
  }
  return result;
}

}  // namespace netc
