// The matrices of Winograd's minimal filtering algorithms (Cook-Toom): `outputs` neighbouring results of a filter with
// `taps` taps from outputs + taps - 1 multiplications instead of outputs * taps.
//
// y = A^T ((G w) * (B^T x)) in one dimension; in two, each matrix is applied along both axes. (A. Lavin and S. Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2016.)
#pragma once

#include <Halide.h>

#include <functional>
#include <vector>

namespace netc {

using Matrix = std::vector<std::vector<double>>;  // rows

struct Winograd {
  int outputs;
  int taps;
  Matrix input;   // B^T: points x points
  Matrix filter;  // G: points x taps
  Matrix output;  // A^T: outputs x points

  int points() const { return outputs + taps - 1; }
};

/// At most eight multiplications: from up to seven points and infinity.
Winograd winograd(int outputs, int taps);

Matrix transposed(const Matrix& matrix);

/// Row `row` of `matrix`, one of whose loops is unrolled over it, times the vector `element`. Rows and columns of
/// points that differ in sign share their sums, so that a transform takes half as many additions.
Halide::Expr times(const Matrix& matrix, const Halide::Expr& row, const std::function<Halide::Expr(int)>& element);

}  // namespace netc
