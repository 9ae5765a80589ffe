#include "compiler/graph/graph.h"

#include <fmt/format.h>

#include "compiler/graph/operator.h"

namespace netc {

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int i = has_batch() ? 1 : 0; i < rank(); ++i) product *= (*this)[i];
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text;
  for (std::int64_t extent : shape.extents()) {
    if (!text.empty()) text += ',';
    text += extent == Shape::batch ? "N" : std::to_string(extent);
  }
  return "[" + text + "]";
}

IntPair Attributes::pair(const std::string& name) const {
  const Attribute& value = values_.at(name);
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return {*integer, *integer};
  return std::get<IntPair>(value);
}

std::string to_string(const Attribute& attribute) {
  if (const auto* integer = std::get_if<std::int64_t>(&attribute)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&attribute)) return fmt::format("{}", *real);
  if (const auto* boolean = std::get_if<bool>(&attribute)) return *boolean ? "true" : "false";
  if (const auto* list = std::get_if<IntList>(&attribute)) return fmt::format("({})", fmt::join(*list, ", "));
  if (const auto* formula = std::get_if<Comprehension>(&attribute)) return to_string(*formula);
  const auto& [first, second] = std::get<IntPair>(attribute);
  return first == second ? std::to_string(first) : fmt::format("({}, {})", first, second);
}

std::string name(const Node& node) {
  const auto formula = node.attributes.all().find("formula");
  if (formula != node.attributes.all().end()) return std::get<Comprehension>(formula->second).name;
  return std::string(node.op->name);
}

bool same_layer(const Node& a, const Node& b) {
  return a.attributes.has("formula") && a.path == b.path && name(a) == name(b);
}

ValueId Graph::add(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size()) - 1;
}

Pass Graph::pass(int node) const {
  if (is_evaluation() || node < forward_nodes) return Pass::forward;
  return node < backward_nodes ? Pass::parameter_gradients : Pass::input_gradients;
}

namespace {

/// "%7:f32[N,6,28,28]", or for values that exist before the run "conv.weight:f32[6,1,5,5]".
std::string print(const Graph& graph, ValueId id) {
  if (id == no_value) return "-";
  const Value& value = graph[id];
  const bool computed = value.role == Role::activation || value.role == Role::gradient;
  return fmt::format("{}:{}{}", computed ? fmt::format("%{}", id) : value.name, to_string(value.type),
                     to_string(value.shape));
}

std::string print_list(const Graph& graph, const std::vector<ValueId>& ids) {
  std::string text;
  for (ValueId id : ids) text += (text.empty() ? "" : ", ") + print(graph, id);
  return text;
}

std::string print(const Graph& graph, const Node& node) {
  std::string attributes;
  for (const auto& [name, value] : node.attributes.all()) {
    attributes += fmt::format("{}{} = {}", attributes.empty() ? "" : ", ", name, to_string(value));
  }
  if (!attributes.empty()) attributes = "{" + attributes + "}";
  return fmt::format("  {} = {}{}({})    // {}\n", print_list(graph, node.outputs), node.op->name, attributes,
                     print_list(graph, node.inputs), node.path);
}

}  // namespace

std::string print(const Graph& graph) {
  std::string text =
      fmt::format("graph {}({}) -> {}", graph.name, print_list(graph, graph.inputs), print_list(graph, graph.outputs));
  if (graph.loss != no_value)
    text += fmt::format(", loss {}, labels {}", print(graph, graph.loss), print_list(graph, graph.labels));
  text += " {\n";
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.forward_nodes > 0 && static_cast<int>(i) == graph.forward_nodes)
      text += "  // gradients of the parameters\n";
    if (graph.backward_nodes > 0 && static_cast<int>(i) == graph.backward_nodes)
      text += "  // gradients of the inputs\n";
    text += print(graph, graph.nodes[i]);
  }
  for (const auto& [value, gradient] : graph.gradients) {
    text += fmt::format("  gradient of {}: %{}\n", graph[value].name, gradient);
  }
  return text + "}\n";
}

std::string describe(const Graph& graph, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", graph[value].name, to_string(graph[value].shape));
  return text;
}

}  // namespace netc
