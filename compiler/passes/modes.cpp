#include "compiler/passes/modes.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"

namespace netc {

namespace {

/// How often `value` is read, by nodes or by the user.
int uses(const Graph& graph, ValueId value) {
  std::ptrdiff_t uses = std::count(graph.outputs.begin(), graph.outputs.end(), value);
  for (const Node& node : graph.nodes) uses += std::count(node.inputs.begin(), node.inputs.end(), value);
  return static_cast<int>(uses);
}

/// The node that makes `value`; `graph.nodes.end()` for one that exists before.
std::vector<Node>::iterator maker(Graph& graph, ValueId value) {
  return std::find_if(graph.nodes.begin(), graph.nodes.end(),
                      [&](const Node& node) { return node.outputs[0] == value; });
}

/// Lets `pool` read what `relu` reads, and `relu` what `pool` makes; `relu` then stands where `pool` stood.
void swap(Graph& graph, std::vector<Node>::iterator relu, std::vector<Node>::iterator pool) {
  Value& before = graph[relu->outputs[0]];
  Value& after = graph[pool->outputs[0]];
  before.shape = after.shape;
  std::swap(before.name, after.name);
  std::swap(before.span, after.span);
  std::swap(relu->outputs, pool->outputs);
  pool->inputs = std::exchange(relu->inputs, pool->outputs);
  std::rotate(relu, relu + 1, pool + 1);
}

/// relu -> maxpool becomes maxpool -> relu: the same numbers, as relu keeps the order, and the same gradients, as the
/// pixels that it makes equal have none. The image in front of the pool then is not read again by the backward pass.
/// Alternative: keeping the order, which holds each such image to the end; VGG-11/4's training step at batch 128 takes
/// 0.9 instead of 1.5 GiB (2026-11).
Graph pool_first(Graph graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto pool = graph.nodes.begin() + static_cast<std::ptrdiff_t>(i);
    if (pool->op != &ops::maxpool || uses(graph, pool->inputs[0]) != 1) continue;
    const auto relu = maker(graph, pool->inputs[0]);
    if (relu != graph.nodes.end() && relu->op == &ops::relu) swap(graph, relu, pool);
  }
  return graph;
}

using Rewrite = std::function<std::vector<ValueId>(GraphBuilder&, const Node&)>;

/// A copy of `graph` in which every node whose operator has a rewrite for this mode, or for both, is replaced by what
/// it emits.
Graph rewrite(const Graph& graph, Rewrite Operator::*in_mode) {
  Graph result = graph;
  result.nodes.clear();
  GraphBuilder builder(result);
  std::map<ValueId, ValueId> renamed;
  const auto now = [&](ValueId id) { return renamed.contains(id) ? renamed.at(id) : id; };
  for (Node node : graph.nodes) {
    for (ValueId& input : node.inputs) input = now(input);
    const Rewrite& rewrite = node.op->*in_mode ? node.op->*in_mode : node.op->expand;
    if (!rewrite) {
      result.nodes.push_back(node);
      continue;
    }
    builder.on_behalf_of(node, Role::activation);
    const std::vector<ValueId> replacements = rewrite(builder, node);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) renamed[node.outputs[i]] = replacements[i];
  }
  for (ValueId& output : result.outputs) output = now(output);
  return result;
}

}  // namespace

Graph for_training(const Graph& graph) {
  return rewrite(pool_first(graph), &Operator::in_training);
}

Graph for_evaluation(const Graph& graph) {
  return rewrite(pool_first(graph), &Operator::in_evaluation);
}

void prune(Graph& graph, const std::vector<ValueId>& wanted) {
  std::set<ValueId> needed(wanted.begin(), wanted.end());
  std::vector<Node> kept;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const auto is_needed = [&](ValueId id) { return needed.contains(id) || graph[id].updates != no_value; };
    if (std::none_of(node->outputs.begin(), node->outputs.end(), is_needed)) continue;
    needed.insert(node->inputs.begin(), node->inputs.end());
    kept.push_back(*node);
  }
  graph.nodes.assign(kept.rbegin(), kept.rend());
}

}  // namespace netc
