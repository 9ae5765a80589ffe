#include "gpu_operators.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "operator_vectors.h"

namespace netc::test {

namespace {

using Halide::DeviceAPI;

/// What is planned before a run is what kernels take, but for seed and step, which few of them read.
void check_scratch(const GraphRunner& run) {
  constexpr std::int64_t counters = 8;
  for (const GraphRunner::Scratch& kernel : run.scratch()) {
    CAPTURE(kernel.allocated);
    CAPTURE(kernel.planned);
    CHECK((kernel.allocated == kernel.planned || kernel.allocated == kernel.planned + counters));
  }
}

std::unique_ptr<GraphRunner> ran(Experiment& e, int lanes, Inputs inputs, DeviceAPI api, const Vectors& vectors) {
  auto run = runner(e, vectors_batch, lanes, Halide::Float(32), inputs, {}, false, api);
  set(*run, e, vectors);
  run->run();
  check_scratch(*run);
  return run;
}

/// What an operator that draws random numbers is to compute is what it does on the CPU: both draw the same.
void compare_with_cpu(const GraphRunner& run, const Experiment& e, const Case& c, int lanes, const Vectors& given) {
  Experiment same = training(c);
  const auto cpu = ran(same, lanes, Inputs::activations, DeviceAPI::Host, given);
  CHECK(error(run.get(e.output), cpu->get(same.output)) <= 1e-5);
  for (const auto& [value, gradient] : e.graph.gradients) CHECK(error(run.get(gradient), cpu->get(gradient)) <= 1e-5);
}

std::size_t check_training(const Case& c, int lanes, DeviceAPI api) {
  const Vectors expected = read_vectors(c);
  Experiment e = training(c);
  const auto run = ran(e, lanes, Inputs::activations, api, expected);
  if (expected.contains("output.train")) {
    compare(*run, e, expected, 1e-5);
  } else {
    compare_with_cpu(*run, e, c, lanes, expected);
  }
  return run->kernels();
}

std::size_t check_evaluation(const Case& c, int lanes, DeviceAPI api) {
  const Vectors expected = read_vectors(c);
  Experiment e = evaluation(c);
  const auto run = ran(e, lanes, Inputs::rows, api, expected);
  CHECK(error(run->get(e.output), expected.at("output.eval")) <= 1e-5);
  return run->kernels();
}

}  // namespace

std::size_t check_on_gpu(const Case& c, int lanes, DeviceAPI api) {
  CAPTURE(c.name());
  CAPTURE(lanes);
  std::size_t kernels = 0;
  try {
    kernels += check_training(c, lanes, api);
    if (c.op.in_evaluation) kernels += check_evaluation(c, lanes, api);
  } catch (const Halide::Error& error) {
    FAIL_CHECK(std::string(error.what()));
  }
  return kernels;
}

}  // namespace netc::test
