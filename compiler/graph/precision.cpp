#include "compiler/graph/precision.h"

#include <algorithm>
#include <set>
#include <vector>

#include "compiler/graph/operator.h"
#include "compiler/passes/lay_out.h"

namespace netc {

namespace {

constexpr const char* attribute = "bf16";
constexpr const char* bf16_transforms = "bf16_transforms";

}  // namespace

std::string_view name_of(Precision precision) {
  return precision_names[static_cast<std::size_t>(precision)];
}

std::optional<Precision> find_precision(std::string_view name) {
  const auto found = std::find(precision_names.begin(), precision_names.end(), name);
  if (found == precision_names.end()) return std::nullopt;
  return static_cast<Precision>(found - precision_names.begin());
}

void multiply_bf16(Graph& graph) {
  for (Node& node : graph.nodes) {
    if (node.op->multiplies_bf16) node.attributes.set(attribute, true);
  }
}

bool multiplies_bf16(const Node& node) {
  return node.attributes.has(attribute);
}

namespace {

bool is_view(const Node& node) {
  return node.op->fusion == Fusion::view;
}

/// Whether all parts of a concat, or the one of a slice, begin at an even element, as `shift`s of memory do.
bool begins_evenly(const Graph& graph, const Node& node) {
  if (node.attributes.has("begin")) return node.attributes.integer("begin") % 2 == 0;
  return node.inputs.size() == 1 || std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId part) {
           return graph[part].shape[static_cast<int>(node.attributes.integer("axis"))] % 2 == 0;
         });
}

/// What users read, or did not get from a kernel, and what shares memory with it.
std::set<ValueId> stored_as_f32(const Graph& graph) {
  std::set<ValueId> kept(graph.outputs.begin(), graph.outputs.end());
  kept.insert(graph.loss);
  for (ValueId value = 0; value < static_cast<ValueId>(graph.values.size()); ++value) {
    const Value& of = graph[value];
    if (of.role != Role::activation || of.type != DType::f32 || !of.shape.has_batch()) kept.insert(value);
  }
  for (std::size_t before = 0; before != kept.size();) {
    before = kept.size();
    for (const Node& node : graph.nodes) {
      if (!is_view(node)) continue;
      std::vector<ValueId> sharing = node.inputs;
      sharing.insert(sharing.end(), node.outputs.begin(), node.outputs.end());
      const auto is_kept = [&](ValueId value) { return kept.contains(value); };
      if (!begins_evenly(graph, node) || std::any_of(sharing.begin(), sharing.end(), is_kept))
        kept.insert(sharing.begin(), sharing.end());
    }
  }
  return kept;
}

void store_bf16(Graph& graph) {
  const std::set<ValueId> kept = stored_as_f32(graph);
  for (ValueId value = 0; value < static_cast<ValueId>(graph.values.size()); ++value) {
    if (!kept.contains(value)) graph[value].type = DType::bf16;
  }
}

}  // namespace

Transforms transforms_of(const Node& node) {
  if (node.attributes.has(bf16_transforms)) return Transforms::bf16;
  return node.attributes.has(fast_transforms) ? Transforms::fast : Transforms::exact;
}

void round_in_evaluation(Graph& graph, Precision precision, bool cuda) {
  const bool bf16 = precision == Precision::bf16;
  if (bf16) {
    multiply_bf16(graph);
    if (choose_lanes(graph) == 1 && !cuda) store_bf16(graph);
  }
  for (Node& node : graph.nodes) {
    if (bf16 && node.op->prepares) node.attributes.set(bf16_transforms, true);
    if (!bf16 && node.op->transforms && node.op->transforms(graph, node)) node.attributes.set(fast_transforms, true);
  }
}

}  // namespace netc
