#include "compiler/precision.h"

#include "compiler/operator.h"

namespace netc {

namespace {

constexpr const char* attribute = "bf16";

}  // namespace

void multiply_bf16(Graph& graph) {
  for (Node& node : graph.nodes) {
    if (node.op->multiplies_bf16) node.attributes.set(attribute, true);
  }
}

bool multiplies_bf16(const Node& node) {
  return node.attributes.has(attribute);
}

}  // namespace netc
