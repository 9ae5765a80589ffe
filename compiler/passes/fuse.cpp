#include "compiler/passes/fuse.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>

#include "compiler/graph/operator.h"
#include "compiler/graph/precision.h"
#include "netc/kernel.h"

namespace netc {

namespace {

class Grouping {
 public:
  Grouping(const Graph& graph, const std::vector<Layout>& layouts, bool few, bool pools)
      : graph_(graph), layouts_(layouts), few_(few), pools_(pools) {
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
      const int host = at(i).op->fusion == Fusion::pointwise ? host_of(i) : host_of_pool(i);
      const int group = host == none ? static_cast<int>(groups_.size()) : host;
      if (host == none) groups_.emplace_back();
      absorb_all(i, group);
      host == none ? begin(groups_.back(), i) : append(groups_[static_cast<std::size_t>(host)], i);
      for (ValueId output : at(i).outputs) made_by_[output] = group;
    }
    std::erase_if(groups_, [](const Group& group) { return group.nodes.empty(); });
    for (Group& group : groups_) finish(group);
    return std::move(groups_);
  }

 private:
  static constexpr int none = -1;

  void begin(Group& group, int index) const {
    group.anchor = at(index).op->fusion == Fusion::anchor ? group.nodes.size() : 0;
    group.nodes.push_back(index);
    group.outputs = at(index).outputs;
  }

  /// The group's value goes on through pointwise node `index`; where others read it, it is written too.
  void append(Group& group, int index) const {
    if (uses_.at(group.outputs[0]) > 1) group.outputs.push_back(group.outputs[0]);
    group.nodes.push_back(index);
    const std::vector<ValueId>& outputs = at(index).outputs;
    group.outputs[0] = outputs[0];
    group.outputs.insert(group.outputs.end(), outputs.begin() + 1, outputs.end());
    if (at(index).op->fusion == Fusion::anchor) group.pool = index;
  }

  /// What computes operands of node `index`, which is to be in `group`, moves there where it may: first what comes
  /// behind the group, which has to (see `host_of`), then as much as a kernel has operands for.
  void absorb_all(int index, int group) {
    for (const bool behind : {true, false}) {
      for (std::size_t operand = 0; operand < at(index).inputs.size(); ++operand) {
        const int made = maker(at(index).inputs[operand]);
        if (made == group || (made > group) != behind || !may_absorb(operand, index)) continue;
        std::vector<int>& nodes = groups_[static_cast<std::size_t>(made)].nodes;
        std::vector<int>& all = groups_[static_cast<std::size_t>(group)].nodes;
        if (!behind && !has_room({&all, &nodes}, index)) continue;
        all.insert(all.end(), nodes.begin(), nodes.end());
        nodes.clear();
      }
    }
  }

  /// Whether one kernel has operands for all of these nodes and `index`: what they read from elsewhere, and what they
  /// may leave.
  bool has_room(std::initializer_list<const std::vector<int>*> lists, int index) const {
    constexpr std::size_t left = 6;  // outputs: those of an anchor, what others read of a chain, the last ones
    std::set<ValueId> inside;
    std::set<ValueId> read;
    const auto add = [&](int node) {
      read.insert(at(node).inputs.begin(), at(node).inputs.end());
      inside.insert(at(node).outputs.begin(), at(node).outputs.end());
    };
    for (const std::vector<int>* nodes : lists) std::for_each(nodes->begin(), nodes->end(), add);
    add(index);
    const auto outside = [&](ValueId value) { return value != no_value && !inside.contains(value); };
    const auto operands = std::count_if(read.begin(), read.end(), outside);
    return static_cast<std::size_t>(operands) + left <= max_operands;
  }

  /// Whether what computes an operand may run in the group of `index` instead: pointwise nodes, with or without an
  /// anchor that may move, which nobody else reads.
  bool may_absorb(std::size_t operand, int index) const {
    const Node& node = at(index);
    const ValueId value = node.inputs[operand];
    if (!is_all_for_one(value)) return false;
    const Group& group = groups_[static_cast<std::size_t>(made_by_.at(value))];
    if (!moves_to(group, node) || graph_.pass(group.nodes[0]) != graph_.pass(index)) return false;
    const ValueId output = node.outputs[0];
    if (node.op->fusion == Fusion::anchor) return node.op->reads_once && node.op->reads_once(node, operand);
    return graph_[value].shape == graph_[output].shape && layout(value).lanes == layout(output).lanes;
  }

  /// Whether `value` is all that some group makes, and one node reads it.
  bool is_all_for_one(ValueId value) const {
    const auto made = made_by_.find(value);
    if (made == made_by_.end() || uses_.at(value) > 1 || is_named(value)) return false;
    return groups_[static_cast<std::size_t>(made->second)].outputs == std::vector{value};
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

  /// Whether the group's nodes may be computed where `reader` reads their value; an anchor moves to the node behind it.
  bool moves_to(const Group& group, const Node& reader) const {
    if (!is_anchored(group)) return true;
    const Node& anchor = group.anchor_in(graph_);
    const std::size_t behind = group.anchor + 1;
    return anchor.op->may_move &&
           anchor.op->may_move(anchor, behind < group.nodes.size() ? at(group.nodes[behind]) : reader);
  }

  /// The last group that makes an operand of `index`, but for the one operand `without`.
  int last_maker(int index, std::size_t without) const {
    int last = none;
    for (std::size_t i = 0; i < at(index).inputs.size(); ++i) {
      if (i != without) last = std::max(last, maker(at(index).inputs[i]));
    }
    return last;
  }

  /// The last group that makes something which this one reads.
  int last_maker(const Group& group) const {
    int last = none;
    for (int index : group.nodes) {
      for (ValueId input : at(index).inputs) {
        const int made = maker(input);
        if (&groups_[static_cast<std::size_t>(std::max(made, 0))] != &group) last = std::max(last, made);
      }
    }
    return last;
  }

  /// The group that pointwise node `index` can end: that of an anchor which makes an operand, where the others are
  /// there before it or may be computed in it; otherwise the last one that makes an operand.
  int host_of(int index) const {
    const std::size_t operands = at(index).inputs.size();
    const int last = last_maker(index, operands);
    for (std::size_t operand = 0; operand < operands; ++operand) {
      if (maker(at(index).inputs[operand]) != last || !may_absorb(operand, index)) continue;
      const int before = last_maker(index, operand);
      if (before == none || last_maker(groups_[static_cast<std::size_t>(last)]) > before) continue;
      const std::vector<int>& behind = groups_[static_cast<std::size_t>(last)].nodes;
      const Group& host = groups_[static_cast<std::size_t>(before)];
      if (is_anchored(host) && may_end(before, index) && has_room({&host.nodes, &behind}, index)) return before;
    }
    return last != none && may_end(last, index) ? last : none;
  }

  /// The group whose images the pool `index` can read one by one, so that they never reach memory.
  int host_of_pool(int index) const {
    const Node& pool = at(index);
    const bool trains = graph_.forward_nodes > 0;
    if (!pools_ || few_ || trains || !pool.op->pools_images) return none;
    const ValueId images = pool.inputs[0];
    if (!is_all_for_one(images) || layout(images).lanes != layout(pool.outputs[0]).lanes) return none;
    const int made = made_by_.at(images);
    const Group& group = groups_[static_cast<std::size_t>(made)];
    return group.anchor_in(graph_).op->computes_images && !group.pool ? made : none;
  }

  /// Whether pointwise node `index` can end this group: if it reads its value, the places of both values agree and the
  /// node stays in the same pass. In the forward pass others may want the operand, too: gradients of formulas do.
  bool may_end(int number, int index) const {
    const Group& group = groups_[static_cast<std::size_t>(number)];
    const ValueId chain = group.outputs[0];
    const ValueId output = at(index).outputs[0];
    const std::vector<ValueId>& inputs = at(index).inputs;
    const bool reads_chain = std::find(inputs.begin(), inputs.end(), chain) != inputs.end();
    const bool fits = graph_[chain].shape == graph_[output].shape && layout(chain).lanes == layout(output).lanes;
    const bool may_keep =
        graph_.pass(index) == Pass::forward && graph_.forward_nodes > 0 && is_anchored(group) && !is_named(chain);
    const bool free = uses_.at(chain) == 1 || may_keep;
    return reads_chain && fits && free && graph_.pass(group.nodes[0]) == graph_.pass(index) &&
           has_room({&group.nodes}, index);
  }

  bool is_anchored(const Group& group) const { return group.anchor_in(graph_).op->fusion == Fusion::anchor; }

  /// Whether a view gives the value another name, or puts it into a larger one.
  bool is_named(ValueId value) const {
    return std::any_of(views_.begin(), views_.end(), [&](const auto& view) {
      const std::vector<ValueId>& inputs = view.second->inputs;
      return std::find(inputs.begin(), inputs.end(), value) != inputs.end();
    });
  }

  const Layout& layout(ValueId value) const { return layouts_[static_cast<std::size_t>(value)]; }

  /// Whether the node is a further step of the layer that the one before it in the group belongs to.
  bool continues(const Group& group, int index) const {
    const auto place = std::find(group.nodes.begin(), group.nodes.end(), index);
    return place != group.nodes.begin() && same_layer(at(*(place - 1)), at(index));
  }

  /// What the group reads, and its name.
  void finish(Group& group) const {
    const Node& anchor = group.anchor_in(graph_);
    group.few = few_ && anchor.op->schedules_few;
    group.prepares = anchor.op->prepares && (group.few || transforms_of(anchor) != Transforms::exact);
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
  bool pools_;
  std::map<ValueId, int> uses_;
  std::map<ValueId, int> made_by_;
  std::map<ValueId, const Node*> views_;
  std::vector<Group> groups_;
};

}  // namespace

std::vector<Group> fuse(const Graph& graph, const std::vector<Layout>& layouts, bool few, bool pools) {
  return Grouping(graph, layouts, few, pools).run();
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
    const Node& first = groups[i].anchor_in(graph);
    text += fmt::format("group {} {}: {} <- {}    // {}\n", i, groups[i].name, list(groups[i].outputs),
                        list(groups[i].inputs), first.path);
  }
  return text;
}

}  // namespace netc
