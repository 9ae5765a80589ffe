// How passes and gradient rules append nodes to a graph.
#pragma once

#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/operator.h"

namespace netc {

class GraphBuilder {
 public:
  explicit GraphBuilder(Graph& graph) : graph_(graph) {}

  Graph& graph() { return graph_; }
  const Value& value(ValueId id) const { return graph_[id]; }

  /// New nodes get the path, span and trail of this one, and their values this role.
  void on_behalf_of(const Node& node, Role role);

  /// Appends a node with one f32 output an entry of `shapes`; returns the outputs.
  std::vector<ValueId> add(const Operator& op, Attributes attributes, std::vector<ValueId> inputs,
                           const std::vector<Shape>& shapes);
  /// The same for one output.
  ValueId add(const Operator& op, Attributes attributes, std::vector<ValueId> inputs, const Shape& shape);

  /// Gives forward node `node` one more output, which its gradient reads (the index of a maximum).
  ValueId save(int node, const std::string& name, DType type, const Shape& shape);

  /// Whether each channel of the value sums to 0 over the batch (Operator::sums_to_zero): what is added to a channel
  /// whose gradient this is has the gradient 0.
  bool sums_to_zero(ValueId id) const;

 private:
  Graph& graph_;
  std::string path_;
  Span span_;
  std::vector<Note> trail_;
  Role role_ = Role::activation;
};

}  // namespace netc
