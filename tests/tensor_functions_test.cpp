// Tensor functions: the figures of Dive into Deep Learning, and gradients against finite differences.
#include <doctest/doctest.h>

#include <Halide.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/elaborate/imports.h"
#include "compiler/formula/examples.h"
#include "compiler/kernels/lower_function.h"

using namespace netc;

namespace {

/// A file's functions, and what its examples come to.
struct Functions {
  explicit Functions(const std::string& text) {
    sources.push_back(std::make_unique<Source>("functions.net", text));
    const Source& source = *sources.front();
    tree = parse(source, diagnostics);
    Reporter reporter(diagnostics);
    imports = std::make_unique<Imports>(std::filesystem::absolute("models/std"), sources, diagnostics, reporter);
    const Environment& environment = imports->load(tree, source);
    functions = read_functions(tree, environment, reporter);
    held = check_examples(tree, environment, functions, reporter);
  }

  std::vector<std::unique_ptr<Source>> sources;
  Diagnostics diagnostics;
  ast::Node tree;
  std::unique_ptr<Imports> imports;
  std::vector<TensorFunction> functions;
  int held = 0;
};

void check_examples(const std::string& text, int examples) {
  const Functions file(text);
  CHECK(file.diagnostics.text() == "");
  CHECK(file.held == examples);
}

}  // namespace

TEST_CASE("reductions, A = arange(20) as 5x4") {
  check_examples(R"(
    fn total(a: f32[m, n]) = sum(a);
    fn mean_of_all(a: f32[m, n]) = mean(a);
    fn sum0(a: f32[m, n]) = sum(a, axis = 0);
    fn sum1(a: f32[m, n]) = sum(a, axis = 1);
    fn mean0(a: f32[m, n]) = mean(a, axis = 0);
    fn outer(a: f32[k, m, n]) = sum(a, axis = (0, -1));
    fn largest(a: f32[m, n]) = max(a, axis = 1) - min(a, axis = 1);
    example sum0(arange(20, shape = (5, 4))) == (40, 45, 50, 55);
    example sum1(arange(20, shape = (5, 4))) == (6, 22, 38, 54, 70);
    example mean0(arange(20, shape = (5, 4))) == (8, 9, 10, 11);
    example total(arange(20, shape = (5, 4))) == 190;
    example mean_of_all(arange(20, shape = (5, 4))) == 9.5;
    example outer(arange(20, shape = (2, 5, 2))) == (22, 30, 38, 46, 54);
    example largest(arange(20, shape = (5, 4))) == (3, 3, 3, 3, 3);
  )",
                 7);
}

TEST_CASE("keepdim sum, broadcasting, cumsum") {
  check_examples(R"(
    fn shares(a: f32[m, n]) = a / sum(a, axis = 1, keepdim = true);
    fn running(a: f32[m, n]) = cumsum(a, axis = 0);
    fn along(a: f32[m, n]) = cumsum(a, axis = 1);
    fn table(a: f32[m, 1], b: f32[n]) = a + b;
    example shares(arange(4, shape = (2, 2))) == ((0, 1), (0.4, 0.6));
    example running(arange(20, shape = (5, 4)))
      == ((0, 1, 2, 3), (4, 6, 8, 10), (12, 15, 18, 21), (24, 28, 32, 36), (40, 45, 50, 55));
    example along(arange(6, shape = (2, 3))) == ((0, 1, 3), (3, 7, 12));
    example table(((1,), (2,)), (10, 20, 30)) == ((11, 21, 31), (12, 22, 32));
  )",
                 4);
}

TEST_CASE("dot, matrix-vector, matrix-matrix") {
  check_examples(R"(
    fn inner(x: f32[n], y: f32[n]) = dot(x, y);
    fn mv(a: f32[m, n], x: f32[n]) = matvec(a, x);
    fn mm(a: f32[m, k], b: f32[k, n]) = matmul(a, b);
    fn written(a: f32[m, k], b: f32[k, n]) { y[i, j] = sum[l](a[i, l] * b[l, j]); }
    fn gram(a: f32[m, k]) = matmul(a, transpose(a));
    example inner(arange(4), ones(4)) == 6;
    example mv(arange(20, shape = (5, 4)), arange(4)) == (14, 38, 62, 86, 110);
    example mm(arange(20, shape = (5, 4)), ones(4, 3)) == mm(arange(20, shape = (5, 4)), ones(4, 3));
    example mm(arange(20, shape = (5, 4)), ones(4, 3)) == written(arange(20, shape = (5, 4)), ones(4, 3));
    example written(arange(4, shape = (2, 2)), ((1, 2), (3, 4))) == ((3, 4), (11, 16));
    example gram(arange(4, shape = (2, 2))) == ((1, 3), (3, 13));
  )",
                 6);
}

TEST_CASE("a tensor broadcasts against itself in another shape") {
  check_examples(R"(
    fn differences(x: f32[n, 1]) = x - transpose(x);
    fn centred(a: f32[m, k, 1]) = a - sum(sum(a, axis = 0), axis = 1);
    example differences(((1,), (2,), (4,))) == ((0, -1, -3), (1, 0, -2), (3, 2, 0));
    example centred((((1,), (2,)), ((3,), (4,)))) == (((-3, -5), (-2, -4)), ((-1, -3), (0, -2)));
  )",
                 2);
}

TEST_CASE("norms") {
  check_examples(R"(
    fn l2(x: f32[n]) = norm(x);
    fn l1(x: f32[n]) = norm(x, p = 1);
    fn l3(x: f32[n]) = norm(x, p = 3);
    fn rows(a: f32[m, n]) = norm(a, axis = 1, keepdim = true);
    fn frobenius(a: f32[m, n]) = norm(a);
    example l2((3, -4)) == 5;
    example l1((3, -4)) == 7;
    example l3((1, -2, 2)) == 2.571281590658235;
    example rows(((3, 4), (6, -8))) == ((5,), (10,));
    example frobenius(ones(4, 9)) == 6;
  )",
                 5);
}

TEST_CASE("inputs that share a gradient have each its own") {
  check_examples(R"(
    fn plus(a: f32[n], b: f32[n]) = a + b;
    fn plus_twice(a: f32[n], b: f32[n], c: f32[n]) = a + b + c;
    fn totals(a: f32[n], b: f32[n]) = sum(a) + sum(b);
    example plus((1, 2), (3, 4)) == (4, 6);
    example gradient(plus, (1, 2), (3, 4)) == (1, 1);
    example gradient(plus, (1, 2), (3, 4), input = 1) == (1, 1);
    example plus_twice((1, 2), (3, 4), (5, 6)) == (9, 12);
    example gradient(plus_twice, (1, 2), (3, 4), (5, 6), input = 2) == (1, 1);
    example totals((1, 2), (3, 4)) == 10;
    example gradient(totals, (1, 2), (3, 4), input = 1) == (1, 1);
  )",
                 7);
}

TEST_CASE("functions of elements, for numbers and for tensors") {
  check_examples(R"(
    fn twice(x) = x * 2;
    fn line(x, slope = 1, start = 0) = slope * x + start;
    example twice(3) == 6;
    example twice((1, 2)) == (2, 4);
    example gradient(twice, 3) == 2;
    example line(((1, 2), (3, 4)), 2, start = 1) == ((3, 5), (7, 9));
    example gradient(line, (1, 2), 3, input = 0) == (3, 3);
    example elu(-0.000001) == -0.0000009999995;
    example exp(0) == 1;
  )",
                 7);
}

TEST_CASE("functions of elements that sum by themselves leave the caller's sizes alone") {
  check_examples(R"(
    fn shifted(x) = x + sum[i in 0..3](i);
    fn f(a: f32[m, n]) { y[k] = shifted(mean[j](a[k, j])); }
    example f(((1, 2), (3, 4))) == (4.5, 6.5);
  )",
                 1);
}

TEST_CASE("an example is off by a part of its largest element at most") {
  const auto held = [](const std::string& value) {
    return Functions("fn same(a: f32[n]) = a;\nexample same(" + value + ";").held;
  };
  CHECK(held("(0.000001,)) == (0.000009,)") == 0);
  CHECK(held("(0.000001,)) == (0.000001000005,)") == 1);
  CHECK(held("(1, 0.000001)) == (1, 0.000009)") == 1);
  CHECK(held("(1000, 1.02)) == (1000, 1)") == 0);
  CHECK(held("(1000000, 3)) == (1000000, -5)") == 0);
  CHECK(held("(0.000001,)) == (0,)") == 1);
  CHECK(held("(0.0001,)) == (0,)") == 0);
}

TEST_CASE("formulas beyond all measure end in an error, not in a crash") {
  const auto refused = [](const std::string& formula) {
    return Functions("fn f(x) = " + formula + ";\nexample f(1) == 1;").diagnostics.text().find("N121") !=
           std::string::npos;
  };
  const auto chain = [](const std::string& link) {
    std::string text = "x";
    for (int i = 0; i < 100'000; ++i) text += link;
    return text;
  };
  CHECK(refused(chain(" + x")));
  CHECK(refused(chain(" && x > 0")));
  CHECK(refused(chain(" ^ x")));
  CHECK(refused(std::string(100'001, '!') + "x"));
  CHECK_FALSE(refused(std::string(100'000, '-') + "x"));
  std::string doubling = "fn g30(x) = x;\n";
  for (int i = 30; i-- > 0;) {
    const std::string next = "g" + std::to_string(i + 1) + "(x)";
    doubling += "fn g" + std::to_string(i) + "(x) = " + next + " * " + next + ";\n";
  }
  CHECK(Functions(doubling + "example g0(1) == 1;").diagnostics.text().find("N121") != std::string::npos);
}

TEST_CASE("gradient: of a scalar function of a vector, and of everything above, derived automatically") {
  std::ifstream file("models/tensors.net");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  int stated = 0;
  for (std::size_t at = text.find("\nexample "); at != std::string::npos; at = text.find("\nexample ", at + 1))
    ++stated;
  const Functions chapter(text);
  CHECK(chapter.diagnostics.text() == "");
  CHECK(stated > 25);
  CHECK(chapter.held == stated);
  for (const TensorFunction& function : chapter.functions) CHECK(function.gradient.has_value());
}

TEST_CASE("the command computes the examples of models/tensors.net") {
  const test::WorkingFolder folder;
  const std::string chapter = (folder.before() / "models/tensors.net").string();
  CHECK(test::run_netc({"check", "--examples", chapter}).status == 0);
  std::ofstream("wrong.net") << "fn l1(x: f32[n]) = sum(abs(x));\nexample l1((3, -4)) == 6;\n";
  CHECK(test::run_netc({"check", "wrong.net"}).status == 0);
  const test::CommandResult wrong = test::run_netc({"check", "--examples", "wrong.net"});
  CHECK(wrong.status == 1);
  CHECK(test::contains(wrong.err, "wrong.net:2:9: error[N144]: the example does not hold: the left side is 7"));
  CHECK(test::contains(test::run_netc({"summary", chapter}).err, "defines functions, but no model"));
}

// ---- Finite differences ---------------------------------------------------------------------------------------------

namespace {

using Buffer = Halide::Buffer<float>;

float pseudo(int i, int stream) {
  const double angle = i * 0.6180339887498949 + stream * 0.7548776662466927;
  return static_cast<float>(0.25 + angle - std::floor(angle));
}

Buffer filled(const Shape& shape, const std::vector<int>& sizes, int stream) {
  std::vector<int> extents;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    const std::int64_t extent = shape[axis];
    extents.push_back(extent > first_size ? static_cast<int>(extent)
                                          : sizes[static_cast<std::size_t>(first_size - extent)]);
  }
  Buffer buffer(extents);
  for (std::size_t i = 0; i < buffer.number_of_elements(); ++i) buffer.data()[i] = pseudo(static_cast<int>(i), stream);
  return buffer;
}

std::vector<Buffer> run(const TensorFunction& function, const Graph& graph, const std::vector<Buffer>& inputs,
                        const std::vector<int>& sizes) {
  FunctionPipeline lowered = lower_function(function, graph, Halide::get_host_target());
  for (std::size_t i = 0; i < sizes.size(); ++i) lowered.sizes[i].set(sizes[i]);
  for (std::size_t i = 0; i < inputs.size(); ++i) lowered.inputs[i].set(inputs[i]);
  std::vector<Buffer> outputs;
  for (ValueId output : graph.outputs) outputs.push_back(filled(graph[output].shape, sizes, 0));
  lowered.pipeline.realize(Halide::Realization({outputs.begin(), outputs.end()}));
  return outputs;
}

/// The sum of the value's elements times `weights`.
double weighted(const TensorFunction& function, const std::vector<Buffer>& inputs, const std::vector<int>& sizes,
                const Buffer& weights) {
  const Buffer value = run(function, function.value, inputs, sizes)[0];
  double sum = 0;
  for (std::size_t i = 0; i < value.number_of_elements(); ++i) sum += double(value.data()[i]) * weights.data()[i];
  return sum;
}

void check_gradient(const TensorFunction& function, const std::vector<int>& sizes) {
  const Graph& graph = function.value;
  std::vector<Buffer> inputs;
  for (ValueId input : graph.inputs) inputs.push_back(filled(graph[input].shape, sizes, input + 1));
  std::vector<Buffer> given = inputs;
  given.push_back(filled(graph[graph.outputs[0]].shape, sizes, 77));
  const std::vector<Buffer> gradients = run(function, *function.gradient, given, sizes);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const int last = static_cast<int>(inputs[i].number_of_elements()) - 1;
    for (int at : {0, last / 2, last}) {
      CAPTURE(i);
      CAPTURE(at);
      constexpr float step = 1e-2F;
      const float x = inputs[i].data()[at];
      inputs[i].data()[at] = x + step;
      const double above = weighted(function, inputs, sizes, given.back());
      inputs[i].data()[at] = x - step;
      const double below = weighted(function, inputs, sizes, given.back());
      inputs[i].data()[at] = x;
      CHECK(gradients[i].data()[at] == doctest::Approx((above - below) / (2 * step)).epsilon(2e-3));
    }
  }
}

}  // namespace

TEST_CASE("gradients of tensor functions agree with finite differences for several sizes") {
  const Functions file(R"(
    fn softmax(a: f32[m, n]) = exp(a) / sum(exp(a), axis = 1, keepdim = true);
    fn shares(a: f32[m, n]) = a / sum(a, axis = 0, keepdim = true);
    fn mm(a: f32[m, k], b: f32[k, n]) { y[i, j] = sum[l](a[i, l] * b[l, j]); }
    fn affine(a: f32[m, n], x: f32[n], b: f32[m]) = tanh(matvec(a, x) + b);
    fn lp(x: f32[n]) = norm(x, p = 3);
    fn running(a: f32[m, n]) = cumsum(a ^ 2, axis = 1) * cumsum(a, axis = 0);
    fn spread(a: f32[m, n]) = norm(a - mean(a, axis = 0, keepdim = true), axis = 0);
    fn smooth(x: f32[n]) { y[i] = (x[i - 1] + 2 * x[i] + x[i + 1]) / 4 * x[i]; }
    fn plus(a: f32[n], b: f32[n]) = a + b;
    fn plus_twice(a: f32[n], b: f32[n], c: f32[n]) = a + b + c;
    fn totals(a: f32[n], b: f32[n]) = sum(a) + sum(b);
    fn grown(a: f32[n]) = exp(a) - 1 + log(1 + a) - log(1 - a / 4);
  )");
  CHECK(file.diagnostics.text() == "");
  for (const TensorFunction& function : file.functions) {
    CAPTURE(function.name);
    REQUIRE(function.gradient.has_value());
    for (const std::vector<int>& pattern : {std::vector<int>{3, 5, 4}, std::vector<int>{1, 17, 2}}) {
      check_gradient(function, {pattern.begin(), pattern.begin() + static_cast<int>(function.sizes.size())});
    }
  }
}
