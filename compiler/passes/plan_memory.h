// Groups -> Plan: a place in memory for every value, known before the run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/passes/fuse.h"
#include "compiler/passes/lay_out.h"
#include "netc/network.h"

namespace netc {

enum class Space : std::uint8_t {
  input,  // the user's memory
  label,
  parameter,  // three arenas of the model: offsets in floats
  gradient,
  buffer,
  arena,  // activations: offsets in bytes for each example
  fixed,  // the arena's end: offsets in bytes
};

struct Place {
  Space space = Space::arena;
  std::int64_t offset = 0;  // of inputs and labels: which
  std::int64_t shift = 0;   // elements behind it: the part of a concat
};

/// Everything that is known about a pass before its kernels exist.
struct Plan {
  Graph graph;
  std::vector<Layout> layouts;
  std::vector<Alias> aliases;
  std::vector<Group> groups;
  std::vector<Place> places;  // of every value
  MemoryPlan memory;
  bool few = false;         // for a few examples
  int forward_groups = 0;   // groups[0, forward_groups) are the forward pass and the loss
  int backward_groups = 0;  // groups[forward_groups, backward_groups) fill the parameters' gradients
  /// For each group whose kernel reads what is prepared: where that lies, in bytes; otherwise -1. Empty: none does.
  std::vector<std::int64_t> prepared;
  std::vector<int> repeated;  // of those groups that compute again what the forward pass did not keep

  const Layout& layout(ValueId value) const { return layouts[static_cast<std::size_t>(value)]; }
  const Place& place(ValueId value) const { return places[static_cast<std::size_t>(value)]; }
};

/// Whether each element of the group's outputs is computed from elements at its own place alone, so that it may be
/// written over one of them.
bool is_pointwise(const Graph& graph, const Group& group);

/// Whether the group computes the losses: in evaluation, where not every pass asks for them, it runs behind all others.
bool computes_loss(const Graph& graph, const Group& group);

/// What is read when all groups of a pass, but for evaluation's losses, have run: what users read (outputs, losses,
/// gradients of inputs), and in evaluation what the losses are computed from.
std::vector<ValueId> read_at_the_end(const Graph& graph, const std::vector<Group>& groups);

/// Values that are never alive at once share memory, and pointwise groups write over what nobody reads after them.
/// What is read at the end lives until then, everything else dies with its last reader.
Plan plan_memory(LaidOutGraph laid_out, std::vector<Group> groups);

/// Multiply-adds that a group of the plan does for one example.
std::int64_t multiply_adds(const Plan& plan, const Group& group);

/// Parameters (or buffers) in the order of their values, each at a multiple of 64 bytes: offsets and the arena's
/// length.
struct ArenaLayout {
  std::vector<std::pair<ValueId, std::int64_t>> offsets;  // in floats
  std::int64_t floats = 0;
};
ArenaLayout arena_layout(const Graph& graph, Role role);

std::string print(const Plan& plan);

}  // namespace netc
