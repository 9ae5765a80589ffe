// `fn`, `layer` and tensor operators in networks: values, and gradients against finite differences in both layouts.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "network_runner.h"

using namespace netc;
using namespace netc::test;

namespace {

const Halide::Type f64 = Halide::Float(64);
const Halide::Type f32 = Halide::Float(32);

struct Network {
  std::string name;
  std::string text;
};

/// `layers` between an input x of this shape and a squared loss.
std::string network(const std::string& definitions, const std::string& shape, const std::string& layers) {
  return definitions + "\nmodel m {\n  input x: f32[N, " + shape + "];\n  " + layers + "\n  loss mse;\n}\n";
}

std::vector<Network> networks() {
  const std::string images = "3, 5, 7";
  return {
      {"a function of elements", network("fn mish(x) = x * tanh(log(1 + exp(x)));", images, "conv(4, 3) -> mish;")},
      {"a function with an argument",
       network("fn leaky(x, slope = 0.01) = if x > 0 {x} else {slope * x};", images, "conv(4, 3) -> leaky(0.2);")},
      {"powers, quotients and roots",
       network("fn f(x) = (x ^ 3 - 2 / (3 + x ^ 2)) * sqrt(2 + x ^ 2) - abs(x) ^ 1.5;", "6", "f -> linear(3) -> f;")},
      {"functions of functions",
       network("fn g(x, a) = sigmoid(a * x); fn f(x) = x * g(x, 1.702) + max(x, 0.1);", "6", "linear(5) -> f;")},
      {"every activation of the library",
       network("", "9",
               "linear(9) -> leaky_relu -> elu -> selu -> celu(2) -> gelu -> gelu_tanh -> silu -> mish -> softplus(2);"
               "linear(9) -> softsign -> log_sigmoid -> hardtanh(-2, 2) -> hardsigmoid -> linear(9) -> hardswish;"
               "linear(9) -> hardshrink(0.1) -> softshrink(0.1) -> tanhshrink -> threshold(-1, 0) -> relu6;")},
      {"a scale for each channel", network("layer affine(start = 1) { param gamma: f32[c] = start; param beta: f32[c];"
                                           "  y[n, c, h, w] = x[n, c, h, w] * gamma[c] + beta[c]; }",
                                           images, "affine -> conv(4, 3) -> affine(0.5);")},
      {"a dense layer", network("layer dense(out) { param w: f32[out, i]; param b: f32[out];"
                                "  y[n, o] = sum[i](x[n, i] * w[o, i]) + b[o]; }",
                                "11", "dense(19) -> tanh -> dense(3);")},
      {"a convolution", network("layer conv3(out) { param w: f32[out, c, 3, 3];"
                                "  y[n, o, i in 0..5, j in 0..7] ="
                                "    sum[c, u in 0..3, v in 0..3](x[n, c, i + u - 1, j + v - 1] * w[o, c, u, v]); }",
                                images, "conv3(4) -> conv3(2);")},
      {"strided reads",
       network("layer half() { input x: f32[N, C, H, W];"
               "  y[n, c, i in 0..H / 2, j in 0..W / 2] = x[n, c, 2 * i + 1, 2 * j] - 3 * x[n, c, 2 * i, 2 * j + 1]; }",
               "3, 6, 8", "conv(2, 1) -> half;")},
      {"neighbours",
       network(
           "layer smooth() { y[n, c, h, w] = (x[n, c, h - 1, w] + 2 * x[n, c, h, w] ^ 2 + x[n, c, h + 1, w]) / 4; }",
           images, "smooth -> conv(2, 3) -> smooth;")},
      {"flipped and shifted ranges",
       network("layer flip() { input x: f32[N, C]; y[n, c in 0..C] = x[n, C - 1 - c] * c; }"
               "layer inner() { y[n, c in 1..5] = x[n, c] - x[n, c - 1]; }",
               "6", "linear(6) -> flip -> inner;")},
      {"means and deviations of an image",
       network("layer norm(eps = 0.001) { m[n, c] = mean[h, w](x[n, c, h, w]);"
               "  v[n, c] = mean[h, w]((x[n, c, h, w] - m[n, c]) ^ 2);"
               "  y[n, c, h, w] = (x[n, c, h, w] - m[n, c]) / sqrt(v[n, c] + eps); }",
               images, "conv(4, 3, pad = 1) -> norm;")},
      {"statistics of a batch",
       network("layer bn(eps = 0.001) { param gamma: f32[c] = 1; m[c] = mean[n, h, w](x[n, c, h, w]);"
               "  v[c] = mean[n, h, w]((x[n, c, h, w] - m[c]) ^ 2);"
               "  y[n, c, h, w] = gamma[c] * (x[n, c, h, w] - m[c]) / sqrt(v[c] + eps); }",
               images, "conv(4, 3, pad = 1) -> bn;")},
      {"a softmax by hand",
       network("layer soft() { y[n, c] = exp(x[n, c]) / sum[j](exp(x[n, j])); }", "6", "linear(5) -> soft;")},
      {"log-sum-exp", network("layer lse() { y[n] = log(sum[j](exp(x[n, j]))); }", "6", "linear(5) -> lse;")},
      {"extremes", network("layer top() { y[n, c] = max[h, w](x[n, c, h, w]) - min[h](x[n, c, h, 0]); }", images,
                           "conv(4, 3) -> top;")},
      {"two inputs", network("layer gate() { input a: f32[N, C]; input b: f32[N, C]; param s: f32[C] = 1;"
                             "  y[n, c] = a[n, c] * sigmoid(b[n, c] * s[c]); }",
                             "6", "first: linear(5); gate { from(x) -> linear(5); from(first) }")},
      {"weights that are normalised",
       network("layer unit(out) { input x: f32[N, D]; param w: f32[out, D]; s[o] = sqrt(sum[i](w[o, i] ^ 2));"
               "  y[n, o] = sum[i](x[n, i] * w[o, i]) / s[o]; }",
               "6", "unit(5) -> unit(18);")},
      {"attention without parameters",
       network("layer attention() { input q: f32[N, T, D]; s[n, t, u] = sum[d](q[n, t, d] * q[n, u, d]);"
               "  a[n, t, u] = exp(s[n, t, u]) / sum[v](exp(s[n, t, v]));"
               "  y[n, t, d] = sum[u](a[n, t, u] * q[n, u, d]); }",
               "12", "linear(12) -> reshape((4, 3)) -> attention;")},
      {"parameters of one gradient",
       network("layer two() { input x: f32[N, C]; param p: f32[C]; param q: f32[C]; s[c in 0..C] = p[c] + q[c];"
               "  y[n, c] = x[n, c] * x[n, c] + s[c]; }",
               "6", "linear(5) -> two;")},
      {"an elementwise function with a mean",
       network("fn smoothed(x) = mean[i in 0..4](x * (i + 1) ^ 2);", "6", "linear(5) -> smoothed;")},
      {"a value that is read in two shapes at once",
       network("layer blend() { input a: f32[N, C, H, W]; input b: f32[N, D];"
               "  y[n, c, h, w] = a[n, c, h, w] + b[n, 2 * c + 1]; }",
               images, "z: conv(4, 3, pad = 1) -> relu; flat: flatten; blend { from(z); from(flat) } relu;")},
      {"more terms than a kernel has operands",
       network("", "6",
               "a: linear(3); add { "
               "linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3);"
               "linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3); linear(3);"
               "from(a) -> sigmoid; from(a) -> tanh; from(a) -> relu } sigmoid;")},
      {"operators of whole tensors",
       network("", "12",
               "matrix: linear(12) -> reshape((3, 4));"
               "vector: from(x) -> linear(4);"
               "product: matvec { from(matrix); from(vector) } -> cumsum(1);"
               "square: matmul { from(matrix); from(matrix) -> reshape((4, 3)) } -> norm(2, axis = 2) -> scale(0.5);"
               "dot { from(product); from(square) }")},
      {"a function of whole tensors",
       network(
           "fn ratio(a: f32[N, m, k], b: f32[N, k]) = b / (2 + sum(sum(a ^ 2, axis = 1), axis = 1, keepdim = true));",
           "12", "a: linear(12) -> reshape((3, 4)); ratio { from(a); from(x) -> linear(4) }")},
  };
}

}  // namespace

TEST_CASE("gradients of formulas agree with finite differences in both layouts") {
  for (const Network& network : networks()) {
    CAPTURE(network.name);
    const CompiledNetwork compiled(network.text);
    CHECK(compiled.diagnostics.text() == "");
    if (compiled.diagnostics.has_errors()) continue;
    for (int lanes : {1, 16}) {
      CAPTURE(lanes);
      try {
        NetworkRunner runner(compiled, 5, lanes, f64);
        CHECK(runner.worst_difference() == "");
      } catch (const Halide::Error& error) {
        FAIL_CHECK(std::string(error.what()));
      }
    }
  }
}

TEST_CASE("a layer may declare inputs and parameters in any order") {
  const std::string layers = "first: linear(5); gate { from(x) -> linear(5); from(first) }";
  const std::string equation = "y[n, c] = a[n, c] * sum[i](k[i] * i) + sigmoid(b[n, c] * s[c]); }";
  const std::vector<std::string> orders{
      "input a: f32[N, C]; input b: f32[N, C]; param k: f32[3]; param s: f32[C];",
      "param k: f32[3]; input a: f32[N, C]; input b: f32[N, C]; param s: f32[C];",
      "input a: f32[N, C]; param k: f32[3]; input b: f32[N, C]; param s: f32[C];",
      "param k: f32[3]; param s: f32[C]; input a: f32[N, C]; input b: f32[N, C];",
  };
  std::vector<double> first;
  for (const std::string& order : orders) {
    CAPTURE(order);
    const CompiledNetwork compiled(network("layer gate() { " + order + equation, "6", layers));
    REQUIRE(compiled.diagnostics.text() == "");
    NetworkRunner runner(compiled, 5, 1, f64);
    CHECK(runner.worst_difference() == "");
    runner.run().run();
    if (first.empty()) first = runner.output();
    CHECK(runner.output() == first);
  }
}

namespace {

/// y and dx of one function at these places: the loss is mean of (y - label)^2, with y - label = 1/2.
struct Curve {
  std::vector<double> y;
  std::vector<double> dx;
};

Curve curve(const std::string& text, const std::vector<double>& x, Halide::Type real) {
  const CompiledNetwork compiled(network(text, std::to_string(x.size()), "f;"));
  REQUIRE(compiled.diagnostics.text() == "");
  NetworkRunner runner(compiled, 1, 1, real);
  runner.set("x", x);
  runner.run().run();
  const std::vector<double> y = runner.output();
  std::vector<double> label = y;
  for (double& each : label) each -= static_cast<double>(x.size()) / 2;
  runner.set("label", label);
  runner.run().run();
  return {y, runner.gradient("x")};
}

void check_close(const std::vector<double>& found, const std::vector<double>& expected, double epsilon = 1e-5) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(epsilon));
  }
}

}  // namespace

TEST_CASE("formulas are safe where their parts overflow or cancel") {
  const std::vector<double> x{-1000, -100, -20, 0, 20, 100, 1000};
  const double tail = std::log1p(std::exp(-20.0));
  const double slope = 1 / (1 + std::exp(20.0));
  SUBCASE("softplus written out") {
    const Curve c = curve("fn f(x) = log(1 + exp(x));", x, f32);
    check_close(c.y, {0, 0, tail, std::log(2.0), 20, 100, 1000});
    check_close(c.dx, {0, 0, slope, 0.5, 1, 1, 1});
  }
  SUBCASE("sigmoid written out") {
    const Curve c = curve("fn f(x) = 1 / (1 + exp(-x));", x, f32);
    check_close(c.y, {0, 0, slope, 0.5, 1, 1, 1});
    check_close(c.dx, {0, 0, slope, 0.25, 0, 0, 0});
  }
  SUBCASE("mish written out") {
    const Curve c = curve("fn f(x) = x * tanh(log(1 + exp(x)));", x, f32);
    check_close(c.y, {0, 0, -20 * std::tanh(tail), 0, 20, 100, 1000});
    check_close(c.dx, {0, 0, tail - 20 * slope, 0.6, 1, 1, 1});
  }
  SUBCASE("log-sum-exp of large elements") {
    const Curve c = curve("layer f() { y[n, j] = x[n, j] - log(sum[i](exp(x[n, i]))); }", {1000, 999, -1000}, f32);
    const double rest = std::log1p(std::exp(-1.0));
    check_close(c.y, {-rest, -1 - rest, -2000 - rest}, 1e-4);  // 1000 itself has seven digits
  }
  SUBCASE("a norm of zeros has the gradient 0") {
    const Curve c = curve("layer f() { y[n, j] = x[n, j] + sqrt(sum[i](x[n, i] ^ 2)); }", {0, 0}, f32);
    check_close(c.dx, {1, 1});
  }
  SUBCASE("a power of 0 does not change with its exponent") {
    const Curve c = curve("fn f(x) = max(x, 0) ^ (2 + x);", {-1, 1}, f32);
    check_close(c.y, {0, 1});
    check_close(c.dx, {0, 3});
  }
  SUBCASE("what an `if` does not take does not matter") {
    const Curve c = curve("fn f(x) = if x > 0 {log(x)} else {x};", {-2, 0, 2}, f32);
    check_close(c.y, {-2, 0, std::log(2.0)});
    check_close(c.dx, {1, 1, 0.5});
  }
  SUBCASE("equal elements share the gradient of a maximum") {
    const Curve c = curve("layer f() { y[n, j in 0..4] = max[i](x[n, i]); }", {1, 3, 3, 2}, f32);
    check_close(c.y, {3, 3, 3, 3});
    check_close(c.dx, {0, 2, 2, 0});
  }
}

TEST_CASE("exp(x) - 1 and log(1 + x) keep the digits of a small x") {
  const auto check = [](const std::string& text, const std::vector<double>& x, double (*value)(double),
                        double (*slope)(double)) {
    const Curve c = curve(text, x, f32);
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(text);
      CAPTURE(x[i]);
      const double at = static_cast<float>(x[i]);
      CHECK(std::abs(c.y[i] - value(at)) <= 1e-6 * std::abs(value(at)));
      CHECK(std::abs(c.dx[i] - slope(at)) <= 1e-5 * std::abs(slope(at)));
    }
  };
  const auto expm1 = [](double x) { return std::expm1(x); };
  const auto exp = [](double x) { return std::exp(x); };
  const std::vector<double> all{-9, -2, -0.6, -0.5, -0.4, -0.01, -1e-6, -1e-20, 1e-12, 1e-3, 0.3, 0.49, 0.51, 2};
  check("fn f(x) = exp(x) - 1;", all, expm1, exp);
  check("fn f(x) = -(1 - exp(x));", all, expm1, exp);
  check("fn f(x) = -1 + exp(x);", all, expm1, exp);
  const auto log1p = [](double x) { return std::log1p(x); };
  const auto inverse = [](double x) { return 1 / (1 + x); };
  const std::vector<double> most{-0.9, -0.3, -0.25, -0.2, -0.01, -1e-6, -1e-20, 1e-12, 1e-3, 0.24, 0.26, 2, 1e4};
  check("fn f(x) = log(1 + x);", most, log1p, inverse);
  check("fn f(x) = log(x + 1);", most, log1p, inverse);
  check("fn f(x) = log(1 - -x);", most, log1p, inverse);
  check("fn f(x) = elu(x);", {-2, -1e-6, -1e-20}, expm1, exp);
}

TEST_CASE("no gradient flows through what is detached") {
  const Curve c = curve("fn f(x) = x * detach(x) + x;", {-2, 0, 3}, f32);
  check_close(c.y, {2, 0, 12});
  check_close(c.dx, {-1, 1, 4});
}

TEST_CASE("a formula without gradient is welcome where nothing is trained through it") {
  const CompiledNetwork compiled(network("fn rounded(x) = round(4 * x) / 4;", "6", "rounded -> linear(3);"));
  CHECK(compiled.diagnostics.text() == "");
  const std::string scaled = "layer scaled() { param p: f32[c]; y[n, c] = p[c] * floor(4 * x[n, c]); }";
  const CompiledNetwork beside(network(scaled, "6", "scaled;"));
  CHECK(beside.diagnostics.text() == "");
  CHECK(beside.training.gradients.size() == 1);  // that of p; the input has none
  CHECK(CompiledNetwork(network(scaled, "6", "linear(6) -> scaled;")).diagnostics.text().find("N302") !=
        std::string::npos);
}

TEST_CASE("formulas that differ are written differently, which is how kernels are told apart") {
  const CompiledNetwork compiled(network("fn p(x) = (-3) ^ x; fn q(x) = -(3 ^ x);", "6", "p -> q;"));
  const std::string text = print(compiled.training);
  CHECK(text.find("(-3) ^ ") != std::string::npos);
  CHECK(text.find("-(3 ^ ") != std::string::npos);
}

TEST_CASE("a formula runs in the kernel of the layer before it, in training too") {
  const CompiledNetwork compiled(network("", "3, 5, 7", "conv(4, 3) -> mish -> conv(2, 1);"));
  const LaidOutGraph laid_out = lay_out(compiled.training);
  const std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts);
  CHECK(groups.front().name == "conv_mish");
  CHECK(groups.front().outputs.size() == 2);  // the gradient of mish reads what the convolution gave
}
