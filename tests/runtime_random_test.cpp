// Random numbers, permutations and the first values of parameters.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "netc/initializer.h"
#include "netc/random.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;
using Rule = Initializer::Rule;
using Words = std::array<std::uint32_t, 4>;

TEST_CASE("Philox gives its authors' answers") {
  constexpr std::uint32_t ones = 0xffffffff;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("streams are functions of seed, purpose and index") {
  const auto first = [](std::uint64_t seed, const char* purpose, std::uint32_t index) {
    return RandomStream(seed, purpose, index).word();
  };
  CHECK(first(1, "a", 0) == first(1, "a", 0));
  CHECK(first(1, "a", 0) != first(2, "a", 0));
  CHECK(first(1, "a", 0) != first(std::uint64_t{1} << 32 | 1, "a", 0));
  CHECK(first(1, "a", 0) != first(1, "b", 0));
  CHECK(first(1, "a", 0) != first(1, "a", 1));
}

TEST_CASE("numbers below a bound are even") {
  RandomStream random(5, "below");
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts[random.below(7)];
  for (int count : counts) CHECK(std::abs(count - 10'000) < 400);
}

TEST_CASE("a permutation holds every index once and depends on seed and epoch alone") {
  const std::vector<std::int32_t> order = permutation(1000, 1, 0);
  std::vector<std::int32_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int32_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(sorted == expected);
  CHECK(order == permutation(1000, 1, 0));
  CHECK(order != permutation(1000, 1, 1));
  CHECK(order != permutation(1000, 2, 0));
  CHECK(permutation(1, 9, 9) == std::vector<std::int32_t>{0});
}

std::vector<float> draw(const Initializer& rule, Fan fan = {100, 50}, std::uint64_t seed = 1, const char* path = "w") {
  Tensor<float> tensor({200, 500});
  initialize(tensor.view(), rule, fan, seed, path);
  return tensor.view().to_vector();
}

struct Statistics {
  double mean;
  double deviation;
  float low;
  float high;
};

Statistics statistics(const std::vector<float>& values) {
  double sum = 0;
  double squares = 0;
  for (float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double mean = sum / static_cast<double>(values.size());
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {mean, std::sqrt(squares / static_cast<double>(values.size()) - mean * mean), *low, *high};
}

void check_uniform(const Initializer& rule, double bound) {
  const Statistics s = statistics(draw(rule));
  CAPTURE(bound);
  CHECK(std::abs(s.mean) < 0.01 * bound);
  CHECK(s.deviation == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.01));
  CHECK(s.low >= -bound);
  CHECK(s.high <= bound);
  CHECK(s.high > 0.999 * bound);
}

void check_normal(const Initializer& rule, double mean, double deviation) {
  const Statistics s = statistics(draw(rule));
  CHECK(std::abs(s.mean - mean) < 0.02 * deviation);
  CHECK(s.deviation == doctest::Approx(deviation).epsilon(0.01));
  CHECK(s.high > mean + 3 * deviation);
}

TEST_CASE("uniform rules have PyTorch's bounds") {
  const double relu = std::sqrt(2.0);
  check_uniform({Rule::uniform, -0.25, 0.25}, 0.25);
  check_uniform({Rule::xavier_uniform, 1}, std::sqrt(6.0 / 150));
  check_uniform({Rule::xavier_uniform, 2}, 2 * std::sqrt(6.0 / 150));
  check_uniform({Rule::kaiming_uniform, relu}, std::sqrt(6.0 / 100));
  check_uniform({Rule::kaiming_uniform, relu, 0, true}, std::sqrt(6.0 / 50));
  check_uniform({Rule::fan_in_uniform}, 0.1);
}

TEST_CASE("normal rules have PyTorch's deviations") {
  check_normal({Rule::normal, 3, 0.01}, 3, 0.01);
  check_normal({Rule::xavier_normal, 1}, 0, std::sqrt(2.0 / 150));
  check_normal({Rule::kaiming_normal, 1}, 0, std::sqrt(1.0 / 100));
  check_normal({Rule::kaiming_normal, 1, 0, true}, 0, std::sqrt(1.0 / 50));
}

TEST_CASE("constants") {
  const Statistics constant = statistics(draw({Rule::constant, 42}));
  CHECK(constant.low == 42);
  CHECK(constant.high == 42);
}

/// The share of values in [low, high].
double share(const std::vector<float>& values, double low, double high) {
  const auto inside = std::count_if(values.begin(), values.end(), [&](float x) { return x >= low && x <= high; });
  return static_cast<double>(inside) / static_cast<double>(values.size());
}

Initializer mixture_of(const std::vector<MixturePart>& parts) {
  return {.rule = Rule::mixture, .parts = parts};
}

TEST_CASE("mixtures draw each part with its probability") {
  const std::vector<float> spiky =
      draw(mixture_of({{0.25, Rule::uniform, 5, 10}, {0.5, Rule::constant, 0}, {0.25, Rule::uniform, -10, -5}}));
  CHECK(share(spiky, 0, 0) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(share(spiky, 5, 10) == doctest::Approx(0.25).epsilon(0.02));
  CHECK(share(spiky, -10, -5) == doctest::Approx(0.25).epsilon(0.02));
  CHECK(share(spiky, 7.5, 10) == doctest::Approx(0.125).epsilon(0.03));
  CHECK(share(spiky, 5, 10) + share(spiky, -10, -5) + share(spiky, 0, 0) == doctest::Approx(1));
}

TEST_CASE("parts of mixtures may be normal, or scaled by fans") {
  const std::vector<float> values = draw(mixture_of({{0.2, Rule::normal, 100, 2}, {0.8, Rule::xavier_uniform, 1}}));
  const double bound = std::sqrt(6.0 / 150);
  CHECK(share(values, 90, 110) == doctest::Approx(0.2).epsilon(0.02));
  CHECK(share(values, 98, 102) == doctest::Approx(0.2 * 0.6827).epsilon(0.02));
  CHECK(share(values, -bound, bound) == doctest::Approx(0.8).epsilon(0.01));
  CHECK(share(values, 0, bound / 2) == doctest::Approx(0.2).epsilon(0.02));
}

TEST_CASE("mixtures without sense are refused") {
  check_error(ErrorKind::usage, {"mixture", "at least one part"}, [] { draw(mixture_of({})); });
  check_error(ErrorKind::usage, {"part of a mixture"}, [] { draw(mixture_of({{1, Rule::mixture}})); });
}

TEST_CASE("values depend on seed and path, not on the layout") {
  const Initializer rule{Rule::normal, 0, 1};
  CHECK(draw(rule) == draw(rule));
  CHECK(draw(rule) != draw(rule, {100, 50}, 2));
  CHECK(draw(rule) != draw(rule, {100, 50}, 1, "v"));
  Tensor<float> row_major({3, 5});
  std::vector<float> stored(15);
  const View<float> column_major(stored.data(), {3, 5}, {1, 3});
  initialize(row_major.view(), rule, {}, 7, "w");
  initialize(column_major, rule, {}, 7, "w");
  CHECK(row_major.view().to_vector() == column_major.to_vector());
}

TEST_CASE("a float that rounding would put at the excluded end stays below it") {
  RandomStream random(1, "edge");
  for (int i = 0; i < 1000; ++i) CHECK(random.uniform(16777215.0, 16777216.0) < 16777216.0f);
}

}  // namespace
}  // namespace netc
