#include "compiler/kernels/winograd.h"

#include <algorithm>
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

/// The even or the odd elements of a row's phase; `sign` makes the last coefficient positive.
struct Half {
  Expr sum;
  double sign = 1;
};

Half half(const std::vector<double>& row, std::size_t first, std::size_t stride,
          const std::function<Expr(int)>& element) {
  Half result;
  const auto counts = [&](std::size_t i) { return i / stride % 2 == first && row[i] != 0; };
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (counts(i)) result.sign = row[i] < 0 ? -1 : 1;
  }
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (counts(i)) result.sum = sum(result.sum, scaled(result.sign * row[i], element(static_cast<int>(i))));
  }
  return result;
}

/// Rows of points p and -p agree but for the sign of the odd elements: Halide computes each half once for both.
Expr by_halves(const std::vector<double>& row, int stride, const std::function<Expr(int)>& element) {
  const Half even = half(row, 0, static_cast<std::size_t>(stride), element);
  const Half odd = half(row, 1, static_cast<std::size_t>(stride), element);
  if (!odd.sum.defined()) return scaled(even.sign, even.sum);
  if (!even.sum.defined()) return scaled(odd.sign, odd.sum);
  if (even.sign == odd.sign) return scaled(even.sign, even.sum + odd.sum);
  return even.sign > 0 ? even.sum - odd.sum : odd.sum - even.sum;
}

/// Whether a column and the next agree but for the sign of some rows, as those of points p and -p do.
bool are_pair(const Matrix& matrix, std::size_t column) {
  const auto agree = [&](const std::vector<double>& row) { return std::abs(row[column]) == std::abs(row[column + 1]); };
  return column + 1 < matrix[0].size() && std::all_of(matrix.begin(), matrix.end(), agree);
}

/// Sums and differences of the elements of a pair of columns serve all rows.
Expr by_pairs(const Matrix& matrix, std::size_t row, const std::function<Expr(int)>& element) {
  Expr result;
  const auto at = [&](std::size_t i) { return element(static_cast<int>(i)); };
  for (std::size_t i = 0; i < matrix[row].size(); ++i) {
    const double factor = matrix[row][i];
    const bool pair = are_pair(matrix, i);
    if (factor != 0) {
      const Expr value = !pair ? at(i) : factor == matrix[row][i + 1] ? at(i) + at(i + 1) : at(i) - at(i + 1);
      result = sum(result, scaled(factor, value));
    }
    if (pair) ++i;
  }
  return result;
}

/// The algorithm for a filter that moves by one; a single tap needs no transforms.
Winograd dense(int outputs, int taps) {
  const auto zeros = [](int rows, int columns) {
    return Matrix(static_cast<std::size_t>(rows), std::vector<double>(static_cast<std::size_t>(columns), 0));
  };
  const int count = outputs + taps - 1;
  Winograd w{.stride = 1, .input = zeros(count, count), .filter = zeros(count, taps), .output = zeros(outputs, count)};
  std::vector<double> points = finite_points(count - 1);
  points.resize(static_cast<std::size_t>(count - 1));
  for (std::size_t p = 0; p < w.input.size(); ++p) {
    if (taps == 1) {
      w.input[p][p] = w.filter[p][0] = w.output[p][p] = 1;
    } else if (p < points.size()) {
      const std::vector<double> input = polynomial(points, static_cast<int>(p));
      std::copy(input.begin(), input.end(), w.input[p].begin());
      for (std::size_t k = 0; k < w.filter[p].size(); ++k) {
        w.filter[p][k] = std::pow(points[p], k) / scale(points, points[p]);
      }
      for (std::size_t o = 0; o < w.output.size(); ++o) w.output[o][p] = std::pow(points[p], o);
    } else {  // infinity
      w.input[p] = polynomial(points, -1);
      w.filter[p].back() = 1;
      w.output.back()[p] = 1;
    }
  }
  return w;
}

/// Where the parts of a phase's matrices stand among those of the whole filter.
struct Places {
  std::function<int(int)> element;
  std::function<int(int)> tap;
  std::function<int(int)> result;
};

/// How many elements, taps and results the whole filter has.
struct Sizes {
  int elements;
  int taps;
  int results;
};

/// Adds the products of `phase` to those of the whole filter.
void add_phase(std::vector<Product>& whole, const Winograd& phase, const Places& at, const Sizes& sizes) {
  const auto place = [](const std::vector<double>& row, const std::function<int(int)>& to, int size) {
    std::vector<double> placed(static_cast<std::size_t>(size), 0);
    for (std::size_t i = 0; i < row.size(); ++i) placed[static_cast<std::size_t>(to(static_cast<int>(i)))] = row[i];
    return placed;
  };
  const Matrix results = transposed(phase.output);
  for (std::size_t p = 0; p < phase.input.size(); ++p) {
    whole.push_back({place(phase.filter[p], at.tap, sizes.taps), place(phase.input[p], at.element, sizes.elements),
                     place(results[p], at.result, sizes.results)});
  }
}

/// Taps of the phase that begins with tap `first`.
int phase_taps(int taps, int stride, int first) {
  return (taps - first + stride - 1) / stride;
}

}  // namespace

Winograd of_products(int results, int stride, const std::vector<Product>& products) {
  Winograd w{.stride = stride, .input = {}, .filter = {}, .output = Matrix(static_cast<std::size_t>(results))};
  for (const Product& product : products) {
    w.input.push_back(product.input);
    w.filter.push_back(product.filter);
    for (std::size_t i = 0; i < w.output.size(); ++i) w.output[i].push_back(product.output[i]);
  }
  return w;
}

Winograd winograd(int outputs, int taps, int stride) {
  std::vector<Product> products;
  for (int first = 0; first < stride; ++first) {
    const auto strided = [&](int i) { return first + stride * i; };
    add_phase(products, dense(outputs, phase_taps(taps, stride, first)), {strided, strided, [](int o) { return o; }},
              {(outputs - 1) * stride + taps, taps, outputs});
  }
  return of_products(outputs, stride, products);
}

WinogradGradient winograd_gradient(int outputs, int taps, int stride, int pad) {
  // Result i belongs to the phase of tap (i + pad) % stride, and reads dy up to (i + pad) / stride.
  const auto start = [&](int result) {
    return (result + pad) / stride - (phase_taps(taps, stride, (result + pad) % stride) - 1);
  };
  int first = start(0);
  int last = 0;
  for (int result = 0; result < stride; ++result) {
    first = std::min(first, start(result));
    last = std::max(last, (result + pad) / stride + outputs - 1);
  }
  std::vector<Product> products;
  for (int result = 0; result < stride; ++result) {
    const int tap = (result + pad) % stride;
    const int count = phase_taps(taps, stride, tap);
    add_phase(products, dense(outputs, count),
              {[&](int i) { return start(result) - first + i; }, [&](int k) { return tap + stride * (count - 1 - k); },
               [&](int o) { return result + stride * o; }},
              {last - first + 1, taps, outputs * stride});
  }
  return {of_products(outputs * stride, 1, products), -first};
}

int winograd_points(int outputs, int taps, int stride) {
  return outputs + phase_taps(taps, stride, 0) - 1;
}

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix[0].size());
  for (const std::vector<double>& row : matrix) {
    for (std::size_t i = 0; i < row.size(); ++i) result[i].push_back(row[i]);
  }
  return result;
}

Expr times(const Matrix& matrix, const Expr& row, const std::function<Expr(int)>& element, int stride) {
  const bool wide = matrix.size() < matrix[0].size();
  Expr result;
  for (std::size_t i = matrix.size(); i-- > 0;) {
    const Expr value = wide ? by_pairs(matrix, i, element) : by_halves(matrix[i], stride, element);
    result = result.defined() ? select(row == static_cast<int>(i), value, result) : value;
  }
  return result;
}

}  // namespace netc
