#include "compiler/graph/verify.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <stdexcept>

#include "compiler/graph/operator.h"

namespace netc {

namespace {

[[noreturn]] void fail(const char* stage, const std::string& what) {
  throw std::logic_error(fmt::format("after {}: {}", stage, what));
}

bool exists_before(const Value& value) {
  return value.role != Role::activation && value.role != Role::gradient;
}

/// The operator's shape rule gives the shapes that the node has.
void verify_shapes(const Graph& graph, const Node& node, const char* stage) {
  if (!node.op->in_language || !node.op->infer) return;
  const std::size_t data = node.op->inputs < 0 ? node.inputs.size() : static_cast<std::size_t>(node.op->inputs);
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < data; ++i) shapes.push_back(graph[node.inputs[i]].shape);
  const Inference inference = node.op->infer(shapes, node.attributes);
  if (inference.error) fail(stage, fmt::format("{} refuses its own inputs", node.path));
  const Shape& shape = graph[node.outputs[0]].shape;
  if (inference.outputs[0] == shape) return;
  fail(stage, fmt::format("{} has the shape {}, its operator infers {}", node.path, to_string(shape),
                          to_string(inference.outputs[0])));
}

bool overlap(std::int64_t a, std::int64_t a_end, std::int64_t b, std::int64_t b_end) {
  return a < b_end && b < a_end;
}

/// One root value in an arena, and when it is alive.
struct Extent {
  ValueId value;
  Space space;
  std::int64_t begin;
  std::int64_t end;
  int first;
  int last;
};

std::vector<Extent> extents(const Plan& plan) {
  std::map<ValueId, Extent> found;
  const auto touch = [&](ValueId value, int group) {
    const ValueId root = plan.aliases[static_cast<std::size_t>(value)].root;
    const Place& place = plan.place(root);
    if (place.space != Space::arena && place.space != Space::fixed) return;
    const Value& of = plan.graph[root];
    const std::int64_t bytes = of.shape.elements() * size_of(of.type);
    const auto [entry, inserted] =
        found.emplace(root, Extent{root, place.space, place.offset, place.offset + bytes, group, group});
    entry->second.last = group;
  };
  for (std::size_t i = 0; i < plan.groups.size(); ++i) {
    for (ValueId value : plan.groups[i].inputs) touch(value, static_cast<int>(i));
    for (ValueId value : plan.groups[i].outputs) touch(value, static_cast<int>(i));
  }
  for (ValueId value : read_at_the_end(plan.graph, plan.groups)) touch(value, static_cast<int>(plan.groups.size()));
  std::vector<Extent> all;
  all.reserve(found.size());
  for (const auto& [value, extent] : found) all.push_back(extent);
  return all;
}

/// Whether a pointwise group writes `to` over `from`, which it reads last.
bool written_over(const Plan& plan, const Extent& from, const Extent& to) {
  const bool same_place = from.begin == to.begin && from.end == to.end;
  return same_place && from.last == to.first &&
         is_pointwise(plan.graph, plan.groups[static_cast<std::size_t>(to.first)]);
}

/// What groups have written so far, and names of it.
class Written {
 public:
  explicit Written(const Graph& graph) : graph_(graph) {
    for (const Node& node : graph.nodes) {
      if (node.op->fusion == Fusion::view) views_[node.outputs[0]] = &node;
    }
  }

  void add(ValueId value) { values_.insert(value); }

  /// A view is written when all that it is made of is.
  bool contains(ValueId value) {
    if (value == no_value || exists_before(graph_[value]) || values_.contains(value)) return true;
    const auto view = views_.find(value);
    if (view == views_.end()) return false;
    for (ValueId input : view->second->inputs) {
      if (!contains(input)) return false;
    }
    add(value);
    return true;
  }

 private:
  const Graph& graph_;
  std::map<ValueId, const Node*> views_;
  std::set<ValueId> values_;
};

void verify_order(const Plan& plan, const char* stage) {
  Written written(plan.graph);
  for (const Group& group : plan.groups) {
    for (ValueId input : group.inputs) {
      if (!written.contains(input))
        fail(stage, fmt::format("the group {} reads %{} before it is written", group.name, input));
    }
    for (ValueId output : group.outputs) written.add(output);
  }
}

/// Names of one memory agree on where its blocks of examples begin.
void verify_aliases(const Plan& plan, const char* stage) {
  for (ValueId value = 0; value < static_cast<ValueId>(plan.aliases.size()); ++value) {
    const ValueId root = plan.aliases[static_cast<std::size_t>(value)].root;
    const Layout& layout = plan.layout(value);
    const Layout& whole = plan.layout(root);
    const bool same_type = plan.graph[value].type == plan.graph[root].type;
    if (same_type && layout.lanes == whole.lanes && layout.block_stride == whole.block_stride) continue;
    fail(stage, fmt::format("%{} ({}) lies in %{} ({})", value, to_string(layout), root, to_string(whole)));
  }
}

}  // namespace

void verify(const Graph& graph, const char* stage) {
  std::set<ValueId> written;
  for (const Node& node : graph.nodes) {
    for (ValueId input : node.inputs) {
      const bool there = input == no_value || exists_before(graph[input]) || written.contains(input);
      if (!there) fail(stage, fmt::format("{} of {} reads %{} before it is written", node.op->name, node.path, input));
    }
    for (ValueId output : node.outputs) {
      if (!written.insert(output).second)
        fail(stage, fmt::format("{} of {} writes %{} again", node.op->name, node.path, output));
    }
    verify_shapes(graph, node, stage);
  }
}

void verify(const Plan& plan, const char* stage) {
  verify_order(plan, stage);
  verify_aliases(plan, stage);
  const std::vector<Extent> all = extents(plan);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Extent& a = all[i];
      const Extent& b = all[j];
      if (a.space != b.space || a.first > b.last || b.first > a.last) continue;
      if (written_over(plan, a, b) || written_over(plan, b, a)) continue;
      if (overlap(a.begin, a.end, b.begin, b.end))
        fail(stage, fmt::format("%{} and %{} are alive together and overlap", a.value, b.value));
    }
  }
}

}  // namespace netc
