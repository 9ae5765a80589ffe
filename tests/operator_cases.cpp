#include "operator_cases.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <utility>

#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/modes.h"

namespace netc::test {

std::string Case::name() const {
  return fmt::format("{}.{}", op.name, sample.name);
}

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Operator* op : operators()) {
    for (const Sample& sample : op->samples) result.push_back({*op, sample});
  }
  return result;
}

namespace {

/// y = x * r: makes of an operator's output a loss whose gradient is r.
const Operator projection{
    .name = "projection",
    .doc = "",
    .fusion = Fusion::pointwise,
    .in_language = false,
    .inputs = 2,
    .gradient =
        [](GraphBuilder& builder, int index, const std::vector<ValueId>&) {
          return std::vector<ValueId>{builder.graph().nodes[static_cast<std::size_t>(index)].inputs[1], no_value};
        },
    .value_at = [](KernelBuilder& kernel, const Node& node,
                   const Point& at) { return kernel.read(node.inputs[0], at) * kernel.read(node.inputs[1], at); },
};

ValueId give(Experiment& experiment, Value value) {
  const std::string name = value.name;
  return experiment.given[name] = experiment.graph.add(std::move(value));
}

/// x -> operator -> projection; a loss needs none.
Experiment experiment(const Case& c) {
  Experiment e;
  Node node{.op = &c.op, .attributes = c.sample.attributes};
  for (std::size_t i = 0; i < c.sample.inputs.size(); ++i) {
    node.inputs.push_back(
        give(e, {.name = fmt::format("input{}", i), .role = Role::input, .shape = c.sample.inputs[i]}));
  }
  e.graph.inputs = node.inputs;
  const Inference inference = c.op.infer(c.sample.inputs, c.sample.attributes);
  REQUIRE(!inference.error);
  for (const OwnedSpec& owned : inference.owned) {
    node.inputs.push_back(
        give(e, {.name = owned.name, .role = owned.role, .shape = owned.shape, .order = owned.order}));
  }
  if (c.op.is_loss) {
    const Shape label = c.op.label_shape(c.sample.inputs[0]);
    node.inputs.push_back(give(e, {.name = "label", .role = Role::label, .type = c.op.label_type, .shape = label}));
  }
  e.output = e.graph.add({.name = "output", .shape = inference.outputs[0]});
  node.outputs = {e.output};
  e.graph.nodes.push_back(node);
  e.graph.outputs = {e.output};
  return e;
}

}  // namespace

Experiment training(const Case& c) {
  Experiment e = experiment(c);
  e.graph.outputs.clear();
  if (!c.op.is_loss) {
    const Shape shape = e.graph[e.output].shape;
    const ValueId r = give(e, {.name = "projection", .role = Role::label, .shape = shape});
    const ValueId projected = e.graph.add({.name = "projected", .shape = shape});
    e.graph.nodes.push_back({.op = &projection, .inputs = {e.output, r}, .outputs = {projected}});
    e.output = projected;
  }
  for (const auto& [name, value] : e.given) {
    if (e.graph[value].role == Role::label) e.graph.labels.push_back(value);
  }
  e.graph.loss = e.output;
  Diagnostics diagnostics;
  e.graph = differentiate(for_training(e.graph), diagnostics);
  REQUIRE(!diagnostics.has_errors());
  return e;
}

Experiment evaluation(const Case& c) {
  Experiment e = experiment(c);
  e.graph = for_evaluation(e.graph);
  e.output = e.graph.outputs[0];
  return e;
}

std::unique_ptr<GraphRunner> runner(Experiment& e, int batch, int lanes, Halide::Type real, Inputs inputs,
                                    std::optional<Extreme> extreme, bool few, Halide::DeviceAPI api,
                                    bool bf16_dot_products) {
  for (const auto& [name, value] : e.given) {
    const bool data = e.graph[value].role == Role::input || name == "projection";
    if (data && inputs == Inputs::activations) e.graph[value].role = Role::activation;
  }
  const LaidOutGraph laid_out = lay_out(e.graph, lanes);
  for (std::size_t i = 0; i < e.graph.gradients.size(); ++i) e.graph.gradients[i] = laid_out.graph.gradients[i];
  if (!laid_out.graph.outputs.empty()) e.output = laid_out.graph.outputs[0];
  const Tiles tiles = extreme ? extreme_choices(laid_out, real, *extreme) : Tiles();
  return std::make_unique<GraphRunner>(laid_out, batch, real, tiles, few, api, bf16_dot_products);
}

}  // namespace netc::test
