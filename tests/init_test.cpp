// From `init` clauses to first values: bounds, means, deviations and shares, by the formulas of torch.nn.init.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/elaboration.h"

namespace netc {
namespace {

using test::Elaboration;

constexpr double unbounded = std::numeric_limits<double>::infinity();

/// What a rule promises.
struct Expected {
  double mean;
  double deviation;
  double low = -unbounded;
  double high = unbounded;
};

Expected uniform(double low, double high) {
  return {(low + high) / 2, (high - low) / std::sqrt(12.0), low, high};
}

Expected centred(double bound) {
  return uniform(-bound, bound);
}

Expected normal(double mean, double deviation) {
  return {mean, deviation};
}

/// Mean and deviation within four of their own standard errors; bounds kept, and reached within a thousandth.
void check(const std::vector<float>& values, const Expected& expected) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const float value : values) squares += (value - mean) * (value - mean);
  const double deviation = std::sqrt(squares / count);
  CHECK(std::abs(mean - expected.mean) <= 4 * expected.deviation / std::sqrt(count));
  CHECK(std::abs(deviation / expected.deviation - 1) <= 4 / std::sqrt(2 * count));
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  CHECK(*least >= expected.low);
  CHECK(*most <= expected.high);
  const bool is_bounded = expected.high != unbounded;
  const double reach =
      is_bounded ? expected.high - (expected.high - expected.low) / 1000 : expected.mean + 3 * expected.deviation;
  CHECK(*most > reach);
  CHECK(*least < 2 * expected.mean - reach);  // the distributions are symmetric
}

/// The weight of a linear layer from 300 to 200 features.
std::vector<float> linear_weight(const std::string& init, const std::string& definitions = "") {
  return Elaboration(definitions + "model m { input x: f32[N, 300]; linear(200); " + init + " }")
      .initial("linear.weight");
}

/// The weight [64, 8, 3, 5] of a convolution with 4 groups: fan-in 8 * 3 * 5 = 120, fan-out 64 * 3 * 5 = 960.
std::vector<float> grouped_weight(const std::string& init) {
  return Elaboration("model m { input x: f32[N, 32, 9, 9]; conv(64, (3, 5), groups = 4); " + init + " }")
      .initial("conv.weight");
}

std::string weights(const std::string& layer, const std::string& rule) {
  return fmt::format("init {}: weight = {};", layer, rule);
}

TEST_CASE("rules without fans draw what they say") {
  check(linear_weight(weights("linear", "uniform")), uniform(0, 1));
  check(linear_weight(weights("linear", "uniform(-2, 6)")), uniform(-2, 6));
  check(linear_weight(weights("linear", "normal")), normal(0, 1));
  check(linear_weight(weights("linear", "normal(3, 0.5)")), normal(3, 0.5));
  CHECK(linear_weight(weights("linear", "constant(42)")) == std::vector<float>(60000, 42.0F));
  CHECK(linear_weight(weights("linear", "-1 / 4")) == std::vector<float>(60000, -0.25F));
  CHECK(linear_weight(weights("linear", "normal(2, 0)")) == std::vector<float>(60000, 2.0F));
  CHECK(linear_weight(weights("linear", "uniform(2, 2)")) == std::vector<float>(60000, 2.0F));
}

TEST_CASE("by default weights and biases are uniform by fan-in, and batchnorm is the identity") {
  check(linear_weight(""), centred(1 / std::sqrt(300.0)));
  check(grouped_weight(""), centred(1 / std::sqrt(120.0)));
  const Elaboration model(
      "model m { input x: f32[N, 64, 1, 1]; conv(4096, 1) -> batchnorm -> flatten -> linear(4096); }");
  check(model.initial("conv.bias"), centred(1 / std::sqrt(64.0)));
  check(model.initial("linear.bias"), centred(1 / std::sqrt(4096.0)));
  CHECK(model.initial("batchnorm.weight") == std::vector<float>(4096, 1.0F));
  CHECK(model.initial("batchnorm.bias") == std::vector<float>(4096, 0.0F));
  CHECK(model.initial("batchnorm.running_mean") == std::vector<float>(4096, 0.0F));
  CHECK(model.initial("batchnorm.running_var") == std::vector<float>(4096, 1.0F));
}

TEST_CASE("xavier's rules scale by both fans and the gain") {
  check(linear_weight(weights("linear", "xavier_uniform")), centred(std::sqrt(6.0 / 500)));
  check(linear_weight(weights("linear", "xavier_uniform(gain = 2)")), centred(2 * std::sqrt(6.0 / 500)));
  check(linear_weight(weights("linear", "xavier_normal(0.5)")), normal(0, 0.5 * std::sqrt(2.0 / 500)));
  check(grouped_weight(weights("conv", "xavier_uniform")), centred(std::sqrt(6.0 / (120 + 960))));
  check(grouped_weight(weights("conv", "xavier_normal")), normal(0, std::sqrt(2.0 / (120 + 960))));
}

TEST_CASE("kaiming's rules scale by one fan and the gain of the nonlinearity") {
  check(linear_weight(weights("linear", "kaiming_uniform")), centred(std::sqrt(6.0 / 300)));
  check(linear_weight(weights("linear", "kaiming_uniform(a = 2)")), centred(std::sqrt(6.0 / (5 * 300))));
  check(linear_weight(weights("linear", R"(kaiming_normal(nonlinearity = "tanh"))")),
        normal(0, 5.0 / 3 / std::sqrt(300.0)));
  check(linear_weight(weights("linear", R"(kaiming_normal(mode = "fan_out"))")), normal(0, std::sqrt(2.0 / 200)));
  check(grouped_weight(weights("conv", R"(kaiming_normal(nonlinearity = "relu"))")), normal(0, std::sqrt(2.0 / 120)));
  check(grouped_weight(weights("conv", R"(kaiming_uniform(mode = "fan_out", nonlinearity = "linear"))")),
        centred(std::sqrt(3.0 / 960)));
}

/// The share of values in [low, high].
double share(const std::vector<float>& values, double low, double high) {
  const auto inside = std::count_if(values.begin(), values.end(), [&](float x) { return x >= low && x <= high; });
  return static_cast<double>(inside) / static_cast<double>(values.size());
}

TEST_CASE("a dist draws its parts with their probabilities") {
  const std::vector<float> spiky = linear_weight(
      weights("linear", "spiky"), "dist spiky = mix { 1/4: uniform(5, 10); 1/2: 0; 1/4: uniform(-10, -5) }\n");
  const double error = 4 * std::sqrt(0.25 / 60000);
  CHECK(std::abs(share(spiky, 0, 0) - 0.5) < error);
  CHECK(std::abs(share(spiky, 5, 10) - 0.25) < error);
  CHECK(std::abs(share(spiky, -10, -5) - 0.25) < error);
  CHECK(std::abs(share(spiky, 5, 6) - 0.05) < error);
  CHECK(share(spiky, -4.999, -1e-9) + share(spiky, 1e-9, 4.999) == 0);
  check(linear_weight(weights("linear", "narrow"), "dist narrow = normal(1, 0.01);\n"), normal(1, 0.01));
  const std::vector<float> gated =
      linear_weight(weights("linear", "gated"), "dist gated = mix { 0.9: xavier_uniform; 0.1: normal(50, 1); }\n");
  CHECK(std::abs(share(gated, 40, 60) - 0.1) < error);
  CHECK(std::abs(share(gated, 0, std::sqrt(6.0 / 500)) - 0.45) < error);
}

TEST_CASE("each layer may have its rule, and the last that matches wins") {
  const Elaboration model(
      "model m { input x: f32[N, 100]; a: linear(100); b: { linear(100) -> relu -> linear(100) } out: linear(100); "
      "init b.linear2.weight = 7; init linear: weight = normal(0, 0.01), bias = 0; init b: weight = uniform(1, 2); "
      "init out: bias = 5; init b.linear.bias = 3; }");
  check(model.initial("a.weight"), normal(0, 0.01));
  check(model.initial("out.weight"), normal(0, 0.01));
  check(model.initial("b.linear.weight"), uniform(1, 2));
  check(model.initial("b.linear2.weight"), uniform(1, 2));
  CHECK(model.initial("a.bias") == std::vector<float>(100, 0.0F));
  CHECK(model.initial("out.bias") == std::vector<float>(100, 5.0F));
  CHECK(model.initial("b.linear.bias") == std::vector<float>(100, 3.0F));
  CHECK(model.initial("b.linear2.bias") == std::vector<float>(100, 0.0F));
}

TEST_CASE("values are a function of seed and path") {
  const std::string text = "model m { input x: f32[N, 8]; a: linear(8); b: linear(8); }";
  const Elaboration model(text);
  CHECK(model.initial("a.weight") == Elaboration(text).initial("a.weight"));
  CHECK(model.initial("a.weight") != model.initial("b.weight"));
  CHECK(model.initial("a.weight") != model.initial("a.weight", 2));
}

}  // namespace
}  // namespace netc
