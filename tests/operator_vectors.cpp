#include "operator_vectors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "netc/safetensors.h"

namespace netc::test {

std::filesystem::path vectors_folder() {
  return "tests/parity/operators";  // tests run in the root of the source tree
}

Vectors read_vectors(const Case& c, const std::string& folder) {
  const SafetensorsReader file(vectors_folder() / folder / (c.name() + ".safetensors"));
  Vectors result;
  for (const auto& [name, tensor] : file.tensors()) {
    REQUIRE(tensor.dtype == "F64");
    result[name].resize(tensor.bytes.size() / sizeof(double));
    std::memcpy(result[name].data(), tensor.bytes.data(), tensor.bytes.size());
  }
  return result;
}

void set(GraphRunner& run, const Experiment& e, const Vectors& vectors) {
  for (const auto& [name, value] : e.given) {
    if (name == "projection") {
      run.set_gradient(value, vectors.at(name));
    } else {
      run.set(value, vectors.at(name));
    }
  }
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (double element : x) squares += element * element;
  return std::sqrt(squares);
}

double error(std::vector<double> actual, const std::vector<double>& expected) {
  if (actual.size() != expected.size()) return HUGE_VAL;
  for (std::size_t i = 0; i < actual.size(); ++i) actual[i] -= expected[i];
  const double size = norm(expected);
  return norm(actual) / (size > 0 ? size : 1);
}

namespace {

std::vector<double> product(std::vector<double> x, const std::vector<double>& y) {
  std::transform(x.begin(), x.end(), y.begin(), x.begin(), std::multiplies<>());
  return x;
}

}  // namespace

void compare(const GraphRunner& run, const Experiment& e, const Vectors& expected, double tolerance) {
  const auto check = [&](const std::string& name, ValueId value, const std::vector<double>& wanted) {
    CAPTURE(name);
    CHECK(error(run.get(value), wanted) <= tolerance);
  };
  const bool projected = e.given.contains("projection");
  const std::vector<double>& output = expected.at("output.train");
  check("output", e.output, projected ? product(output, expected.at("projection")) : output);
  for (const auto& [value, gradient] : e.graph.gradients) {
    check("gradient." + e.graph[value].name, gradient, expected.at("gradient." + e.graph[value].name));
    CHECK(norm(run.padding(gradient)) == 0);
  }
  for (const auto& [name, value] : e.given) {
    if (e.graph[value].role == Role::buffer) check("after." + name, value, expected.at("after." + name));
  }
}

}  // namespace netc::test
