// The graph of a model: values and the nodes that compute them, in an order in which they can run.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/formula/comprehension.h"
#include "dsl/diagnostic.h"
#include "dsl/source.h"
#include "netc/recipe.h"
#include "netc/tensor.h"

namespace netc {

struct Operator;

/// Logical extents in PyTorch's order (images: N, C, H, W); the batch is the one symbolic extent.
class Shape {
 public:
  static constexpr std::int64_t batch = -1;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : extents_(extents) {}
  explicit Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {}

  int rank() const { return static_cast<int>(extents_.size()); }
  std::int64_t operator[](int i) const { return extents_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) { return extents_[static_cast<std::size_t>(i)]; }
  const std::vector<std::int64_t>& extents() const { return extents_; }
  bool has_batch() const { return !extents_.empty() && extents_[0] == batch; }
  /// Elements of one example: the product of all extents but the batch.
  std::int64_t elements() const;
  bool operator==(const Shape&) const = default;

 private:
  std::vector<std::int64_t> extents_{};
};

/// "[N,6,28,28]"
std::string to_string(const Shape& shape);

/// What a value is for. Everything but activations and gradients exists before the first node runs.
enum class Role : std::uint8_t { input, label, parameter, buffer, activation, gradient };

using ValueId = int;
constexpr ValueId no_value = -1;
constexpr ValueId no_gradient = -2;  // of a node with respect to an input: there is none

struct Value {
  std::string name{};  // a parameter's or buffer's path, an input's name, otherwise the path of the node that makes it
  Role role = Role::activation;
  DType type = DType::f32;
  Shape shape{};
  Span span{};  // the `.net` text that made it
  // Of parameters and buffers:
  std::vector<int> order{};  // the axes from the slowest in memory to the fastest, e.g. {2, 3, 1, 0} for conv weights
  Initializer initializer{};
  std::int64_t fan_in = 1;
  std::int64_t fan_out = 1;
  ValueId updates = no_value;  // of an output: the buffer whose memory it takes over
  bool is_parameter() const { return role == Role::parameter; }
};

/// An attribute's value: an int, a pair of ints (height, width), a float, a bool, several ints (axes), or a formula.
using IntPair = std::pair<std::int64_t, std::int64_t>;
using IntList = std::vector<std::int64_t>;
using Attribute = std::variant<std::int64_t, IntPair, double, bool, IntList, Comprehension>;

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Attribute>> values) : values_(values) {}
  void set(const std::string& name, Attribute value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.contains(name); }
  std::int64_t integer(const std::string& name) const { return std::get<std::int64_t>(values_.at(name)); }
  /// A pair; an int stands for both halves.
  IntPair pair(const std::string& name) const;
  double real(const std::string& name) const { return std::get<double>(values_.at(name)); }
  bool boolean(const std::string& name) const { return std::get<bool>(values_.at(name)); }
  const IntList& integers(const std::string& name) const { return std::get<IntList>(values_.at(name)); }
  const std::map<std::string, Attribute>& all() const { return values_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, Attribute> values_;
};

std::string to_string(const Attribute& attribute);

struct Node {
  const Operator* op = nullptr;
  Attributes attributes{};
  std::vector<ValueId> inputs{};  // data inputs, then parameters, then buffers; no_value for an optional one left out
  std::vector<ValueId> outputs{};
  std::string path{};  // "conv2", "head.linear"; of a gradient: that of the node it belongs to
  Span span{};
  std::vector<Note> trail{};  // the block instantiations around it, innermost first
};

/// What a node is called where people read it: its operator's name, or that of the `fn` or `layer` it belongs to.
std::string name(const Node& node);
/// Whether two nodes are steps of one layer of the file's own.
bool same_layer(const Node& a, const Node& b);

/// What the nodes of a graph are for; evaluation has a forward pass alone, training does not need gradients of inputs.
enum class Pass { forward, parameter_gradients, input_gradients };

struct Graph {
  std::string name{};
  std::vector<Value> values{};
  std::vector<Node> nodes{};  // in topological order
  std::vector<ValueId> inputs{};
  std::vector<ValueId> labels{};  // what the loss compares with
  std::vector<ValueId> outputs{};
  ValueId loss = no_value;  // losses of the examples, [N]; their mean is what training minimises
  /// Of the training graph: (value, its gradient) for every parameter and f32 input that the loss depends on.
  std::vector<std::pair<ValueId, ValueId>> gradients{};
  int forward_nodes = 0;   // of the training graph: nodes[0, forward_nodes) are the forward pass and the loss
  int backward_nodes = 0;  // nodes[forward_nodes, backward_nodes) fill the parameters' gradients, the rest the inputs'
  Recipe recipe;
  /// Operators that the file itself defines (`fn`, `layer`); nodes point to them.
  std::vector<std::shared_ptr<const Operator>> own_operators{};

  const Value& operator[](ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  Value& operator[](ValueId id) { return values[static_cast<std::size_t>(id)]; }
  ValueId add(Value value);
  Pass pass(int node) const;
  bool is_evaluation() const { return forward_nodes == 0; }
};

/// The graph as text, one node a line, for `netc dump` and golden files.
std::string print(const Graph& graph);
/// Values by name and shape: "image [N,1,28,28], label [N]".
std::string describe(const Graph& graph, const std::vector<ValueId>& values);

}  // namespace netc
