// Winograd's matrices against convolutions written out.
#include "compiler/winograd.h"

#include <doctest/doctest.h>

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

TEST_CASE("Winograd's matrices convolve") {
  for (int outputs : {1, 2, 3, 4, 6}) {
    for (int taps : {1, 3, 5}) {
      const Winograd w = winograd(outputs, taps);
      if (w.points() > 8) continue;
      CAPTURE(outputs);
      CAPTURE(taps);
      const std::vector<double> input = numbers(w.points(), 1);
      const std::vector<double> filter = numbers(taps, 2);
      std::vector<double> products = product(w.input, input);
      const std::vector<double> filtered = product(w.filter, filter);
      for (std::size_t i = 0; i < products.size(); ++i) products[i] *= filtered[i];
      const std::vector<double> result = product(w.output, products);
      for (int o = 0; o < outputs; ++o) {
        double expected = 0;
        for (int k = 0; k < taps; ++k) {
          expected += input[static_cast<std::size_t>(o + k)] * filter[static_cast<std::size_t>(k)];
        }
        CHECK(result[static_cast<std::size_t>(o)] == doctest::Approx(expected).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("rows of a transform, with shared sums, are the rows of the matrix") {
  const Halide::Var row("row");
  Halide::Buffer<double> data(8);
  for (int i = 0; i < 8; ++i) data(i) = (i * 5 % 8) - 2.5;
  for (const auto& [outputs, taps] : {std::pair{2, 3}, {3, 3}, {4, 3}, {6, 3}, {2, 5}, {4, 5}}) {
    const Winograd w = winograd(outputs, taps);
    for (const Matrix& matrix : {w.input, w.filter, w.output, transposed(w.output), transposed(w.filter)}) {
      std::vector<double> vector;
      for (int i = 0; i < static_cast<int>(matrix[0].size()); ++i) vector.push_back(data(i));
      Halide::Func transform;
      transform(row) = times(matrix, row, [&](int i) { return Halide::Expr(data(i)); });
      const Halide::Buffer<double> result = transform.realize({static_cast<int>(matrix.size())});
      const std::vector<double> expected = product(matrix, vector);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(result(static_cast<int>(i)) == doctest::Approx(expected[i]).epsilon(1e-12));
      }
    }
  }
}

}  // namespace
}  // namespace netc
