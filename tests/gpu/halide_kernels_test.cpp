// Kernels that Halide compiles for CUDA, run by its runtime on the emulator, against the same sums in C++.
#include <HalideBuffer.h>
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "driver.h"
#include "tests/gpu/kernels/elementary.h"
#include "tests/gpu/kernels/histogram.h"
#include "tests/gpu/kernels/matrix_product.h"
#include "tests/gpu/kernels/row_sum.h"
#include "tests/gpu/kernels/vector_add.h"

namespace netc {
namespace {

template <class T>
using Buffer = Halide::Runtime::Buffer<T>;

/// Numbers without a pattern, between -2 and 2.
void fill(Buffer<float>& buffer) {
  std::uint32_t state = 1;
  buffer.for_each_value([&](float& value) {
    state = state * 1664525 + 1013904223;
    value = static_cast<float>(state >> 8) / (1 << 22) - 2;
  });
  buffer.set_host_dirty();
}

template <class... Buffers>
void run(int (*kernel)(Buffers...), Buffer<float>& result, auto&... inputs) {
  REQUIRE(kernel(inputs..., result) == 0);
  REQUIRE(result.copy_to_host() == 0);
}

TEST_CASE("vector add") {
  Buffer<float> a(1000), b(1000), sum(1000);
  fill(a);
  fill(b);
  run(vector_add, sum, a, b);
  for (int i = 0; i < 1000; ++i) CHECK(sum(i) == a(i) + b(i));
}

TEST_CASE("matrix product through shared memory") {
  Buffer<float> a(48, 64), b(96, 48), product(96, 64);
  fill(a);
  fill(b);
  const emulator::Counts before = test::emulator_counts();
  run(matrix_product, product, a, b);
  const emulator::Counts after = test::emulator_counts();
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 96; ++x) {
      double expected = 0;
      for (int k = 0; k < 48; ++k) expected += double{a(k, y)} * b(x, k);
      CHECK(product(x, y) == doctest::Approx(expected).epsilon(1e-4));
    }
  }
  CHECK(after.multiply_adds - before.multiply_adds == 96 * 64 * 48);
  CHECK(after.launches - before.launches == 1);
  CHECK(after.bytes_to_device - before.bytes_to_device == 4 * (48 * 64 + 96 * 48));
  CHECK(after.bytes_to_host - before.bytes_to_host == 4 * 96 * 64);
  CHECK(after.uninitialized_reads == before.uninitialized_reads);
}

TEST_CASE("sums by the lanes of a warp") {
  Buffer<float> a(1000, 7), sum(7);
  fill(a);
  run(row_sum, sum, a);
  for (int y = 0; y < 7; ++y) {
    double expected = 0;
    for (int x = 0; x < 1000; ++x) expected += a(x, y);
    CHECK(sum(y) == doctest::Approx(expected).epsilon(1e-4));
  }
}

TEST_CASE("elementary functions") {
  Buffer<float> a(300);
  fill(a);
  std::array<Buffer<float>, 6> results;
  for (Buffer<float>& result : results) result = Buffer<float>(300);
  REQUIRE(elementary(a, results[0], results[1], results[2], results[3], results[4], results[5]) == 0);
  for (Buffer<float>& result : results) REQUIRE(result.copy_to_host() == 0);
  for (int i = 0; i < 300; ++i) {
    const double value = a(i);
    const double size = std::abs(value);
    const std::array<double, 6> expected = {std::exp(value),  std::log(size),      std::sin(value),
                                            std::tanh(value), std::pow(size, 1.5), 1 / std::sqrt(size)};
    for (std::size_t f = 0; f < expected.size(); ++f) {
      CHECK(std::abs(results[f](i) - expected[f]) <= 1e-5 * (1 + std::abs(expected[f])));
    }
  }
}

TEST_CASE("atomic counts") {
  Buffer<std::int32_t> a(1000), counts(16);
  for (int i = 0; i < 1000; ++i) a(i) = i * i % 23;
  a.set_host_dirty();
  REQUIRE(histogram(a, counts) == 0);
  REQUIRE(counts.copy_to_host() == 0);
  std::array<int, 16> expected{};
  for (int i = 0; i < 1000; ++i) ++expected[static_cast<std::size_t>(std::min(i * i % 23, 15))];
  for (int bin = 0; bin < 16; ++bin) CHECK(counts(bin) == expected[static_cast<std::size_t>(bin)]);
}

}  // namespace
}  // namespace netc
