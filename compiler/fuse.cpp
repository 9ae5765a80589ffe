#include "compiler/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compiler/operator.h"
#include "compiler/precision.h"

namespace netc {

namespace {

class Grouping {
 public:
  Grouping(const Graph& graph, const std::vector<Layout>& layouts, bool few)
      : graph_(graph), layouts_(layouts), few_(few) {
    for (const Node& node : graph.nodes) {
      for (ValueId input : node.inputs) ++uses_[input];
      if (node.op->fusion == Fusion::view) views_[node.outputs[0]] = &node;
    }
    for (ValueId output : graph.outputs) ++uses_[output];
    ++uses_[graph.loss];
    for (const auto& [value, gradient] : graph.gradients) ++uses_[gradient];
  }

  std::vector<Group> run() {
    for (int i = 0; i < static_cast<int>(graph_.nodes.size()); ++i) {
      if (at(i).op->fusion == Fusion::view) continue;
      const int host = at(i).op->fusion == Fusion::pointwise ? host_of(i) : none;
      if (host == none) {
        groups_.push_back({.name = "", .nodes = {i}, .inputs = {}, .outputs = at(i).outputs});
      } else {
        append(groups_[static_cast<std::size_t>(host)], i);
      }
      for (ValueId output : at(i).outputs)
        made_by_[output] = host == none ? static_cast<int>(groups_.size()) - 1 : host;
    }
    for (Group& group : groups_) finish(group);
    return std::move(groups_);
  }

 private:
  static constexpr int none = -1;

  /// The group's value goes on through pointwise node `index`; where others read it, it is written too.
  void append(Group& group, int index) const {
    if (uses_.at(group.outputs[0]) > 1) group.outputs.push_back(group.outputs[0]);
    group.nodes.push_back(index);
    group.outputs[0] = at(index).outputs[0];
  }

  const Node& at(int index) const { return graph_.nodes[static_cast<std::size_t>(index)]; }

  /// The group that makes `value`, looking through views; `none` for values that exist before the run.
  int maker(ValueId value) const {
    const auto made = made_by_.find(value);
    if (made != made_by_.end()) return made->second;
    const auto view = views_.find(value);
    if (view == views_.end()) return none;
    int latest = none;
    for (ValueId input : view->second->inputs) latest = std::max(latest, maker(input));
    return latest;
  }

  /// The group that pointwise node `index` can end: the last one that makes an operand, if the places of both values
  /// agree and the node stays in the same pass. In the forward pass others may want the operand, too: gradients of
  /// formulas do.
  int host_of(int index) const {
    int last = none;
    for (ValueId input : at(index).inputs) last = std::max(last, maker(input));
    if (last == none) return none;
    const Group& group = groups_[static_cast<std::size_t>(last)];
    const ValueId chain = group.outputs[0];
    const ValueId output = at(index).outputs[0];
    const std::vector<ValueId>& inputs = at(index).inputs;
    const bool reads_chain = std::find(inputs.begin(), inputs.end(), chain) != inputs.end();
    const bool fits = graph_[chain].shape == graph_[output].shape && layout(chain).lanes == layout(output).lanes;
    const bool may_keep = pass(index) == 0 && graph_.forward_nodes > 0 && is_anchored(group) && !is_named(chain);
    const bool free = uses_.at(chain) == 1 || may_keep;
    return reads_chain && fits && free && pass(group.nodes[0]) == pass(index) ? last : none;
  }

  bool is_anchored(const Group& group) const { return at(group.nodes[0]).op->fusion == Fusion::anchor; }

  /// Whether a view gives the value another name, or puts it into a larger one.
  bool is_named(ValueId value) const {
    return std::any_of(views_.begin(), views_.end(), [&](const auto& view) {
      const std::vector<ValueId>& inputs = view.second->inputs;
      return std::find(inputs.begin(), inputs.end(), value) != inputs.end();
    });
  }

  const Layout& layout(ValueId value) const { return layouts_[static_cast<std::size_t>(value)]; }

  /// 0: forward, 1: gradients of parameters, 2: gradients of inputs.
  int pass(int node) const {
    if (graph_.forward_nodes == 0 || node < graph_.forward_nodes) return 0;
    return node < graph_.backward_nodes ? 1 : 2;
  }

  /// Whether the node is a further step of the layer that the one before it in the group belongs to.
  bool continues(const Group& group, int index) const {
    const auto place = std::find(group.nodes.begin(), group.nodes.end(), index);
    return place != group.nodes.begin() && same_layer(at(*(place - 1)), at(index));
  }

  /// What the group reads, and its name.
  void finish(Group& group) const {
    group.few = few_ && at(group.nodes[0]).op->schedules_few;
    group.prepares = at(group.nodes[0]).op->prepares && (group.few || rounds_transforms(at(group.nodes[0])));
    std::set<ValueId> inside;
    for (int index : group.nodes) {
      const Node& node = at(index);
      if (!continues(group, index)) group.name += (group.name.empty() ? "" : "_") + name(node);
      for (ValueId input : node.inputs) {
        const bool known = std::find(group.inputs.begin(), group.inputs.end(), input) != group.inputs.end();
        if (!inside.contains(input) && !known && input != no_value) group.inputs.push_back(input);
      }
      inside.insert(node.outputs.begin(), node.outputs.end());
    }
  }

  const Graph& graph_;
  const std::vector<Layout>& layouts_;
  bool few_;
  std::map<ValueId, int> uses_;
  std::map<ValueId, int> made_by_;
  std::map<ValueId, const Node*> views_;
  std::vector<Group> groups_;
};

}  // namespace

std::vector<Group> fuse(const Graph& graph, const std::vector<Layout>& layouts, bool few) {
  return Grouping(graph, layouts, few).run();
}

std::string print(const Graph& graph, const std::vector<Group>& groups) {
  const auto list = [&](const std::vector<ValueId>& values) {
    std::string text;
    for (ValueId value : values) {
      const Role role = graph[value].role;
      const bool computed = role == Role::activation || role == Role::gradient;
      text += fmt::format("{}{}", text.empty() ? "" : ", ", computed ? fmt::format("%{}", value) : graph[value].name);
    }
    return text;
  };
  std::string text;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Node& first = graph.nodes[static_cast<std::size_t>(groups[i].nodes[0])];
    text += fmt::format("group {} {}: {} <- {}    // {}\n", i, groups[i].name, list(groups[i].outputs),
                        list(groups[i].inputs), first.path);
  }
  return text;
}

}  // namespace netc
