// Training graph -> Groups: nodes that become one kernel.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/layout.h"

namespace netc {

/// One anchor with the pointwise nodes that compute what it reads and those that follow it, or pointwise nodes alone.
/// Among those that follow may be one max pool. Only `outputs` reach memory.
struct Group {
  std::string name;              // "conv_sigmoid"
  std::vector<int> nodes;        // indices into Graph::nodes, in order
  std::size_t anchor = 0;        // the anchor's place among them
  std::vector<ValueId> inputs;   // read from memory, in the order of their first use
  std::vector<ValueId> outputs;  // written to memory: the chain's last value first
  std::optional<int> pool{};     // the index of the pool, which reads images of the anchor's one by one
  bool few = false;              // the anchor has a schedule for a few examples, and it is wanted
  bool prepares = false;         // what depends on parameters alone may be computed before the pass

  /// The anchor, or the first of pointwise nodes alone.
  const Node& anchor_in(const Graph& graph) const { return graph.nodes[static_cast<std::size_t>(nodes[anchor])]; }
};

/// The nodes of `graph` in groups, in an order in which they can run. Views are in no group. A pointwise node joins the
/// group that makes its last operand when that value has no other use and lies as the node's output does. Pointwise
/// nodes alone whose value one node reads (and nodes that Operator::may_move) join the group of that node, where it
/// reads the elements at the same places or an anchor about once each (Operator::reads_once). A pool
/// (Operator::pools_images) joins the group of an anchor that has images for it (Operator::computes_images), where
/// nobody else reads them. `few`: batches have at most few_examples. `pools`: whether pools may join.
///
/// Choice: in evaluation a task computes a whole image and pools it, while it is in the cache. Alternative: a pass that
/// writes images and one that reads them: VGG-11/4, 32 images, 2 threads, 80.1 ms instead of 71.9. In training it would
/// save a twentieth of a step, but sums are then rounded otherwise, and gradients of torchvision's AlexNet, which hang
/// on which of two pixels is the larger by an ulp, leave the bounds of its parity test (2026-11).
std::vector<Group> fuse(const Graph& graph, const std::vector<Layout>& layouts, bool few = false, bool pools = true);

std::string print(const Graph& graph, const std::vector<Group>& groups);

}  // namespace netc
