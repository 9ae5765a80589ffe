// Training graph -> the same with a layout for every value: views become other names of the same memory.
#pragma once

#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/layout.h"

namespace netc {

/// A value lies in the memory of `root` (often itself), `offset` elements behind the first element of each block.
struct Alias {
  ValueId root = no_value;
  std::int64_t offset = 0;
};

struct LaidOutGraph {
  Graph graph;                  // with copies where memory cannot be shared, and where users want rows
  std::vector<Layout> layouts;  // of every value
  std::vector<Alias> aliases;   // of every value
};

/// How many examples lie side by side in batches of this graph: 1 or 16.
int choose_lanes(const Graph& graph);

/// Chooses lanes for the network, an order of axes for every value, and which values share memory: branches are written
/// into slices of what concatenates them, flatten and reshape cost nothing.
LaidOutGraph lay_out(const Graph& graph);

/// The same with this many examples side by side: 1 or 16.
LaidOutGraph lay_out(const Graph& graph, int lanes);

std::string print(const LaidOutGraph& laid_out);

}  // namespace netc
