#include "compiler/passes/differentiate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "compiler/graph/graph_builder.h"
#include "compiler/ops/ops.h"

namespace netc {

namespace {

class Differentiation {
 public:
  Differentiation(Graph graph, Diagnostics& diagnostics)
      : graph_(std::move(graph)), builder_(graph_), diagnostics_(diagnostics) {}

  Graph run() {
    graph_.forward_nodes = static_cast<int>(graph_.nodes.size());
    find_trained([](const Value& value) { return value.is_parameter(); });
    for (int node = graph_.forward_nodes - 1; node >= 0; --node) visit(node);
    collect();
    order();
    return std::move(graph_);
  }

  Graph run_from(ValueId output, ValueId seed) {
    graph_.forward_nodes = static_cast<int>(graph_.nodes.size());
    find_trained([](const Value& value) { return value.role == Role::input; });
    contributions_[output] = {seed};
    for (int node = graph_.forward_nodes - 1; node >= 0; --node) visit(node);
    collect();
    order();
    return std::move(graph_);
  }

 private:
  const Node& node(int index) const { return graph_.nodes[static_cast<std::size_t>(index)]; }

  /// Passes the gradients of a node's outputs on to its inputs.
  void visit(int index) {
    const bool is_loss = node(index).outputs[0] == graph_.loss;
    builder_.on_behalf_of(node(index), Role::gradient);
    std::vector<ValueId> gradients;
    for (ValueId output : node(index).outputs) {
      gradients.push_back(total(output));
      if (gradients.back() != no_value) graph_[gradients.back()].name = graph_[output].name;
    }
    if (!is_loss && std::all_of(gradients.begin(), gradients.end(), [](ValueId id) { return id == no_value; })) return;
    std::vector<ValueId> results;
    if (node(index).op->gradient) results = node(index).op->gradient(builder_, index, gradients);
    if (results.empty()) return refuse(node(index));
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i] == no_gradient && trained_.contains(node(index).inputs[i])) return refuse(node(index));
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i] >= 0) contributions_[node(index).inputs[i]].push_back(results[i]);
    }
  }

  /// The sum of everything that flows into the gradient of `value`.
  ValueId total(ValueId value) {
    std::vector<ValueId>& parts = contributions_[value];
    if (parts.empty()) return no_value;
    constexpr std::size_t most = 16;  // a kernel has so many operands, and some more
    while (parts.size() > 1) {
      const auto end = parts.begin() + static_cast<std::ptrdiff_t>(std::min(parts.size(), most));
      const ValueId sum = builder_.add(ops::add, {}, {parts.begin(), end}, graph_[value].shape);
      parts.erase(parts.begin(), end);
      parts.push_back(sum);
    }
    return parts[0];
  }

  /// Marks parameters and what depends on them: only there a gradient is a must.
  template <class IsTrained>
  void find_trained(IsTrained is_trained) {
    for (ValueId value = 0; value < static_cast<ValueId>(graph_.values.size()); ++value) {
      if (is_trained(graph_[value])) trained_.insert(value);
    }
    for (const Node& node : graph_.nodes) {
      const bool depends =
          std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return trained_.contains(input); });
      if (depends) trained_.insert(node.outputs.begin(), node.outputs.end());
    }
  }

  void refuse(const Node& node) {
    if (!trained_.contains(node.outputs[0])) return;  // the gradient of an input alone: it has none
    std::vector<Note> notes{{"the loss depends on it: " + way_to_loss(node), node.span}};
    notes.insert(notes.end(), node.trail.begin(), node.trail.end());
    diagnostics_.add({.code = "N302",
                      .span = node.span,
                      .message = fmt::format("{} has no gradient, but parameters are trained through it", name(node)),
                      .label = "",
                      .notes = notes,
                      .help = "use an operator that can be differentiated, or write detach(…) where no gradient is "
                              "wanted"});
  }

  /// "floor -> linear -> cross_entropy"
  std::string way_to_loss(const Node& from) const {
    std::string way = name(from);
    const Node* last = &from;
    for (int i = 0; i < graph_.forward_nodes && last->outputs[0] != graph_.loss; ++i) {
      const Node& next = node(i);
      const auto reads = [&](ValueId output) {
        return std::find(next.inputs.begin(), next.inputs.end(), output) != next.inputs.end();
      };
      const bool leads = contributions_.contains(next.outputs[0]) || next.outputs[0] == graph_.loss;
      if (!leads || std::none_of(last->outputs.begin(), last->outputs.end(), reads)) continue;
      way += " -> " + name(next);
      last = &next;
    }
    return way;
  }

  /// Pairs parameters and inputs with their gradients; a parameter's gradient is stored as the parameter is, each in
  /// memory of its own.
  void collect() {
    std::set<ValueId> given;
    for (ValueId value = 0; value < static_cast<ValueId>(graph_.values.size()); ++value) {
      const bool input = graph_[value].role == Role::input && graph_[value].type == DType::f32;
      if (!input && !graph_[value].is_parameter()) continue;
      builder_.on_behalf_of({}, Role::gradient);
      ValueId gradient = total(value);
      if (gradient == no_value) continue;
      if (!given.insert(gradient).second) gradient = builder_.add(ops::copy, {}, {gradient}, graph_[value].shape);
      graph_[gradient].name = graph_[value].name;
      graph_[gradient].order = graph_[value].order;
      graph_.gradients.emplace_back(value, gradient);
    }
  }

  /// Forward nodes, then those that gradients of parameters need, then what only gradients of inputs need.
  void order() {
    const auto of = [&](auto wanted) {
      std::set<ValueId> values;
      for (const auto& [value, gradient] : graph_.gradients) {
        if (wanted(graph_[value])) values.insert(gradient);
      }
      return values;
    };
    const std::vector<Node> backward(graph_.nodes.begin() + graph_.forward_nodes, graph_.nodes.end());
    graph_.nodes.resize(static_cast<std::size_t>(graph_.forward_nodes));
    std::set<ValueId> for_parameters = of([](const Value& value) { return value.is_parameter(); });
    std::set<ValueId> for_all = of([](const Value&) { return true; });
    const std::vector<bool> first = needed(backward, for_parameters);
    const std::vector<bool> any = needed(backward, for_all);
    for (std::size_t i = 0; i < backward.size(); ++i) {
      if (first[i]) graph_.nodes.push_back(backward[i]);
    }
    graph_.backward_nodes = static_cast<int>(graph_.nodes.size());
    for (std::size_t i = 0; i < backward.size(); ++i) {
      if (any[i] && !first[i]) graph_.nodes.push_back(backward[i]);
    }
  }

  static std::vector<bool> needed(const std::vector<Node>& nodes, std::set<ValueId>& wanted) {
    std::vector<bool> result(nodes.size());
    for (std::size_t i = nodes.size(); i-- > 0;) {
      const std::vector<ValueId>& outputs = nodes[i].outputs;
      result[i] = std::any_of(outputs.begin(), outputs.end(), [&](ValueId id) { return wanted.contains(id); });
      if (result[i]) wanted.insert(nodes[i].inputs.begin(), nodes[i].inputs.end());
    }
    return result;
  }

  Graph graph_;
  GraphBuilder builder_;
  Diagnostics& diagnostics_;
  std::map<ValueId, std::vector<ValueId>> contributions_;
  std::set<ValueId> trained_;  // parameters, and what depends on them
};

}  // namespace

Graph differentiate(const Graph& graph, Diagnostics& diagnostics) {
  return Differentiation(graph, diagnostics).run();
}

Graph differentiate(const Graph& graph, ValueId output, ValueId seed, Diagnostics& diagnostics) {
  return Differentiation(graph, diagnostics).run_from(output, seed);
}

}  // namespace netc
