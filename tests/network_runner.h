// Networks from `.net` text, run in this process in double or single precision.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "dsl/diagnostic.h"
#include "graph_runner.h"

namespace netc::test {

/// The graph of a file, as written and in training with gradients; what went wrong is in `diagnostics`.
struct CompiledNetwork {
  explicit CompiledNetwork(const std::string& text);

  std::vector<std::unique_ptr<Source>> sources;
  Diagnostics diagnostics;
  Graph graph;
  Graph training;
};

/// One that computes: inputs, labels and parameters hold numbers in [-1, 1) that are a function of their place.
class NetworkRunner {
 public:
  NetworkRunner(const CompiledNetwork& network, int batch, int lanes, Halide::Type real);

  GraphRunner& run() { return *runner_; }
  const Graph& graph() const { return laid_out_.graph; }
  /// By its name: an input, a label, a parameter.
  ValueId value(const std::string& name) const;
  void set(const std::string& name, const std::vector<double>& elements);
  std::vector<double> output();
  std::vector<double> gradient(const std::string& name);

  /// Of every gradient the element that is furthest from its difference quotient, as text; "" when all agree.
  std::string worst_difference();

 private:
  double loss();

  LaidOutGraph laid_out_;
  int batch_;
  std::unique_ptr<GraphRunner> runner_;
  std::map<ValueId, std::vector<double>> given_;
};

}  // namespace netc::test
