// The matrices of Winograd's minimal filtering algorithms (Cook-Toom): `outputs` neighbouring results of a filter with
// `taps` taps from outputs + taps - 1 multiplications instead of outputs * taps.
//
// y = A^T ((G w) * (B^T x)) in one dimension; in two, each matrix is applied along both axes. (A. Lavin and S. Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2016.)
//
// A filter that moves by `stride` elements is the sum of as many filters, its phases, which take every stride-th tap
// and every stride-th element and move by one: 3 taps by 2 are 2 taps and 1 tap. The matrices hold them side by side.
#pragma once

#include <Halide.h>

#include <functional>
#include <vector>

namespace netc {

using Matrix = std::vector<std::vector<double>>;  // rows

struct Winograd {
  int stride;
  Matrix input;   // B^T: points x elements of x
  Matrix filter;  // G: points x taps
  Matrix output;  // A^T: results x points

  int points() const { return static_cast<int>(input.size()); }
  int results() const { return static_cast<int>(output.size()); }
};

/// A product of a sum of taps and a sum of elements, and what it adds to each result.
struct Product {
  std::vector<double> filter;
  std::vector<double> input;
  std::vector<double> output;
};

/// An algorithm for so many results from its products.
Winograd of_products(int results, int stride, const std::vector<Product>& products);

/// y[o] = sum over k of w[k] * x[o * stride + k] for `outputs` neighbours; the stride is at most `taps`. A phase takes
/// at most eight multiplications: from up to seven points and infinity.
Winograd winograd(int outputs, int taps, int stride = 1);

/// Multiplications of an odd number of taps for a whole row of so many elements, with zeros in front of it and behind
/// it: known for three taps by 2, 3 and 5 elements and for five taps by 3 elements, otherwise 0.
int whole_row_points(int elements, int taps);

/// y[o] = sum over k of w[k] * x[o + k - taps / 2] for all elements of such a row.
Winograd winograd_of_whole_row(int elements, int taps);

/// The same filter's gradient with respect to x: dx[i] = sum over o, k with o * stride + k = i + pad of w[k] * dy[o],
/// for outputs * stride neighbours that begin with i = 0.
struct WinogradGradient {
  Winograd matrices;
  int before;  // elements of dy in front of dy[0] that dx[0] begins to read; less than 0: it begins after dy[0]
};

WinogradGradient winograd_gradient(int outputs, int taps, int stride, int pad);

/// Multiplications of a filter's widest phase for `outputs` results.
int winograd_points(int outputs, int taps, int stride);

Matrix transposed(const Matrix& matrix);

/// Row `row` of `matrix`, one of whose loops is unrolled over it, times the vector `element`. Rows and columns of
/// points that differ in sign share their sums, so that a transform takes half as many additions; in a row there are
/// elements of one phase of `stride`.
Halide::Expr times(const Matrix& matrix, const Halide::Expr& row, const std::function<Halide::Expr(int)>& element,
                   int stride = 1);

}  // namespace netc
