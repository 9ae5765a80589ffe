#include "compiler/passes/lay_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "compiler/graph/graph_builder.h"
#include "compiler/graph/operator.h"
#include "compiler/ops/ops.h"

namespace netc {

namespace {

bool is_view(const Node& node) {
  return node.op->fusion == Fusion::view;
}

/// flatten, reshape, identity: the same elements in the same order.
bool renames(const Node& node) {
  return is_view(node) && node.op != &ops::concat && node.op != &ops::slice;
}

}  // namespace

/// Networks with few channels take 16 images side by side. Choice: 16 lanes when no image has more than 16 channels;
/// alternative: always vectors of channels, which fill 6 of 16 floats in LeNet; measured there: the training step at
/// batch 256 takes about a third of the time (2026-11).
int choose_lanes(const Graph& graph) {
  std::int64_t channels = 0;
  for (const Value& value : graph.values) {
    if (value.shape.rank() == 4 && value.shape.has_batch()) channels = std::max(channels, value.shape[1]);
  }
  return channels > 0 && channels <= 16 ? 16 : 1;
}

namespace {

class LayOut {
 public:
  LayOut(Graph graph, int lanes) : graph_(std::move(graph)), lanes_(lanes) {}

  LaidOutGraph run() {
    const std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    separate(nodes);
    index_views();
    for (ValueId value = 0; value < count(); ++value) place(value);
    hand_out_rows();
    return {std::move(graph_), std::move(layouts_), std::move(aliases_)};
  }

 private:
  ValueId count() const { return static_cast<ValueId>(graph_.values.size()); }

  // ---- Copies where memory cannot be shared

  /// For each value the node of `graph_` that makes it.
  using Makers = std::map<ValueId, std::size_t>;

  /// Appends `nodes`, with a copy in front of every view that cannot have its input's memory.
  void separate(const std::vector<Node>& nodes) {
    Makers makers;
    std::set<ValueId> claimed;
    const int forward = graph_.forward_nodes;
    const int backward = graph_.backward_nodes;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      Node node = nodes[i];
      for (ValueId& input : node.inputs) {
        if (needs_copy(node, input, makers, claimed)) input = copy_of(node, input, makers);
        if (node.op == &ops::concat) claimed.insert(input);
      }
      for (ValueId output : node.outputs) makers[output] = graph_.nodes.size();
      graph_.nodes.push_back(node);
      if (static_cast<int>(i) + 1 == forward) graph_.forward_nodes = static_cast<int>(graph_.nodes.size());
      if (static_cast<int>(i) + 1 == backward) graph_.backward_nodes = static_cast<int>(graph_.nodes.size());
    }
  }

  /// A branch of a concat must be written by a kernel, for this concat alone. Parts of a larger value, which branches
  /// and slices are, have gaps from block to block: they cannot be flattened in place. Inputs of bytes become numbers
  /// only where a kernel reads them.
  bool needs_copy(const Node& node, ValueId input, const Makers& makers, const std::set<ValueId>& claimed) const {
    const Node* maker = maker_of(input, makers);
    if (node.op == &ops::concat)
      return maker == nullptr || is_view(*maker) || claimed.contains(input) || is_renamed(input);
    if (!renames(node)) return false;
    const ValueId origin = origin_of(input, makers);
    if (graph_[origin].type == DType::u8) return true;
    if (has_input_shape(node)) return false;
    const Node* first = maker_of(origin, makers);
    return claimed.contains(origin) || (first != nullptr && first->op == &ops::slice);
  }

  /// The node that makes `value`, or nullptr for one that exists before the run.
  const Node* maker_of(ValueId value, const Makers& makers) const {
    const auto maker = makers.find(value);
    return maker == makers.end() ? nullptr : &graph_.nodes[maker->second];
  }

  /// The value that `value` is another name for, whatever its shape.
  ValueId origin_of(ValueId value, const Makers& makers) const {
    const Node* maker = maker_of(value, makers);
    return maker != nullptr && renames(*maker) ? origin_of(maker->inputs[0], makers) : value;
  }

  bool is_renamed(ValueId value) const {
    return std::any_of(graph_.nodes.begin(), graph_.nodes.end(),
                       [&](const Node& node) { return renames(node) && node.inputs[0] == value; });
  }

  ValueId copy_of(const Node& node, ValueId input, Makers& makers) {
    GraphBuilder builder(graph_);
    builder.on_behalf_of(node, graph_[input].role == Role::gradient ? Role::gradient : Role::activation);
    const Shape shape = graph_[input].shape;
    makers[static_cast<ValueId>(graph_.values.size())] = graph_.nodes.size();
    const ValueId copy = builder.add(ops::copy, {}, {input}, shape);
    graph_[copy].type = graph_[input].role == Role::input ? DType::f32 : graph_[input].type;
    return copy;
  }

  // ---- Layouts

  void index_views() {
    for (const Node& node : graph_.nodes) {
      if (!is_view(node)) continue;
      makers_[node.outputs[0]] = &node;
      if (node.op == &ops::concat) {
        for (ValueId input : node.inputs) claims_[input] = &node;
      }
      if (!renames(node) || has_input_shape(node)) continue;
      for (ValueId value : {root(node.inputs[0]), node.outputs[0]}) shares_[value] = true;
    }
    layouts_.resize(graph_.values.size());
    aliases_.resize(graph_.values.size());
  }

  bool has_input_shape(const Node& node) const { return graph_[node.outputs[0]].shape == graph_[node.inputs[0]].shape; }

  /// The value that `value` is another name for, with the same shape.
  ValueId root(ValueId value) const {
    const auto maker = makers_.find(value);
    const bool named = maker != makers_.end() && renames(*maker->second) && has_input_shape(*maker->second);
    return named ? root(maker->second->inputs[0]) : value;
  }

  /// Decides where `value` lies, after what it is a part of or another name for.
  void place(ValueId value) {
    if (aliases_[at(value)].root != no_value) return;
    const auto maker = makers_.find(value);
    const auto claim = claims_.find(value);
    if (claim != claims_.end()) {
      place_part(value, claim->second->outputs[0], axis(*claim->second), begin_of(*claim->second, value));
    } else if (maker != makers_.end() && maker->second->op == &ops::slice) {
      place_part(value, maker->second->inputs[0], axis(*maker->second), maker->second->attributes.integer("begin"));
    } else if (maker != makers_.end() && renames(*maker->second)) {
      place(maker->second->inputs[0]);
      layouts_[at(value)] = renamed(value, maker->second->inputs[0]);
      aliases_[at(value)] = aliases_[at(maker->second->inputs[0])];
    } else {
      layouts_[at(value)] = own_layout(value);
      aliases_[at(value)] = {value, 0};
    }
  }

  void place_part(ValueId value, ValueId whole, int axis, std::int64_t begin) {
    place(whole);
    const Layout& layout = layouts_[at(whole)];
    layouts_[at(value)] = layout;
    aliases_[at(value)] = aliases_[at(whole)];
    aliases_[at(value)].offset += begin * layout.strides[static_cast<std::size_t>(axis - 1)];
  }

  /// Same shape: the same layout. Otherwise the elements lie row by row (see `own_layout`).
  Layout renamed(ValueId value, ValueId input) const {
    if (graph_[value].shape == graph_[input].shape) return layouts_[at(input)];
    std::vector<int> order(static_cast<std::size_t>(graph_[value].shape.rank() - 1));
    std::iota(order.begin(), order.end(), 1);
    return dense_layout(graph_[value].shape, order, layouts_[at(input)].lanes);
  }

  Layout own_layout(ValueId id) const {
    const Value& value = graph_[id];
    if (value.role == Role::input || value.role == Role::label) return row_major(value.shape);
    if (!value.shape.has_batch())
      return value.order.empty() ? row_major(value.shape) : dense_layout(value.shape, value.order, 1);
    std::vector<int> order(static_cast<std::size_t>(value.shape.rank() - 1));
    std::iota(order.begin(), order.end(), 1);
    const bool rows = lanes_ > 1 || shares_.contains(id);
    if (!rows && value.shape.rank() == 4) order = {2, 3, 1};
    return dense_layout(value.shape, order, lanes_);
  }

  static int axis(const Node& node) { return static_cast<int>(node.attributes.integer("axis")); }

  std::int64_t begin_of(const Node& concat, ValueId part) const {
    std::int64_t begin = 0;
    for (ValueId input : concat.inputs) {
      if (input == part) break;
      begin += graph_[input].shape[axis(concat)];
    }
    return begin;
  }

  // ---- What users read

  /// Outputs and gradients of inputs are handed out row by row, one example after the other.
  void hand_out_rows() {
    std::vector<Node> backward(graph_.nodes.begin() + split(), graph_.nodes.end());
    graph_.nodes.resize(static_cast<std::size_t>(split()));
    for (ValueId& output : graph_.outputs) output = rows_of(output);
    const int added = static_cast<int>(graph_.nodes.size()) - split();
    graph_.nodes.insert(graph_.nodes.end(), backward.begin(), backward.end());
    if (graph_.forward_nodes > 0) graph_.forward_nodes += added;
    if (graph_.backward_nodes > 0) graph_.backward_nodes += added;
    for (auto& [value, gradient] : graph_.gradients) {
      if (graph_[value].role == Role::input) gradient = rows_of(gradient);
    }
  }

  int split() const { return graph_.forward_nodes > 0 ? graph_.forward_nodes : static_cast<int>(graph_.nodes.size()); }

  ValueId rows_of(ValueId value) {
    const Shape shape = graph_[value].shape;
    const Role role = graph_[value].role;
    const Role memory = graph_[aliases_[at(value)].root].role;
    const bool own = memory == Role::activation || memory == Role::gradient;
    if (own && aliases_[at(value)].offset == 0 && lies_in_rows(layouts_[at(value)], shape)) return value;
    GraphBuilder builder(graph_);
    Node of;
    of.path = graph_[value].name;
    of.span = graph_[value].span;
    builder.on_behalf_of(of, role == Role::gradient ? Role::gradient : Role::activation);
    const ValueId rows = builder.add(ops::copy, {}, {value}, shape);
    layouts_.push_back(row_major(shape));
    aliases_.push_back({rows, 0});
    return rows;
  }

  static bool lies_in_rows(const Layout& layout, const Shape& shape) {
    const Layout rows = row_major(shape);
    if (layout.lanes != 1 || layout.block_stride != rows.block_stride) return false;
    for (std::size_t i = 0; i < rows.strides.size(); ++i) {
      if (shape[static_cast<int>(i) + 1] > 1 && layout.strides[i] != rows.strides[i]) return false;
    }
    return true;
  }

  static std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

  Graph graph_;
  int lanes_;
  std::vector<Layout> layouts_;
  std::vector<Alias> aliases_;
  std::map<ValueId, const Node*> makers_;  // of views
  std::map<ValueId, const Node*> claims_;  // a branch's concat
  std::map<ValueId, bool> shares_;         // values that are renamed to another shape, and their new names
};

}  // namespace

LaidOutGraph lay_out(const Graph& graph) {
  return lay_out(graph, choose_lanes(graph));
}

LaidOutGraph lay_out(const Graph& graph, int lanes) {
  return LayOut(graph, lanes).run();
}

std::string print(const LaidOutGraph& laid_out) {
  std::string text = print(laid_out.graph);
  for (std::size_t i = 0; i < laid_out.layouts.size(); ++i) {
    const Value& value = laid_out.graph.values[i];
    if (value.role != Role::activation && value.role != Role::gradient) continue;
    const Alias& alias = laid_out.aliases[i];
    text += fmt::format("  %{}{}: {}", i, to_string(value.shape), to_string(laid_out.layouts[i]));
    if (alias.root != static_cast<ValueId>(i)) text += fmt::format(", in %{} at {}", alias.root, alias.offset);
    text += "\n";
  }
  return text;
}

}  // namespace netc
