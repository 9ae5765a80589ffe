#include "compiler/graph/graph_builder.h"

#include <algorithm>

namespace netc {

void GraphBuilder::on_behalf_of(const Node& node, Role role) {
  path_ = node.path;
  span_ = node.span;
  trail_ = node.trail;
  role_ = role;
}

std::vector<ValueId> GraphBuilder::add(const Operator& op, Attributes attributes, std::vector<ValueId> inputs,
                                       const std::vector<Shape>& shapes) {
  std::vector<ValueId> outputs;
  for (const Shape& shape : shapes) {
    outputs.push_back(graph_.add({.name = path_, .role = role_, .shape = shape, .span = span_}));
  }
  graph_.nodes.push_back({&op, std::move(attributes), std::move(inputs), outputs, path_, span_, trail_});
  return outputs;
}

ValueId GraphBuilder::add(const Operator& op, Attributes attributes, std::vector<ValueId> inputs, const Shape& shape) {
  return add(op, std::move(attributes), std::move(inputs), std::vector{shape})[0];
}

ValueId GraphBuilder::save(int node, const std::string& name, DType type, const Shape& shape) {
  Node& forward = graph_.nodes[static_cast<std::size_t>(node)];
  const ValueId value = graph_.add({.name = forward.path + "." + name,
                                    .role = Role::activation,
                                    .type = type,
                                    .shape = shape,
                                    .span = forward.span});
  forward.outputs.push_back(value);
  return value;
}

bool GraphBuilder::sums_to_zero(ValueId id) const {
  return std::any_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const Node& node) {
    return node.op->sums_to_zero && std::find(node.outputs.begin(), node.outputs.end(), id) != node.outputs.end();
  });
}

}  // namespace netc
