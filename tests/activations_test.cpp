// The activations of models/std/activations.net and their gradients, beside PyTorch's (tests/parity/activations.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "netc/safetensors.h"
#include "network_runner.h"

using namespace netc;
using namespace netc::test;

namespace {

constexpr int examples = 3;
constexpr int features = 33;

std::vector<double> numbers(const SafetensorsReader& file, const std::string& name, const Extents& shape) {
  Tensor<float> tensor(shape);
  file.copy_to(tensor.view(), name);
  return {tensor.data(), tensor.data() + tensor.size()};
}

/// The furthest: relative, or absolute below 0.05, where sums cancel.
double error(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    REQUIRE(std::isfinite(found[i]));
    worst = std::max(worst, std::abs(found[i] - expected[i]) / std::max(std::abs(expected[i]), 0.05));
  }
  return worst;
}

/// They are to be as good as PyTorch's single precision.
void compare(const SafetensorsReader& file, const std::string& name, const std::vector<double>& found) {
  const double peer = numbers(file, name + ", error", {1})[0];
  CHECK(error(found, numbers(file, name, {examples, features})) <= std::max(3e-6, 2 * peer));
}

TEST_CASE("activations agree with PyTorch's") {
  const SafetensorsReader file("tests/parity/runtime/activations.safetensors");
  const std::string end = ": value";
  int compared = 0;
  for (const auto& [tensor, stored] : file.tensors()) {
    if (!tensor.ends_with(end)) continue;
    const std::string activation = tensor.substr(0, tensor.size() - end.size());
    INFO(activation);
    const CompiledNetwork network("model m { input x: f32[N, 33]; " + activation + "; loss mse; }");
    REQUIRE_MESSAGE(!network.diagnostics.has_errors(), network.diagnostics.text());
    for (const int lanes : {1, 16}) {
      NetworkRunner runner(network, examples, lanes, Halide::Float(32));
      runner.set("x", numbers(file, "x", {examples, features}));
      runner.run().set(runner.graph().labels[0], std::vector<double>(examples * features, 0.0));
      runner.run().run();
      compare(file, tensor, runner.output());
      compare(file, activation + ": gradient", runner.gradient("x"));
    }
    ++compared;
  }
  CHECK(compared >= 30);
}

}  // namespace
