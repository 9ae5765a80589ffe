#include "compiler/passes/inline_pointwise.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "compiler/graph/operator.h"

namespace netc {

namespace {

/// So many nodes in a row are computed again at most: a longer chain would have each kernel compute all of it.
constexpr int longest_chain = 4;

/// An operand of a node.
struct Reading {
  int node;
  std::size_t operand;
};

class Inlining {
 public:
  explicit Inlining(Graph& graph) : graph_(graph), kept_(graph.outputs.begin(), graph.outputs.end()) {
    kept_.insert(graph.loss);
    for (const auto& [value, gradient] : graph.gradients) kept_.insert(gradient);
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      makers_[graph.nodes[i].outputs[0]] = static_cast<int>(i);
      for (ValueId input : graph.nodes[i].inputs) ++uses_[input];
    }
  }

  /// From the last node to the first: copies of a node make more readers of what it reads itself.
  void run() {
    for (int i = static_cast<int>(graph_.nodes.size()) - 1; i >= 0; --i) {
      if (uses_[at(i).outputs[0]] < 2) continue;
      std::vector<Reading> copied = readings(i);
      const int chain = chain_from(copied);
      if (chain > longest_chain || !may_copy(i, copied)) continue;
      chains_[at(i).outputs[0]] = chain;
      const bool apart = !is_cheap(at(i), copied);
      while (copied.back().node != copied.front().node &&
             (!apart || graph_.pass(copied.back().node) == Pass::input_gradients)) {
        const int reader = copied.back().node;
        copy_for(reader, i);
        std::erase_if(copied, [&](const Reading& reading) { return reading.node == reader; });
      }
    }
  }

 private:
  const Node& at(int index) const { return graph_.nodes[static_cast<std::size_t>(index)]; }

  /// Who reads what node `index` makes, in order.
  std::vector<Reading> readings(int index) const {
    const ValueId value = at(index).outputs[0];
    std::vector<Reading> found;
    for (int i = index + 1; i < static_cast<int>(graph_.nodes.size()); ++i) {
      for (std::size_t k = 0; k < at(i).inputs.size(); ++k) {
        if (at(i).inputs[k] == value) found.push_back({i, k});
      }
    }
    return found;
  }

  /// How long a chain of copied nodes gets with one in front of these readers.
  int chain_from(const std::vector<Reading>& readers) const {
    int longest = 0;
    for (const Reading& reader : readers) {
      const auto chain = chains_.find(at(reader.node).outputs[0]);
      if (chain != chains_.end()) longest = std::max(longest, chain->second);
    }
    return longest + 1;
  }

  bool may_copy(int index, const std::vector<Reading>& readers) const {
    const Node& node = at(index);
    if (node.outputs.size() > 1 || kept_.contains(node.outputs[0])) return false;
    const auto takes = [&](const Reading& reading) { return may_take(reading, node.outputs[0]); };
    if (!std::all_of(readers.begin(), readers.end(), takes)) return false;
    const bool alone =
        graph_.pass(readers[0].node) != Pass::input_gradients && graph_.pass(readers[1].node) == Pass::input_gradients;
    return is_cheap(node, readers) || (alone && node.op->fusion == Fusion::pointwise);
  }

  bool may_take(const Reading& reading, ValueId value) const {
    const Node& node = at(reading.node);
    if (node.op->fusion == Fusion::anchor) return node.op->reads_once && node.op->reads_once(node, reading.operand);
    return node.op->fusion == Fusion::pointwise && graph_[node.outputs[0]].shape == graph_[value].shape;
  }

  /// Whether to read a node's operands takes its readers no longer than to read its value.
  bool is_cheap(const Node& node, const std::vector<Reading>& readers) const {
    const auto moves = [&](const Reading& reading) { return node.op->may_move(node, at(reading.node)); };
    return (node.op->may_move && std::all_of(readers.begin(), readers.end(), moves)) || reads_kept(node);
  }

  /// Whether a node computes its value from one tensor of its size, which others read, too; by way of pointwise nodes.
  bool reads_kept(const Node& node) const {
    const std::optional<ValueId> operand = large_operand(node);
    if (node.op->fusion != Fusion::pointwise || !operand) return false;
    if (uses_.at(*operand) > 1) return true;
    const auto maker = makers_.find(*operand);
    return maker != makers_.end() && reads_kept(at(maker->second));
  }

  /// The one operand that is as large as the node's output, where there is one.
  std::optional<ValueId> large_operand(const Node& node) const {
    std::optional<ValueId> large;
    for (ValueId input : node.inputs) {
      if (input == no_value || !graph_[input].shape.has_batch()) continue;
      if (large || graph_[input].shape != graph_[node.outputs[0]].shape) return std::nullopt;
      large = input;
    }
    return large;
  }

  /// Lets what node `index` makes be computed by a copy of it in front of a reader, for all operands of that one.
  void copy_for(int reader, int index) {
    Node copy = at(index);
    const ValueId value = copy.outputs[0];
    const ValueId copied = graph_.add(Value(graph_[value]));
    copy.outputs[0] = copied;
    chains_[copied] = chains_.at(value);
    for (ValueId input : copy.inputs) ++uses_[input];
    for (ValueId& operand : graph_.nodes[static_cast<std::size_t>(reader)].inputs) {
      if (operand != value) continue;
      operand = copied;
      --uses_[value];
      ++uses_[copied];
    }
    const Pass pass = graph_.pass(reader);
    if (pass == Pass::forward) ++graph_.forward_nodes;
    if (pass != Pass::input_gradients) ++graph_.backward_nodes;
    graph_.nodes.insert(graph_.nodes.begin() + reader, std::move(copy));
  }

  Graph& graph_;
  std::set<ValueId> kept_;         // by the user
  std::map<ValueId, int> uses_;    // how many operands of nodes a value is
  std::map<ValueId, int> chains_;  // of copied nodes, from this one on
  std::map<ValueId, int> makers_;  // nodes up to the one that is looked at: copies are put behind it
};

}  // namespace

void inline_pointwise(Graph& graph) {
  Inlining(graph).run();
}

}  // namespace netc
