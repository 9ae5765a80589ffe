// Blocks, initial values and parameters of models/custom_blocks.net: what Dive into Deep Learning shows of theirs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "nested.hpp"
#include "netc/safetensors.h"
#include "perceptron.hpp"
#include "tests/elaboration.h"
#include "tests/runtime_support.h"
#include "tied.hpp"
#include "untied.hpp"

namespace netc {
namespace {

using test::Elaboration;
using test::TemporaryFolder;
using Vector = std::vector<double>;

/// W x + b, in double precision.
Vector linear(Network& network, const std::string& path, const Vector& x) {
  const View<float> weight = network.parameter(path + ".weight");
  const View<float> bias = network.parameter(path + ".bias");
  Vector y;
  for (std::int64_t i = 0; i < weight.shape()[0]; ++i) {
    double sum = bias(i);
    for (std::int64_t j = 0; j < weight.shape()[1]; ++j) sum += weight(i, j) * x[static_cast<std::size_t>(j)];
    y.push_back(sum);
  }
  return y;
}

Vector relu(Vector x) {
  for (double& value : x) value = std::max(value, 0.0);
  return x;
}

/// 0.1, -0.2, 0.3, … in a tensor's row-major order.
Tensor<float> waves(const Extents& shape) {
  Tensor<float> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = 0.1F * static_cast<float>(i % 9 + 1) * (i % 2 == 0 ? 1.0F : -1.0F);
  }
  return tensor;
}

Vector row(View<const float> tensor, std::int64_t n) {
  Vector values;
  for (std::int64_t i = 0; i < tensor.shape()[1]; ++i) values.push_back(tensor(n, i));
  return values;
}

// ---- Blocks ---------------------------------------------------------------------------------------------------------

TEST_CASE("block contract: takes inputs, gives outputs") {
  perceptron::Model model;
  const Tensor<float> x = waves({2, 20});
  CHECK(model.forward(x.view()).shape() == Extents{2, 10});
  CHECK(model.parameters.linear.weight.shape() == Extents{256, 20});
}

TEST_CASE("block contract: gives the gradient with respect to inputs") {
  nested::Model model(3);
  Tensor<float> x = waves({2, 4});
  const Tensor<float> y = waves({2, 1});
  // Large weights bring the gradient through nine layers, and biases above zero keep most of their relus open.
  for (const auto& [path, view] : model.named_parameters()) {
    view *= 2.5F;
    if (path.ends_with("bias")) view.fill(2);
  }
  model.backward(x.view(), y.view());
  const std::vector<float> gradient = model.input_gradient(0).to_vector();
  const auto loss = [&] { return static_cast<double>(model.backward(x.view(), y.view())); };
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const float before = x.data()[i];
    x.data()[i] = before + 0.05F;
    const double above = loss();
    x.data()[i] = before - 0.05F;
    const double below = loss();
    x.data()[i] = before;
    CHECK(gradient[i] == doctest::Approx((above - below) / 0.1).epsilon(0.01));
  }
  CHECK(std::any_of(gradient.begin(), gradient.end(), [](float g) { return std::abs(g) > 1e-3; }));
}

TEST_CASE("block contract: owns and initialises its parameters, and nests") {
  nested::Model model;
  std::vector<std::string> paths;
  for (const auto& [path, view] : model.named_parameters()) {
    paths.push_back(path);
    const double bound = 1 / std::sqrt(path.ends_with("linear2.weight") || path.ends_with("linear2.bias") ? 8.0 : 4.0);
    view.for_each([&](float& value) { CHECK(std::abs(value) <= bound); });
  }
  REQUIRE(paths.size() == 4 * 4 + 2);
  CHECK(paths[0] == "body.0.linear.weight");
  CHECK(paths[3] == "body.0.linear2.bias");
  CHECK(paths[12] == "body.3.linear.weight");
  CHECK(paths[16] == "out.weight");
  CHECK(model.parameter("body.2.linear.weight").to_vector() != model.parameter("body.1.linear.weight").to_vector());
  const Tensor<float> x = waves({2, 4});
  const View<const float> output = model.forward(x.view());
  REQUIRE(output.shape() == Extents{2, 1});
  Vector value = row(std::as_const(x).view(), 1);
  for (const std::string block : {"body.0", "body.1", "body.2", "body.3"}) {
    value = relu(linear(model, block + ".linear2", relu(linear(model, block + ".linear", value))));
  }
  CHECK(output(1, 0) == doctest::Approx(linear(model, "out", value)[0]).epsilon(1e-5));
}

TEST_CASE("sequential: order is composition") {
  perceptron::Model model;
  const Tensor<float> x = waves({3, 20});
  const View<const float> output = model.forward(x.view());
  for (std::int64_t n = 0; n < 3; ++n) {
    const Vector expected = linear(model, "linear2", relu(linear(model, "linear", row(std::as_const(x).view(), n))));
    for (std::int64_t i = 0; i < 10; ++i) {
      CHECK(output(n, i) == doctest::Approx(expected[static_cast<std::size_t>(i)]).epsilon(1e-4));
    }
  }
}

// ---- Initialisation -------------------------------------------------------------------------------------------------

/// The parameters of a model of custom_blocks.net as a program finds them.
std::vector<float> initial(const std::string& model, const std::string& path) {
  return Elaboration::of_file("models/custom_blocks.net", model).initial(path);
}

bool all_within(const std::vector<float>& values, double low, double high) {
  return std::all_of(values.begin(), values.end(), [&](float x) { return x >= low && x <= high; });
}

TEST_CASE("initialisation: default (uniform by fan-in)") {
  const std::vector<float> first = initial("by_default", "linear1.weight");
  CHECK(first.size() == 32);
  CHECK(all_within(first, -0.5, 0.5));
  CHECK(*std::max_element(first.begin(), first.end()) > 0.35);
  CHECK(all_within(initial("by_default", "linear1.bias"), -0.5, 0.5));
  CHECK(all_within(initial("by_default", "linear2.weight"), -1 / std::sqrt(8.0), 1 / std::sqrt(8.0)));
}

TEST_CASE("initialisation: normal(std 0.01) with zero bias") {
  const std::vector<float> weight = initial("gaussian", "linear1.weight");
  double squares = 0;
  for (const float w : weight) squares += static_cast<double>(w) * w;
  CHECK(std::sqrt(squares / 32) == doctest::Approx(0.01).epsilon(0.35));  // 32 draws: two standard errors are 0.25
  CHECK(all_within(weight, -0.04, 0.04));
  CHECK(initial("gaussian", "linear1.bias") == std::vector<float>(8, 0.0F));
  CHECK(initial("gaussian", "linear2.bias") == std::vector<float>{0});
}

TEST_CASE("initialisation: constant") {
  CHECK(initial("ones", "linear1.weight") == std::vector<float>(32, 1.0F));
  CHECK(initial("ones", "linear1.bias") == std::vector<float>(8, 0.0F));
}

TEST_CASE("initialisation: xavier_uniform (bound sqrt(6/(fan_in+fan_out))); a different one for each block") {
  const std::vector<float> first = initial("by_layer", "linear1.weight");
  const double bound = std::sqrt(6.0 / (4 + 8));
  CHECK(all_within(first, -bound, bound));
  CHECK(*std::max_element(first.begin(), first.end()) > 0.75 * bound);
  CHECK(initial("by_layer", "linear2.weight") == std::vector<float>(8, 42.0F));
}

TEST_CASE("initialisation: custom: U(-10,10) kept where abs(w) >= 5, else 0") {
  const std::vector<float> weight = initial("custom", "linear1.weight");
  CHECK(std::all_of(weight.begin(), weight.end(),
                    [](float w) { return w == 0 || (std::abs(w) >= 5 && std::abs(w) <= 10); }));
  const auto zeros = std::count(weight.begin(), weight.end(), 0.0F);
  CHECK(zeros >= 16 - 9);  // of 32, each with probability 1/2: three standard deviations
  CHECK(zeros <= 16 + 9);
  CHECK(std::any_of(weight.begin(), weight.end(), [](float w) { return w > 5; }));
  CHECK(std::any_of(weight.begin(), weight.end(), [](float w) { return w < -5; }));
}

// ---- Parameters -----------------------------------------------------------------------------------------------------

TEST_CASE("parameter access: list all names, shapes and values") {
  tied::Model model;
  std::vector<std::string> found;
  for (const auto& [path, view] : model.named_parameters()) found.push_back(path + to_string(view.shape()));
  CHECK(found == std::vector<std::string>{"first.weight[8,4]", "first.bias[8]", "h.weight[8,8]", "h.bias[8]",
                                          "out.weight[1,8]", "out.bias[1]"});
  CHECK(model.named_parameters()[4].second.to_vector() == model.parameters.out.weight.to_vector());
}

TEST_CASE("parameter access: read and write one parameter, one element (`w[0,0] = 42`), whole (`w += 1`)") {
  tied::Model model;
  const View<float> w = model.parameters.first.weight;
  const std::vector<float> before = w.to_vector();
  w += 1;
  w(0, 0) = 42;
  CHECK(w(0, 0) == 42);
  CHECK(w(0, 1) == before[1] + 1);
  CHECK(model.parameter("first.weight")(7, 3) == before[31] + 1);
  model.parameter("first.bias").fill(0);
  CHECK(model.parameters.first.bias.to_vector() == std::vector<float>(8, 0.0F));
}

TEST_CASE("parameter tying: one shared linear 8->8 used twice: one parameter, one optimizer slot, stored once") {
  tied::Model model;
  Sgd optimizer(0.1, 0.9);
  const auto is_shared = [](const ParameterSpec& spec) { return spec.shape == std::vector<std::int64_t>{8, 8}; };
  const auto& specs = model.description().parameters;
  CHECK(std::count_if(specs.begin(), specs.end(), is_shared) == 1);
  CHECK(optimizer.state(model.parameters_flat().size())[0].second.size() == model.parameters_flat().size());
  const TemporaryFolder folder;
  model.save(folder / "w.safetensors");
  const SafetensorsReader file(folder / "w.safetensors");
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) names.push_back(name);
  CHECK(names ==
        std::vector<std::string>{"first.bias", "first.weight", "h.bias", "h.weight", "out.bias", "out.weight"});
}

/// Gives the layers of `to` the values of those of `from`, both uses of the shared one.
void untie(tied::Model& from, untied::Model& to) {
  const auto copy = [&](const std::string& source, const std::string& target) {
    for (const char* leaf : {".weight", ".bias"}) to.parameter(target + leaf).copy_from(from.parameter(source + leaf));
  };
  copy("first", "first");
  copy("h", "h1");
  copy("h", "h2");
  copy("out", "out");
}

TEST_CASE("parameter tying: writing one changes both") {
  tied::Model shared;
  untied::Model apart;
  shared.parameters.h.weight(0, 0) = 100;
  untie(shared, apart);
  const Tensor<float> x = waves({4, 4});
  CHECK(shared.forward(x.view()).to_vector() == apart.forward(x.view()).to_vector());
  apart.parameters.h2.weight(0, 0) = 0;
  CHECK(shared.forward(x.view()).to_vector() != apart.forward(x.view()).to_vector());
}

TEST_CASE("parameter tying: gradients add") {
  tied::Model shared;
  untied::Model apart;
  for (const auto& [path, view] : shared.named_parameters()) view += 0.1F;  // no use is idle
  untie(shared, apart);
  const Tensor<float> x = waves({4, 4});
  const Tensor<float> y = waves({4, 1});
  CHECK(shared.backward(x.view(), y.view()) == apart.backward(x.view(), y.view()));
  for (const std::string leaf : {".weight", ".bias"}) {
    const std::vector<float> sum = shared.gradient("h" + leaf).to_vector();
    const std::vector<float> first = apart.gradient("h1" + leaf).to_vector();
    const std::vector<float> second = apart.gradient("h2" + leaf).to_vector();
    for (std::size_t i = 0; i < sum.size(); ++i) {
      CHECK(sum[i] == doctest::Approx(static_cast<double>(first[i]) + second[i]).epsilon(1e-5));
    }
    const auto is_large = [](float g) { return std::abs(g) > 1e-4; };
    CHECK(std::any_of(first.begin(), first.end(), is_large));
    CHECK(std::any_of(second.begin(), second.end(), is_large));
  }
}

}  // namespace
}  // namespace netc
