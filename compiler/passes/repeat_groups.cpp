#include "compiler/passes/repeat_groups.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "compiler/graph/operator.h"
#include "compiler/graph/verify.h"

namespace netc {

namespace {

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

class Repetition {
 public:
  explicit Repetition(const Plan& plan) : plan_(plan), result_{plan.graph, plan.layouts, plan.aliases} {
    result_.graph.nodes.clear();
    place_of_node_.resize(plan.graph.nodes.size());
  }

  Plan run(const std::vector<GroupRun>& steps) {
    std::vector<int> again;
    for (const GroupRun& step : steps) {
      if (step.again) {
        again.push_back(step.group);
        continue;
      }
      // Groups stand where their first nodes stand, and nodes of groups behind it may lie between its own.
      if (!again.empty()) copy_nodes_to(plan_.groups[at(step.group)].nodes[0]);
      repeat(again);
      again.clear();
      groups_.push_back({step.group, {}});
    }
    copy_nodes_to(static_cast<int>(plan_.graph.nodes.size()));
    return finish();
  }

 private:
  struct Placed {
    int group;
    std::map<int, int> copies;  // of a group that runs again: the copy of each of its nodes
  };

  const Node& node(int index) const { return plan_.graph.nodes[at(index)]; }
  ValueId root(ValueId value) const { return plan_.aliases[at(value)].root; }

  /// Takes over nodes up to `end`, which read the copies that there are.
  void copy_nodes_to(int end) {
    for (; next_ < end; ++next_) {
      if (next_ == plan_.graph.backward_nodes) mark_backward_end();
      Node copy = node(next_);
      rename(copy.inputs);
      if (copy.op->fusion == Fusion::view) follow(copy);
      place_of_node_[at(next_)] = static_cast<int>(result_.graph.nodes.size());
      result_.graph.nodes.push_back(std::move(copy));
    }
    if (next_ == plan_.graph.backward_nodes) mark_backward_end();
  }

  /// Called before copies for the gradients of inputs are added.
  void mark_backward_end() {
    if (std::exchange(marked_, true)) return;
    result_.graph.backward_nodes = static_cast<int>(result_.graph.nodes.size());
  }

  void rename(std::vector<ValueId>& values) const {
    for (ValueId& value : values) {
      if (copies_.contains(value)) value = copies_.at(value);
    }
  }

  /// A name of memory that was computed again is a name of the copy.
  void follow(const Node& view) {
    for (ValueId output : view.outputs) {
      Alias& alias = result_.aliases[at(output)];
      if (copies_.contains(alias.root)) alias.root = copies_.at(alias.root);
    }
  }

  /// Appends the nodes of `groups`, and the views of what they write.
  void repeat(const std::vector<int>& groups) {
    std::map<int, int> group_of;
    std::set<ValueId> roots;
    for (int group : groups) {
      for (int index : plan_.groups[at(group)].nodes) group_of[index] = group;
      for (ValueId output : plan_.groups[at(group)].outputs) roots.insert(root(output));
    }
    for (int index = 0; index < plan_.graph.forward_nodes; ++index) {
      const bool names = node(index).op->fusion == Fusion::view && roots.contains(root(node(index).outputs[0]));
      if (names) group_of[index] = none;
    }
    for (const auto& [index, group] : group_of) add_copies_of_outputs(node(index));
    const std::size_t first = groups_.size();
    for (int group : groups) groups_.push_back({group, {}});
    for (const auto& [index, group] : group_of) {
      const int copy = repeat(node(index));
      const auto placed = std::find_if(groups_.begin() + static_cast<std::ptrdiff_t>(first), groups_.end(),
                                       [&, of = group](const Placed& candidate) { return candidate.group == of; });
      if (placed != groups_.end()) placed->copies[index] = copy;
    }
  }

  void add_copies_of_outputs(const Node& of) {
    for (ValueId output : of.outputs) {
      Value value = plan_.graph[output];
      value.name += ".again";
      copies_[output] = result_.graph.add(value);
      result_.layouts.push_back(plan_.layout(output));
      result_.aliases.push_back(plan_.aliases[at(output)]);
    }
  }

  /// The index of the copy.
  int repeat(const Node& of) {
    Node copy = of;
    rename(copy.inputs);
    rename(copy.outputs);
    for (ValueId output : copy.outputs) {
      Alias& alias = result_.aliases[at(output)];
      if (copies_.contains(alias.root)) alias.root = copies_.at(alias.root);
    }
    result_.graph.nodes.push_back(std::move(copy));
    return static_cast<int>(result_.graph.nodes.size()) - 1;
  }

  /// The groups with the nodes where they are now; what each reads and writes follows from its nodes.
  Plan finish() {
    std::vector<Group> groups;
    std::vector<int> repeated;
    for (const Placed& placed : groups_) {
      if (!placed.copies.empty()) repeated.push_back(static_cast<int>(groups.size()));
      groups.push_back(moved(placed));
    }
    verify(result_.graph, "recompute");
    Plan plan = plan_memory(std::move(result_), std::move(groups));
    verify(plan, "recompute");
    plan.repeated = std::move(repeated);
    return plan;
  }

  Group moved(const Placed& placed) const {
    Group group = plan_.groups[at(placed.group)];
    std::map<ValueId, ValueId> now;
    for (int& index : group.nodes) {
      const Node& before = node(index);
      index = placed.copies.empty() ? place_of_node_[at(index)] : placed.copies.at(index);
      const Node& after = result_.graph.nodes[at(index)];
      for (std::size_t i = 0; i < before.inputs.size(); ++i) now[before.inputs[i]] = after.inputs[i];
      for (std::size_t i = 0; i < before.outputs.size(); ++i) now[before.outputs[i]] = after.outputs[i];
    }
    for (ValueId& input : group.inputs) input = now.at(input);
    for (ValueId& output : group.outputs) output = now.at(output);
    return group;
  }

  static constexpr int none = -1;

  const Plan& plan_;
  LaidOutGraph result_;
  int next_ = 0;  // the first node that is not taken over yet
  bool marked_ = false;
  std::vector<int> place_of_node_;
  std::vector<Placed> groups_;
  std::map<ValueId, ValueId> copies_;
};

}  // namespace

Plan repeat_groups(const Plan& plan, const std::vector<GroupRun>& steps) {
  return Repetition(plan).run(steps);
}

}  // namespace netc
