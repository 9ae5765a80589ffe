// Every sample of every operator on CUDA, forward and backward, against PyTorch. The driver is the emulator where there
// is no GPU: it sees reads and writes out of bounds.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdlib>

#include "operator_cases.h"
#include "operator_vectors.h"

using namespace netc;
using namespace netc::test;

namespace {

/// Halide's JIT takes the driver that is loaded already.
bool load_driver() {
  return dlopen(std::getenv("NETC_CUDA_DRIVER"), RTLD_NOW | RTLD_GLOBAL) != nullptr;
}

std::unique_ptr<GraphRunner> ran(Experiment& e, int lanes, Inputs inputs, Device device, const Vectors& vectors) {
  auto run = runner(e, vectors_batch, lanes, Halide::Float(32), inputs, {}, false, device);
  set(*run, e, vectors);
  run->run();
  return run;
}

/// What an operator that draws random numbers is to compute is what it does on the CPU: both draw the same.
void compare_with_cpu(const GraphRunner& run, const Experiment& e, const Case& c, int lanes, const Vectors& given) {
  Experiment same = training(c);
  const auto cpu = ran(same, lanes, Inputs::activations, Device::cpu, given);
  CHECK(error(run.get(e.output), cpu->get(same.output)) <= 1e-5);
  for (const auto& [value, gradient] : e.graph.gradients) CHECK(error(run.get(gradient), cpu->get(gradient)) <= 1e-5);
}

void check_training(const Case& c, int lanes) {
  const Vectors expected = read_vectors(c);
  Experiment e = training(c);
  const auto run = ran(e, lanes, Inputs::activations, Device::cuda, expected);
  if (expected.contains("output.train")) {
    compare(*run, e, expected, 1e-5);
  } else {
    compare_with_cpu(*run, e, c, lanes, expected);
  }
}

void check_evaluation(const Case& c, int lanes) {
  const Vectors expected = read_vectors(c);
  Experiment e = evaluation(c);
  const auto run = ran(e, lanes, Inputs::rows, Device::cuda, expected);
  CHECK(error(run->get(e.output), expected.at("output.eval")) <= 1e-5);
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

TEST_CASE("on CUDA every operator computes what PyTorch computes") {
  REQUIRE(load_driver());
  for (const Case& c : cases()) {
    check(c, 1);
    if (&c.sample == &c.op.samples[0]) check(c, 16);
  }
}
