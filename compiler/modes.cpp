#include "compiler/modes.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "compiler/graph_builder.h"

namespace netc {

namespace {

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
  return rewrite(graph, &Operator::in_training);
}

Graph for_evaluation(const Graph& graph) {
  return rewrite(graph, &Operator::in_evaluation);
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
