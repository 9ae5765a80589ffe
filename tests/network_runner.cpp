#include "network_runner.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "compiler/elaborate/elaborate.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/inline_pointwise.h"
#include "compiler/passes/modes.h"

namespace netc::test {

CompiledNetwork::CompiledNetwork(const std::string& text) {
  sources.push_back(std::make_unique<Source>("network.net", text));
  const Source& source = *sources.front();
  const ast::Node tree = parse(source, diagnostics);
  const ElaborateOptions options{.set = {}, .std_folder = std::filesystem::absolute("models/std").string()};
  if (!diagnostics.has_errors()) graph = elaborate(tree, source, options, sources, diagnostics);
  if (!diagnostics.has_errors() && graph.loss != no_value) {
    training = differentiate(for_training(graph), diagnostics);
    inline_pointwise(training);
  }
}

namespace {

/// Numbers in [-1, 1), no two alike, without a pattern that a kernel could share.
std::vector<double> numbers(std::size_t count, int stream) {
  std::vector<double> result;
  for (std::size_t i = 0; i < count; ++i) {
    const double angle = static_cast<double>(i) * 0.6180339887498949 + stream * 0.7548776662466927;
    result.push_back(2 * (angle - std::floor(angle)) - 1);
  }
  return result;
}

}  // namespace

NetworkRunner::NetworkRunner(const CompiledNetwork& network, int batch, int lanes, Halide::Type real)
    : laid_out_(lay_out(network.training, lanes)),
      batch_(batch),
      runner_(std::make_unique<GraphRunner>(laid_out_, batch, real)) {
  for (ValueId id = 0; id < static_cast<ValueId>(graph().values.size()); ++id) {
    const Value& value = graph()[id];
    if (value.role == Role::activation || value.role == Role::gradient) continue;
    const std::int64_t examples = value.shape.has_batch() ? batch : 1;
    given_[id] = numbers(static_cast<std::size_t>(value.shape.elements() * examples), id);
    runner_->set(id, given_[id]);
  }
}

ValueId NetworkRunner::value(const std::string& name) const {
  for (ValueId id = 0; id < static_cast<ValueId>(graph().values.size()); ++id) {
    const Role role = graph()[id].role;
    if (graph()[id].name == name && role != Role::activation && role != Role::gradient) return id;
  }
  FAIL("no value ", name);
  return no_value;
}

void NetworkRunner::set(const std::string& name, const std::vector<double>& elements) {
  given_[value(name)] = elements;
  runner_->set(value(name), elements);
}

std::vector<double> NetworkRunner::output() {
  return runner_->get(graph().outputs[0]);
}

std::vector<double> NetworkRunner::gradient(const std::string& name) {
  const ValueId wanted = value(name);
  for (const auto& [of, gradient] : graph().gradients) {
    if (of == wanted) return runner_->get(gradient);
  }
  FAIL("no gradient of ", name);
  return {};
}

double NetworkRunner::loss() {
  runner_->run_forward();
  double sum = 0;
  for (double each : runner_->get(graph().loss)) sum += each;
  return sum / batch_;
}

std::string NetworkRunner::worst_difference() {
  std::string all;
  runner_->run();
  for (const auto& [value, gradient] : graph().gradients) {
    const std::vector<double> computed = runner_->get(gradient);
    all += runner_->worst_difference(value, given_.at(value), computed, [&] { return loss(); }, {40, 1e-7, 1e-4});
  }
  return all;
}

}  // namespace netc::test
