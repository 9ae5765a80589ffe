#include "compiler/verify.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <stdexcept>

#include "compiler/operator.h"

namespace netc {

namespace {

void require(bool condition, const char* stage, const std::string& what) {
  if (!condition) throw std::logic_error(fmt::format("after {}: {}", stage, what));
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
  require(!inference.error, stage, fmt::format("{} refuses its own inputs", node.path));
  require(inference.outputs[0] == graph[node.outputs[0]].shape, stage,
          fmt::format("{} has the shape {}, its operator infers {}", node.path, to_string(graph[node.outputs[0]].shape),
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

}  // namespace

void verify(const Graph& graph, const char* stage) {
  std::set<ValueId> written;
  for (const Node& node : graph.nodes) {
    for (ValueId input : node.inputs) {
      const bool there = input == no_value || exists_before(graph[input]) || written.contains(input);
      require(there, stage, fmt::format("{} of {} reads %{} before it is written", node.op->name, node.path, input));
    }
    for (ValueId output : node.outputs) {
      require(written.insert(output).second, stage,
              fmt::format("{} of {} writes %{} again", node.op->name, node.path, output));
    }
    verify_shapes(graph, node, stage);
  }
}

void verify(const Plan& plan, const char* stage) {
  const std::vector<Extent> all = extents(plan);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Extent& a = all[i];
      const Extent& b = all[j];
      if (a.space != b.space || a.first > b.last || b.first > a.last) continue;
      if (written_over(plan, a, b) || written_over(plan, b, a)) continue;
      require(!overlap(a.begin, a.end, b.begin, b.end), stage,
              fmt::format("%{} and %{} are alive together and overlap", a.value, b.value));
    }
  }
}

}  // namespace netc
