#include "compiler/passes/recompute.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "compiler/graph/operator.h"
#include "compiler/passes/repeat_groups.h"

namespace netc {

namespace {

using Unit = int;
constexpr Unit no_unit = -1;

/// Which units are computed again.
using Choice = std::vector<bool>;

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

/// What a pass reads and writes, in terms of the values that own memory.
class Traffic {
 public:
  explicit Traffic(const Plan& plan) : plan_(plan) {
    for (const Group& group : plan.groups) {
      reads_.push_back(roots(group.inputs));
      writes_.push_back(roots(group.outputs));
    }
  }

  /// Values in the arena that group `index` reads or writes.
  const std::vector<ValueId>& reads(int index) const { return reads_[at(index)]; }
  const std::vector<ValueId>& writes(int index) const { return writes_[at(index)]; }

  /// Bytes of an example; 0 for a value without a batch.
  std::int64_t bytes(ValueId root) const {
    const Value& value = plan_.graph[root];
    return value.shape.has_batch() ? value.shape.elements() * size_of(value.type) : 0;
  }

  ValueId root(ValueId value) const { return plan_.aliases[at(value)].root; }

  /// Values that live to the end of the pass.
  std::vector<ValueId> read_by_users() const { return roots(read_at_the_end(plan_.graph, plan_.groups)); }

 private:
  std::vector<ValueId> roots(const std::vector<ValueId>& values) const {
    std::vector<ValueId> found;
    for (ValueId value : values) {
      const Space space = plan_.place(root(value)).space;
      if (space == Space::arena || space == Space::fixed) found.push_back(root(value));
    }
    return found;
  }

  const Plan& plan_;
  std::vector<std::vector<ValueId>> reads_;
  std::vector<std::vector<ValueId>> writes_;
};

/// Memory that the same groups of the forward pass write, which is computed again as a whole: an activation, a maximum
/// with its index, a concat with its branches.
struct Activation {
  std::vector<int> groups;  // that write it, in order
  std::set<Unit> reads;     // what they read
  std::int64_t bytes = 0;   // an example
  std::int64_t macs = 0;
  bool kept = false;  // to be read by the backward pass or by users
  bool repeatable = true;
};

/// The activations of a plan.
class Activations {
 public:
  Activations(const Plan& plan, const Traffic& traffic) : plan_(plan), traffic_(traffic) {
    unit_of_.assign(plan.graph.values.size(), no_unit);
    for (int group = 0; group < plan.forward_groups; ++group) join(group);
    for (int group = 0; group < plan.forward_groups; ++group) describe(group);
    for (int group = plan.forward_groups; group < static_cast<int>(plan.groups.size()); ++group) keep(group);
    for (ValueId root = 0; root < static_cast<ValueId>(unit_of_.size()); ++root) {
      if (unit_of_[at(root)] != no_unit) units_[at(unit_of_[at(root)])].bytes += traffic.bytes(root);
    }
    for (ValueId root : traffic.read_by_users()) {
      if (of(root) != no_unit) units_[at(of(root))].repeatable = false;
    }
    // What has no batch is too small to matter.
    for (Activation& activation : units_) activation.repeatable = activation.repeatable && activation.bytes > 0;
  }

  int count() const { return static_cast<int>(units_.size()); }
  const Activation& operator[](Unit unit) const { return units_[at(unit)]; }
  /// `no_unit` for what the backward pass writes.
  Unit of(ValueId root) const { return unit_of_[at(root)]; }

  /// Whether a group that runs again reads it as computed again.
  bool is_again(Unit unit, const Choice& choice) const {
    return choice[at(unit)] || (!units_[at(unit)].kept && units_[at(unit)].repeatable);
  }

 private:
  /// What a group writes is one unit, together with what other groups write into the same memory.
  void join(int group) {
    std::set<Unit> met;
    for (ValueId root : traffic_.writes(group)) {
      if (unit_of_[at(root)] != no_unit) met.insert(unit_of_[at(root)]);
    }
    if (met.empty() && !traffic_.writes(group).empty()) {
      met.insert(count());
      units_.emplace_back();
    }
    for (Unit& unit : unit_of_) {
      if (met.contains(unit)) unit = *met.begin();
    }
    for (ValueId root : traffic_.writes(group)) unit_of_[at(root)] = *met.begin();
  }

  void describe(int group) {
    const std::vector<ValueId>& writes = traffic_.writes(group);
    if (writes.empty()) return;
    const Unit unit = of(writes[0]);
    Activation& activation = units_[at(unit)];
    activation.groups.push_back(group);
    for (ValueId root : traffic_.reads(group)) {
      if (of(root) != unit) activation.reads.insert(of(root));
    }
    activation.macs += multiply_adds(plan_, plan_.groups[at(group)]);
    // It writes elsewhere, too: running statistics.
    if (writes.size() < plan_.groups[at(group)].outputs.size()) activation.repeatable = false;
  }

  void keep(int group) {
    for (ValueId root : traffic_.reads(group)) {
      if (of(root) != no_unit) units_[at(of(root))].kept = true;
    }
  }

  const Plan& plan_;
  const Traffic& traffic_;
  std::vector<Unit> unit_of_;
  std::vector<Activation> units_;
};

/// When memory is alive, in steps.
struct Lifetime {
  int first = -1;
  int last = -1;
  int last_forward = -1;
  int first_backward = -1;

  void touch(int step, bool backward) {
    if (first < 0) first = step;
    last = step;
    if (!backward) last_forward = step;
    if (backward && first_backward < 0) first_backward = step;
  }
};

/// The memory that is alive while steps run, before it is given places.
class Profile {
 public:
  Profile(const Plan& plan, const Traffic& traffic, const std::vector<GroupRun>& steps)
      : values_(plan.graph.values.size()), copies_(plan.graph.values.size()) {
    for (int step = 0; step < static_cast<int>(steps.size()); ++step) {
      const auto [group, again] = steps[at(step)];
      const bool backward = step >= plan.forward_groups;
      for (ValueId root : traffic.writes(group)) (again ? copies_ : values_)[at(root)].touch(step, backward);
      for (ValueId root : traffic.reads(group)) {
        Lifetime& copy = copies_[at(root)];
        (copy.first >= 0 ? copy : values_[at(root)]).touch(step, backward);
      }
    }
    for (ValueId root : traffic.read_by_users()) values_[at(root)].touch(static_cast<int>(steps.size()) - 1, true);
    add_up(traffic, steps.size());
  }

  /// The first step at which most bytes are alive, and how many an example that is.
  int busiest() const { return busiest_; }
  std::int64_t peak() const { return peak_; }
  /// It has a lower peak, or reaches it less often.
  bool better_than(const Profile& other) const {
    return std::pair(peak_, steps_at_peak_) < std::pair(other.peak_, other.steps_at_peak_);
  }

  /// Whether the forward pass is done with the value at that step, and the backward pass reads it later.
  bool waits(ValueId root, int step) const {
    const Lifetime& life = values_[at(root)];
    return life.first >= 0 && life.last_forward < step && step < life.first_backward;
  }

 private:
  void add_up(const Traffic& traffic, std::size_t steps) {
    std::vector<std::int64_t> change(steps + 1);
    for (const std::vector<Lifetime>* lives : {&values_, &copies_}) {
      for (ValueId root = 0; root < static_cast<ValueId>(lives->size()); ++root) {
        const Lifetime& life = (*lives)[at(root)];
        if (life.first < 0) continue;
        change[at(life.first)] += traffic.bytes(root);
        change[at(life.last) + 1] -= traffic.bytes(root);
      }
    }
    std::int64_t bytes = 0;
    for (std::size_t step = 0; step < steps; ++step) {
      bytes += change[step];
      if (bytes == peak_) ++steps_at_peak_;
      if (bytes <= peak_) continue;
      peak_ = bytes;
      busiest_ = static_cast<int>(step);
      steps_at_peak_ = 1;
    }
  }

  std::vector<Lifetime> values_;
  std::vector<Lifetime> copies_;
  std::int64_t peak_ = 0;
  int busiest_ = 0;
  int steps_at_peak_ = 0;
};

/// Chooses what to compute again, one activation after the other.
class Recomputation {
 public:
  explicit Recomputation(const Plan& plan)
      : plan_(plan), traffic_(plan), activations_(plan, traffic_), choice_(at(activations_.count())) {}

  Plan run(std::int64_t batch, std::int64_t bytes) {
    const auto estimate = [&] { return memory_of(profile()).bytes(batch); };
    Plan best = plan_;
    while (best.memory.bytes(batch) > bytes) {
      bool improved = choose_one();
      while (improved && estimate() > bytes) improved = choose_one();
      Plan next = repeat_groups(plan_, steps());
      if (next.memory.bytes(batch) < best.memory.bytes(batch)) best = std::move(next);
      if (!improved) return best;
    }
    return give_back(std::move(best), batch, bytes);
  }

 private:
  Profile profile() const { return {plan_, traffic_, steps()}; }

  MemoryPlan memory_of(const Profile& profile) const {
    return {profile.peak(), plan_.memory.fixed, plan_.memory.multiple};
  }

  /// The groups in the order in which they run with this choice.
  std::vector<GroupRun> steps() const {
    std::vector<GroupRun> steps;
    std::vector<bool> done(choice_.size());
    for (int group = 0; group < static_cast<int>(plan_.groups.size()); ++group) {
      std::set<int> again;
      if (group >= plan_.forward_groups) {
        for (ValueId root : traffic_.reads(group)) demand(activations_.of(root), choice_, done, again);
      }
      for (int repeated : again) steps.push_back({repeated, true});
      steps.push_back({group, false});
    }
    return steps;
  }

  /// Adds the groups that have to run again before `unit` can be read, if it is not kept.
  void demand(Unit unit, const Choice& choice, std::vector<bool>& done, std::set<int>& groups) const {
    if (unit == no_unit || !activations_.is_again(unit, choice) || done[at(unit)]) return;
    done[at(unit)] = true;
    for (Unit read : activations_[unit].reads) demand(read, choice, done, groups);
    groups.insert(activations_[unit].groups.begin(), activations_[unit].groups.end());
  }

  /// One more, of those that wait where the peak is; false when none makes it lower.
  bool choose_one() {
    const Profile before = profile();
    for (Unit unit : candidates(before)) {
      choice_[at(unit)] = true;
      if (profile().better_than(before)) return true;
      choice_[at(unit)] = false;
    }
    return false;
  }

  /// Those that cost the fewest multiply-adds a byte first; of equal ones the largest.
  std::vector<Unit> candidates(const Profile& profile) const {
    std::set<Unit> waiting;
    for (ValueId root = 0; root < static_cast<ValueId>(plan_.graph.values.size()); ++root) {
      const Unit unit = activations_.of(root);
      if (unit == no_unit || choice_[at(unit)] || !activations_[unit].repeatable) continue;
      if (profile.waits(root, profile.busiest())) waiting.insert(unit);
    }
    using Cost = std::tuple<double, std::int64_t, Unit>;
    std::vector<Cost> costs;
    for (Unit unit : waiting) {
      const std::int64_t bytes = activations_[unit].bytes;
      costs.emplace_back(static_cast<double>(cost(unit)) / static_cast<double>(bytes), -bytes, unit);
    }
    std::sort(costs.begin(), costs.end());
    std::vector<Unit> units;
    units.reserve(costs.size());
    for (const auto& [a_byte, bytes, unit] : costs) units.push_back(unit);
    return units;
  }

  /// Multiply-adds of everything that has to be computed again for `unit`, also of what is anyway: long chains are
  /// held in memory as a whole, so that short ones are better.
  std::int64_t cost(Unit unit) const {
    Choice choice = choice_;
    choice[at(unit)] = true;
    std::vector<bool> done(choice.size());
    std::set<int> groups;
    demand(unit, choice, done, groups);
    std::int64_t sum = 0;
    for (int group : groups) sum += multiply_adds(plan_, plan_.groups[at(group)]);
    return sum;
  }

  /// Keeps again what later choices made unnecessary to compute again, the most expensive first.
  Plan give_back(Plan best, std::int64_t batch, std::int64_t bytes) {
    std::vector<std::pair<std::int64_t, Unit>> chosen;
    for (Unit unit = 0; unit < activations_.count(); ++unit) {
      if (choice_[at(unit)]) chosen.emplace_back(-activations_[unit].macs, unit);
    }
    std::sort(chosen.begin(), chosen.end());
    for (const auto& [macs, unit] : chosen) {
      choice_[at(unit)] = false;
      if (memory_of(profile()).bytes(batch) <= bytes) {
        Plan next = repeat_groups(plan_, steps());
        if (next.memory.bytes(batch) <= bytes) {
          best = std::move(next);
          continue;
        }
      }
      choice_[at(unit)] = true;
    }
    return best;
  }

  const Plan& plan_;
  Traffic traffic_;
  Activations activations_;
  Choice choice_;
};

}  // namespace

Plan recompute(const Plan& plan, std::int64_t batch, std::int64_t bytes) {
  return Recomputation(plan).run(batch, bytes);
}

int busiest_group(const Plan& plan) {
  std::vector<GroupRun> steps;
  steps.reserve(plan.groups.size());
  for (int group = 0; group < static_cast<int>(plan.groups.size()); ++group) steps.push_back({group});
  return Profile(plan, Traffic(plan), steps).busiest();
}

}  // namespace netc
