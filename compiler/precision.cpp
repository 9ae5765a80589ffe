#include "compiler/precision.h"

#include <algorithm>

#include "compiler/operator.h"

namespace netc {

namespace {

constexpr const char* attribute = "bf16";

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

}  // namespace netc
