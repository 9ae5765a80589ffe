// Winograd's matrices against convolutions written out.
#include "compiler/kernels/winograd.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace netc {
namespace {

std::vector<double> product(const Matrix& matrix, const std::vector<double>& vector) {
  std::vector<double> result;
  for (const std::vector<double>& row : matrix) {
    REQUIRE(row.size() == vector.size());
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) sum += row[i] * vector[i];
    result.push_back(sum);
  }
  return result;
}

/// Numbers without a pattern.
std::vector<double> numbers(int count, int seed) {
  std::vector<double> result;
  for (int i = 0; i < count; ++i) result.push_back((i * 37 + seed * 11) % 17 / 7.0 - 1);
  return result;
}

/// A^T ((G w) * (B^T x))
std::vector<double> filtered(const Winograd& w, const std::vector<double>& input, const std::vector<double>& filter) {
  std::vector<double> products = product(w.input, input);
  const std::vector<double> factors = product(w.filter, filter);
  for (std::size_t i = 0; i < products.size(); ++i) products[i] *= factors[i];
  return product(w.output, products);
}

/// By how much the squares of rounding errors grow beside sums written out, which have so many products: of random taps
/// and elements.
double amplification(const Winograd& w, int products) {
  const auto squares = [](const std::vector<double>& row) {
    return std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
  };
  double sum = 0;
  for (const std::vector<double>& row : w.output) {
    for (std::size_t i = 0; i < row.size(); ++i) sum += row[i] * row[i] * squares(w.input[i]) * squares(w.filter[i]);
  }
  return sum / products;
}

void check_close(const std::vector<double>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) CHECK(actual[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

struct Filter {
  int outputs;
  int taps;
  int stride;
};

/// All of up to eight points a phase.
std::vector<Filter> filters() {
  std::vector<Filter> result;
  for (int stride : {1, 2, 3}) {
    for (int outputs : {1, 2, 3, 4, 6}) {
      for (int taps : {1, 3, 5, 7}) {
        if (stride <= taps && winograd_points(outputs, taps, stride) <= 8) result.push_back({outputs, taps, stride});
      }
    }
  }
  return result;
}

TEST_CASE("Winograd's matrices convolve") {
  for (const auto& [outputs, taps, stride] : filters()) {
    CAPTURE(outputs);
    CAPTURE(taps);
    CAPTURE(stride);
    const std::vector<double> input = numbers((outputs - 1) * stride + taps, 1);
    const std::vector<double> filter = numbers(taps, 2);
    std::vector<double> expected(static_cast<std::size_t>(outputs), 0);
    for (int o = 0; o < outputs; ++o) {
      for (int k = 0; k < taps; ++k) {
        expected[static_cast<std::size_t>(o)] +=
            input[static_cast<std::size_t>(o * stride + k)] * filter[static_cast<std::size_t>(k)];
      }
    }
    check_close(filtered(winograd(outputs, taps, stride), input, filter), expected);
  }
}

TEST_CASE("Winograd's matrices give a convolution's gradient") {
  for (const auto& [outputs, taps, stride] : filters()) {
    for (int pad = 0; pad <= taps; ++pad) {
      CAPTURE(outputs);
      CAPTURE(taps);
      CAPTURE(stride);
      CAPTURE(pad);
      const WinogradGradient gradient = winograd_gradient(outputs, taps, stride, pad);
      const int elements = static_cast<int>(gradient.matrices.input[0].size());
      const std::vector<double> dy = numbers(elements, 1);  // from -before on
      const std::vector<double> filter = numbers(taps, 2);
      std::vector<double> expected(static_cast<std::size_t>(outputs * stride), 0);
      for (int o = 0; o < elements; ++o) {
        for (int k = 0; k < taps; ++k) {
          const int i = (o - gradient.before) * stride + k - pad;
          if (i < 0 || i >= outputs * stride) continue;
          expected[static_cast<std::size_t>(i)] +=
              dy[static_cast<std::size_t>(o)] * filter[static_cast<std::size_t>(k)];
        }
      }
      check_close(filtered(gradient.matrices, dy, filter), expected);
    }
  }
}

constexpr std::pair<int, int> whole_rows[] = {{2, 3}, {3, 3}, {5, 3}, {3, 5}};  // elements and taps

TEST_CASE("whole rows between zeros convolve") {
  for (const auto& [elements, taps] : whole_rows) {
    CAPTURE(elements);
    CAPTURE(taps);
    const Winograd w = winograd_of_whole_row(elements, taps);
    CHECK(w.points() == whole_row_points(elements, taps));
    const std::vector<double> input = numbers(elements, 1);
    const std::vector<double> filter = numbers(taps, 2);
    std::vector<double> expected(static_cast<std::size_t>(elements), 0);
    for (int o = 0; o < elements; ++o) {
      for (int k = 0; k < taps; ++k) {
        const int at = o + k - taps / 2;
        if (at < 0 || at >= elements) continue;
        expected[static_cast<std::size_t>(o)] +=
            input[static_cast<std::size_t>(at)] * filter[static_cast<std::size_t>(k)];
      }
    }
    check_close(filtered(w, input, filter), expected);
  }
  for (int elements : {1, 4, 6}) CHECK(whole_row_points(elements, 3) == 0);
  CHECK(whole_row_points(3, 7) == 0);
}

TEST_CASE("rounding errors hardly grow in whole rows") {
  for (int elements : {2, 3, 5}) {
    CAPTURE(elements);
    const Winograd whole = winograd_of_whole_row(elements, 3);
    CHECK(amplification(whole, 3 * elements - 2) < 2.5);
    if (elements > 2) CHECK(amplification(whole, 3 * elements - 2) * 2 < amplification(winograd(4, 3), 12));
  }
}

TEST_CASE("rows of a transform, with shared sums, are the rows of the matrix") {
  const Halide::Var row("row");
  Halide::Buffer<double> data(9);
  for (int i = 0; i < 9; ++i) data(i) = (i * 5 % 9) - 2.5;
  std::vector<std::pair<Matrix, int>> matrices;
  for (const auto& [elements, taps] : whole_rows) {
    const Winograd w = winograd_of_whole_row(elements, taps);
    for (const Matrix& matrix : {w.input, w.filter, w.output, transposed(w.output), transposed(w.filter)})
      matrices.emplace_back(matrix, 1);
  }
  for (const auto& [outputs, taps, stride] :
       {Filter{2, 3, 1}, {3, 3, 1}, {4, 3, 1}, {6, 3, 1}, {2, 5, 1}, {4, 5, 1}, {4, 3, 2}, {3, 3, 2}, {2, 5, 2}}) {
    const Winograd w = winograd(outputs, taps, stride);
    const Winograd g = winograd_gradient(outputs, taps, stride, 1).matrices;
    for (const Matrix& matrix :
         {w.input, w.filter, w.output, transposed(w.output), transposed(w.filter), g.input, g.filter, g.output})
      matrices.emplace_back(matrix, stride);
  }
  for (const auto& [matrix, stride] : matrices) {
    std::vector<double> vector;
    for (int i = 0; i < static_cast<int>(matrix[0].size()); ++i) vector.push_back(data(i));
    Halide::Func transform;
    transform(row) = times(
        matrix, row, [&](int i) { return Halide::Expr(data(i)); }, stride);
    const Halide::Buffer<double> result = transform.realize({static_cast<int>(matrix.size())});
    const std::vector<double> expected = product(matrix, vector);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(result(static_cast<int>(i)) == doctest::Approx(expected[i]).epsilon(1e-12));
    }
  }
}

}  // namespace
}  // namespace netc
