#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "compiler/kernels/winograd.h"

// Choice: of a whole row of 3 elements between zeros, three taps take 4 products, one fewer than F(3, 3), as the first
// and the last element meet fewer taps; of 5 elements 7, as many as F(5, 3), but of numbers near 1. Alternative: tiles
// of F(3, 3). Convolutions of 512 channels, 256 images of 3x3 pixels, and their gradients: 10.5 to 12.7 ms -> 5.5
// to 6.9; of 256 channels of 5x5 pixels 8.1 to 10.5 ms -> 5.3 to 7.7. Lost in single precision, relative to the norm,
// with sums held exact: 1.8e-7 and 1.2e-7, by F(3, 3) 3.0e-7. For 6 elements there are 9 such products, but a tile of
// 9x9 points is slower than four of F(3, 3): 10.7 ms for 8.4 (2026-11). The products of 5 elements were found by least
// squares: those of small numbers that add up to the filter.
namespace netc {

namespace {

/// The numbers with other signs from `first` on, every other one.
std::vector<double> alternating(std::vector<double> numbers, std::size_t first) {
  for (std::size_t i = first; i < numbers.size(); i += 2) numbers[i] = -numbers[i];
  return numbers;
}

/// The filter stays the same where odd elements, odd results and the outer taps change their signs: so does the set of
/// products. Of `pairs` the first ones are given; those of `single` are their own.
Winograd of_pairs(const std::vector<Product>& pairs, const std::vector<Product>& single) {
  std::vector<Product> all;
  for (const Product& product : pairs) {
    all.push_back(product);
    all.push_back({alternating(product.filter, 0), alternating(product.input, 1), alternating(product.output, 1)});
  }
  all.insert(all.end(), single.begin(), single.end());
  return of_products(static_cast<int>(all[0].output.size()), 1, all);
}

Winograd two_elements() {
  return of_pairs({}, {{{0, 1, 0}, {1, 1}, {1, 1}}, {{0, -1, 1}, {0, 1}, {1, 0}}, {{1, -1, 0}, {1, 0}, {0, 1}}});
}

Winograd three_elements() {
  const double a = 0.625;  // any number below 1 / sqrt(2) does; this one loses least
  const double s = std::sqrt(1 / (a * a) - 2);
  return of_pairs({{{a, 1, a}, {a, 1, a}, {0.25 / a, 0.25 / (a * a), 0.25 / a}},
                   {{1, s, -1}, {-1, s, 1}, {-0.25 / s, -0.25, 0.25 / s}}},
                  {});
}

Winograd five_elements() {
  return of_pairs(
      {{{0.8291561975888501, 1, 0.8291561975888501},
        {0.375, 0.8291561975888501, 1, 0.8291561975888501, 0.375},
        {0.1558441558441558, 0.3445843938031584, 0.4155844155844156, 0.3445843938031584, 0.1558441558441558}},
       {{1, 0.5485837703548637, -0.4514162296451363},
        {1, 0.4514162296451363, -0.5485837703548637, -1, -0.4514162296451363},
        {0.1953081059498887, 0.4326563670593384, 0.2373482611094498, -0.1953081059498887, -0.4326563670593384}},
       {{-0.4514162296451363, -0.5485837703548637, 1},
        {-0.4514162296451363, 1, -0.5485837703548637, -0.4514162296451363, 1},
        {0.4326563670593384, -0.1953081059498887, -0.2373482611094498, 0.4326563670593384, -0.1953081059498887}}},
      {{{0, 1, 0}, {1, 0, -1, 0, 1}, {5.0 / 11, 0, -5.0 / 11, 0, 5.0 / 11}}});
}

/// Elements and taps change places: of a row of 3 elements, 5 taps are a filter of 3 taps, the elements, over 5
/// elements.
Winograd three_elements_by_five_taps() {
  const auto reversed = [](Matrix matrix) {
    for (std::vector<double>& row : matrix) std::reverse(row.begin(), row.end());
    return matrix;
  };
  const Winograd w = winograd(3, 3);
  return {.stride = 1, .input = reversed(w.filter), .filter = reversed(w.input), .output = w.output};
}

}  // namespace

int whole_row_points(int elements, int taps) {
  if (taps == 5) return elements == 3 ? 5 : 0;
  if (taps != 3) return 0;
  switch (elements) {
    case 2:
      return 3;
    case 3:
      return 4;
    case 5:
      return 7;
    default:
      return 0;
  }
}

Winograd winograd_of_whole_row(int elements, int taps) {
  if (whole_row_points(elements, taps) == 0) throw std::invalid_argument("no algorithm for such rows");
  if (taps == 5) return three_elements_by_five_taps();
  return elements == 2 ? two_elements() : elements == 3 ? three_elements() : five_elements();
}

}  // namespace netc
