// Samples of operators as graphs that a GraphRunner can run.
#pragma once

#include <Halide.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/operator.h"
#include "graph_runner.h"

namespace netc::test {

struct Case {
  const Operator& op;
  const Sample& sample;
  std::string name() const;  // "conv.plain"
};

/// All samples of all operators.
std::vector<Case> cases();

/// What a graph starts from, by name (input0, weight, running_mean, label, projection), and where it ends.
struct Experiment {
  Graph graph;
  std::map<std::string, ValueId> given;
  ValueId output = no_value;
};

/// The operator in training, with gradients. The loss is the sum over `output`: the operator's output times a given
/// `projection`, or of a loss operator a number an example.
Experiment training(const Case& c);

/// The operator alone, in evaluation.
Experiment evaluation(const Case& c);

/// Where inputs lie: as users hand them in, or as kernels hand activations on.
enum class Inputs { rows, activations };

/// Lays the graph out and compiles it, where `extreme` is given with such choices. Its outputs and gradients may become
/// copies: `e` follows.
std::unique_ptr<GraphRunner> runner(Experiment& e, int batch, int lanes, Halide::Type real, Inputs inputs,
                                    std::optional<Extreme> extreme = {}, bool few = false,
                                    Halide::DeviceAPI api = Halide::DeviceAPI::Host, bool bf16_dot_products = false);

}  // namespace netc::test
