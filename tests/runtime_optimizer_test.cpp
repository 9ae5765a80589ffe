// SGD against PyTorch's figures.
#include <doctest/doctest.h>

#include "netc/optimizer.h"
#include "netc/safetensors.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;

constexpr int elements = 9;

std::vector<float> read(const SafetensorsReader& file, const char* name, Extents shape) {
  Tensor<float> tensor(shape);
  file.copy_to(tensor.view(), name);
  return tensor.view().to_vector();
}

void check_steps(const char* name, const OptimizerRecipe& recipe) {
  const SafetensorsReader file(test::vectors() / "sgd.safetensors");
  std::vector<float> parameters = read(file, "start", {elements});
  const std::vector<float> gradients = read(file, "gradients", {3, elements});
  const std::vector<float> expected = read(file, name, {elements});
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe);
  for (std::size_t step = 0; step < 3; ++step) {
    optimizer->step(parameters, std::span(gradients).subspan(step * elements, elements));
  }
  CAPTURE(name);
  for (std::size_t i = 0; i < elements; ++i) CHECK(parameters[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("three steps give PyTorch's parameters") {
  check_steps("plain", {"sgd", 0.1, 0, 0, false});
  check_steps("decay", {"sgd", 0.1, 0, 0.01, false});
  check_steps("momentum", {"sgd", 0.05, 0.9, 0.001, false});
  check_steps("nesterov", {"sgd", 0.05, 0.9, 0, true});
}

TEST_CASE("long arrays are updated everywhere") {
  std::vector<float> parameters(100'001, 1.0f);
  const std::vector<float> gradients(100'001, 2.0f);
  Sgd(0.25).step(parameters, gradients);
  CHECK(parameters == std::vector<float>(100'001, 0.5f));
}

TEST_CASE("the state continues a run bit for bit") {
  const std::vector<float> gradients{1, -2, 3};
  std::vector<float> a{1, 2, 3};
  Sgd first(0.1, 0.9);
  first.step(a, gradients);
  std::vector<float> b = a;
  Sgd second(0.1, 0.9);
  const auto from = first.state(3);
  const auto to = second.state(3);
  REQUIRE(from.size() == 1);
  CHECK(from[0].first == "velocity");
  std::copy(from[0].second.begin(), from[0].second.end(), to[0].second.begin());
  first.step(a, gradients);
  second.step(b, gradients);
  CHECK(a == b);
  CHECK(Sgd(0.1).state(3).empty());
}

TEST_CASE("wrong calls are refused") {
  std::vector<float> parameters(3);
  const std::vector<float> gradients(2);
  check_error(ErrorKind::usage, {"expected 3", "found 2"}, [&] { Sgd(0.1).step(parameters, gradients); });
  check_error(ErrorKind::usage, {"nesterov", "momentum"}, [] { Sgd(0.1, 0, 0, true); });
  check_error(ErrorKind::usage, {"adagrad", "sgd"}, [] { make_optimizer({"adagrad", 0.1, 0, 0, false}); });
}

}  // namespace
}  // namespace netc
