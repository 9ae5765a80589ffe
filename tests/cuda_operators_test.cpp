// Every sample of every operator on CUDA, forward and backward, against the CPU (which operators_test holds against
// PyTorch). The driver is the emulator where there is no GPU: it sees reads and writes out of bounds.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "operator_cases.h"

using namespace netc;
using namespace netc::test;

namespace {

constexpr int batch = 5;  // with 16 lanes the only block is padded

/// Halide's JIT takes the driver that is loaded already.
bool load_driver() {
  return dlopen(std::getenv("NETC_CUDA_DRIVER"), RTLD_NOW | RTLD_GLOBAL) != nullptr;
}

/// Numbers that no two elements share, so that maxima have no ties.
std::vector<double> numbers(std::int64_t count, unsigned stream) {
  std::mt19937 random(stream);
  std::uniform_real_distribution<double> uniform(0.05, 1);
  std::vector<double> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(uniform(random));
  return result;
}

void give(GraphRunner& run, const Experiment& e) {
  unsigned stream = 1;
  for (const auto& [name, value] : e.given) {
    const Shape& shape = e.graph[value].shape;
    std::vector<double> elements = numbers(shape.elements() * (shape.has_batch() ? batch : 1), stream++);
    if (e.graph[value].type == DType::i32) {
      for (double& element : elements) element = std::floor(element * 7);
    }
    if (name == "projection") {
      run.set_gradient(value, elements);
    } else {
      run.set(value, elements);
    }
  }
}

double norm(const std::vector<double>& x) {
  double squares = 0;
  for (double element : x) squares += element * element;
  return std::sqrt(squares);
}

double difference(std::vector<double> a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  const double size = norm(b);
  return norm(a) / (size > 0 ? size : 1);
}

void compare(const GraphRunner& cuda, const GraphRunner& cpu, ValueId value, const std::string& name) {
  CAPTURE(name);
  CHECK(difference(cuda.get(value), cpu.get(value)) <= 1e-5);
}

void check_training(const Case& c, int lanes) {
  Experiment e = training(c);
  Experiment same = training(c);
  const auto cpu = runner(e, batch, lanes, Halide::Float(32), Inputs::activations);
  const auto cuda = runner(same, batch, lanes, Halide::Float(32), Inputs::activations, {}, false, Device::cuda);
  give(*cpu, e);
  give(*cuda, e);
  cpu->run();
  cuda->run();
  compare(*cuda, *cpu, e.output, "output");
  for (const auto& [value, gradient] : e.graph.gradients) {
    compare(*cuda, *cpu, gradient, "gradient of " + e.graph[value].name);
    CHECK(norm(cuda->padding(gradient)) == 0);
  }
  for (const auto& [name, value] : e.given) {
    if (e.graph[value].role == Role::buffer) compare(*cuda, *cpu, value, name);
  }
}

void check_evaluation(const Case& c, int lanes) {
  Experiment e = evaluation(c);
  Experiment same = evaluation(c);
  const auto cpu = runner(e, batch, lanes, Halide::Float(32), Inputs::rows);
  const auto cuda = runner(same, batch, lanes, Halide::Float(32), Inputs::rows, {}, false, Device::cuda);
  give(*cpu, e);
  give(*cuda, e);
  cpu->run();
  cuda->run();
  compare(*cuda, *cpu, e.output, "output");
}

void check(const Case& c, int lanes) {
  CAPTURE(c.name());
  CAPTURE(lanes);
  try {
    check_training(c, lanes);
    if (c.op.in_evaluation) check_evaluation(c, lanes);
  } catch (const Halide::Error& error) {
    FAIL_CHECK(std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("on CUDA every operator computes what it computes on the CPU") {
  REQUIRE(load_driver());
  for (const Case& c : cases()) {
    check(c, 1);
    if (&c.sample == &c.op.samples[0]) check(c, 16);
  }
}
