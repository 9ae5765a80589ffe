// Training graph -> Groups: nodes that become one kernel.
#pragma once

#include <string>
#include <vector>

#include "compiler/graph.h"
#include "compiler/layout.h"

namespace netc {

/// One anchor with the pointwise nodes that compute what it reads and those that follow it, or pointwise nodes alone.
/// Only `outputs` reach memory.
struct Group {
  std::string name;              // "conv_sigmoid"
  std::vector<int> nodes;        // indices into Graph::nodes, in order
  std::size_t anchor = 0;        // the anchor's place among them
  std::vector<ValueId> inputs;   // read from memory, in the order of their first use
  std::vector<ValueId> outputs;  // written to memory: the chain's last value first
  bool few = false;              // the anchor has a schedule for a few examples, and it is wanted
  bool prepares = false;         // what depends on parameters alone may be computed before the pass

  /// The anchor, or the first of pointwise nodes alone.
  const Node& anchor_in(const Graph& graph) const { return graph.nodes[static_cast<std::size_t>(nodes[anchor])]; }
};

/// The nodes of `graph` in groups, in an order in which they can run. Views are in no group. A pointwise node joins the
/// group that makes its last operand when that value has no other use and lies as the node's output does. Pointwise
/// nodes alone whose value one node reads (and nodes that Operator::may_move) join the group of that node, where it
/// reads the elements at the same places or an anchor about once each (Operator::reads_once). `few`: batches have at
/// most few_examples.
std::vector<Group> fuse(const Graph& graph, const std::vector<Layout>& layouts, bool few = false);

std::string print(const Graph& graph, const std::vector<Group>& groups);

}  // namespace netc
