// What a training step keeps in memory.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "compiler/modes.h"
#include "compiler/operator.h"
#include "elaboration.h"

namespace netc {
namespace {

using test::Elaboration;

/// The operators of a model in training, in order.
std::vector<std::string> operators_in_training(const std::string& layers) {
  const Elaboration model("model m { input image: f32[N, 3, 8, 8]; " + layers + " }");
  std::vector<std::string> names;
  for (const Node& node : for_training(model.graph()).nodes) names.emplace_back(node.op->name);
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("a max pool goes in front of a relu that nothing else reads") {
  CHECK(operators_in_training("conv(4, 3) -> relu -> maxpool(2) -> flatten -> linear(2);") ==
        Names{"conv", "maxpool", "relu", "flatten", "linear"});
  CHECK(operators_in_training("relu -> maxpool(2) -> maxpool(2);") == Names{"maxpool", "maxpool", "relu"});
}

TEST_CASE("a max pool stays behind whatever else it reads, and behind a relu that others read") {
  CHECK(operators_in_training("sigmoid -> maxpool(2);") == Names{"sigmoid", "maxpool"});
  CHECK(operators_in_training("relu -> avgpool(2);") == Names{"relu", "avgpool"});
  CHECK(operators_in_training("relu; concat { maxpool(3, stride = 1, pad = 1); identity }") ==
        Names{"relu", "maxpool", "identity", "concat"});
}

TEST_CASE("what a pool and a relu exchange keeps its name and gets the other's shape") {
  const Elaboration model("model m { input image: f32[N, 3, 8, 8]; r: relu; p: maxpool(2); output p; }");
  const Graph graph = for_training(model.graph());
  REQUIRE(graph.nodes.size() == 2);
  const Value& pooled = graph[graph.nodes[0].outputs[0]];
  const Value& output = graph[graph.nodes[1].outputs[0]];
  CHECK(pooled.name == "p");
  CHECK(pooled.shape == Shape{Shape::batch, 3, 4, 4});
  CHECK(output.name == "r");
  CHECK(output.shape == pooled.shape);
  CHECK(graph.nodes[1].inputs == std::vector<ValueId>{graph.nodes[0].outputs[0]});
  CHECK(graph.outputs == graph.nodes[1].outputs);
}

}  // namespace
}  // namespace netc
