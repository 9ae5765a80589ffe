#include "compiler/formula/comprehension.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compiler/formula/functions.h"
#include "compiler/graph/graph.h"
#include "netc/kernel.h"

namespace netc {

using Kind = Formula::Kind;

std::vector<std::int64_t> extents(const Comprehension& comprehension) {
  std::vector<std::int64_t> result;
  for (int i = 0; i < comprehension.rank; ++i) {
    result.push_back(comprehension.indices[static_cast<std::size_t>(i)].extent);
  }
  return result;
}

namespace {

/// Several indices may have one name, as those of x and of its transpose have: the later ones get a mark.
std::vector<Index> with_names_of_their_own(std::vector<Index> indices) {
  std::set<std::string> taken;
  for (Index& index : indices) {
    while (!taken.insert(index.name).second) index.name += "'";
  }
  return indices;
}

}  // namespace

std::string to_string(const Comprehension& comprehension) {
  const std::vector<Index> indices = with_names_of_their_own(comprehension.indices);
  std::vector<std::string> tensors;
  for (char c = 'a'; c <= 'z'; ++c) tensors.emplace_back(1, c);
  for (std::size_t i = tensors.size(); i < 2 * max_operands; ++i) tensors.push_back(fmt::format("t{}", i));
  std::string left;
  std::string over;
  std::string ranges;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const Index& index = indices[i];
    std::string& names = static_cast<int>(i) < comprehension.rank ? left : over;
    names += (names.empty() ? "" : ", ") + index.name;
    ranges += fmt::format("{} {} < {}", ranges.empty() ? "" : ",", index.name,
                          index.extent == Shape::batch ? "N" : std::to_string(index.extent));
  }
  static const char* const reductions[] = {"", "sum", "max", "min", "cumsum", "reversed_cumsum"};
  const std::string body = print(comprehension.body, tensors, indices);
  const std::string reduction = reductions[static_cast<int>(comprehension.reduction)];
  const bool scans =
      comprehension.reduction == Reduction::cumsum || comprehension.reduction == Reduction::reversed_cumsum;
  if (scans) over = indices[static_cast<std::size_t>(comprehension.axis)].name;
  const std::string right = reduction.empty() ? body : fmt::format("{}[{}]({})", reduction, over, body);
  return fmt::format("[{}] = {} for{}", left, right, ranges);
}

bool reads_same_place(const Formula& read, int rank) {
  if (static_cast<int>(read->operands.size()) != rank) return false;
  for (int i = 0; i < rank; ++i) {
    if (!(read.operand(static_cast<std::size_t>(i)) == index(i))) return false;
  }
  return true;
}

// ---- Splitting ------------------------------------------------------------------------------------------------------

namespace {

std::vector<Formula> as_formulas(const std::vector<int>& ids) {
  std::vector<Formula> formulas;
  for (int id : ids) formulas.push_back(index(id));
  return formulas;
}

/// `wanted` in the order of results: the batch first, then as in `result`, then by number.
std::vector<int> in_order(const std::vector<Index>& indices, const std::vector<int>& result, std::set<int> wanted) {
  std::vector<int> order;
  const auto take = [&](int id) {
    if (wanted.erase(id) > 0) order.push_back(id);
  };
  for (int id = 0; id < static_cast<int>(indices.size()); ++id) {
    if (indices[static_cast<std::size_t>(id)].extent == Shape::batch) take(id);
  }
  for (int id : result) take(id);
  for (int id : std::vector<int>(wanted.begin(), wanted.end())) take(id);
  return order;
}

}  // namespace

int Splitter::define(const std::vector<Index>& indices, const std::vector<int>& result, const Formula& formula) {
  const Formula flat = rewrite(formula, [&](const Formula& part) -> std::optional<Formula> {
    if (part->kind != Kind::reduce) return {};
    return separate(indices, result, part);
  });
  const bool is_step = flat->kind == Kind::read && flat->id >= first_;
  if (is_step && flat->operands == as_formulas(result)) return flat->id;
  return add(indices, result, Reduction::none, {}, flat);
}

/// Makes a step of a reduction; returns how to read its result.
Formula Splitter::separate(const std::vector<Index>& indices, const std::vector<int>& result,
                           const Formula& reduction) {
  if (reduction->reduction == Reduction::cumsum) return separate_cumsum(indices, result, reduction);
  const std::vector<int> order = in_order(indices, result, free_indices(reduction));
  const int tensor = add(indices, order, reduction->reduction, reduction->indices, reduction.operand(0));
  return read(tensor, order.empty() ? std::vector<Formula>{0} : as_formulas(order));
}

/// The running sums are a tensor along the index that they run over, which stands where it is read.
Formula Splitter::separate_cumsum(const std::vector<Index>& indices, const std::vector<int>& result,
                                  const Formula& sum) {
  const int running = sum->indices[0];
  const Formula& last = sum.operand(1);
  std::set<int> free = free_indices(sum.operand(0));
  free.erase(running);
  const bool plain = last->kind == Kind::index && !free.contains(last->id);
  const int stand_in = plain ? last->id : running;
  free.insert(stand_in);
  std::vector<int> order = in_order(indices, result, free);
  std::vector<Formula> at = as_formulas(order);
  const auto axis = std::find(order.begin(), order.end(), stand_in) - order.begin();
  order[static_cast<std::size_t>(axis)] = running;
  at[static_cast<std::size_t>(axis)] = last;
  return read(add(indices, order, Reduction::cumsum, {running}, sum.operand(0)), at);
}

int Splitter::add(const std::vector<Index>& indices, const std::vector<int>& result, Reduction reduction,
                  const std::vector<int>& over, const Formula& body) {
  Step step;
  Comprehension& c = step.comprehension;
  c.name = name_;
  c.reduction = reduction;
  std::map<int, int> numbers;
  const auto add_index = [&](int id) {
    numbers[id] = static_cast<int>(c.indices.size());
    c.indices.push_back(indices[static_cast<std::size_t>(id)]);
  };
  for (int id : result) add_index(id);
  if (result.empty()) c.indices.push_back({"u", 1});  // a scalar is a tensor of one element
  c.rank = static_cast<int>(c.indices.size());
  for (int id : over) {
    if (reduction == Reduction::cumsum) {
      c.axis = numbers.at(id);
    } else {
      add_index(id);
    }
  }
  c.body = rewrite(body, [&](const Formula& part) -> std::optional<Formula> {
    if (part->kind == Kind::index) return index(numbers.at(part->id));
    if (part->kind != Kind::read) return {};
    auto known = std::find(step.inputs.begin(), step.inputs.end(), part->id);
    if (known == step.inputs.end()) known = step.inputs.insert(known, part->id);
    return read(static_cast<int>(known - step.inputs.begin()), part->operands);
  });
  const auto same = std::find(steps_.begin(), steps_.end(), step);
  if (same != steps_.end()) return first_ + static_cast<int>(same - steps_.begin());
  steps_.push_back(std::move(step));
  return first_ + static_cast<int>(steps_.size()) - 1;
}

// ---- Gradients ------------------------------------------------------------------------------------------------------

namespace {

Formula bound(std::int64_t extent_or_symbol) {
  if (extent_or_symbol >= 0) return static_cast<double>(extent_or_symbol);
  return extent(static_cast<int>(extent_or_symbol));
}

/// `formula` with its tensors numbered `by` higher.
Formula shift_tensors(const Formula& formula, int by) {
  return rewrite(formula, [&](const Formula& part) -> std::optional<Formula> {
    if (part->kind != Kind::read) return {};
    return read(part->id + by, part->operands);
  });
}

/// Turns `y[i] = … x[f(i)] …` around: which i read x[p]? Each axis of x gives an equation f_j(i) = p_j, which is solved
/// for one index; what is left over is summed.
class Inversion {
 public:
  Inversion(const Comprehension& forward, const std::vector<Formula>& at, const std::vector<std::int64_t>& shape)
      : forward_(forward) {
    result_.name = forward.name + "_backward";
    result_.rank = static_cast<int>(shape.size());
    for (std::size_t j = 0; j < shape.size(); ++j) result_.indices.push_back({axis_name(at[j], j), shape[j]});
    for (const Formula& place : at) equations_.push_back(*affine(place));
    solve_plain();
    for (std::size_t j = 0; j < equations_.size(); ++j) solve(j);
    for (std::size_t id = 0; id < forward.indices.size(); ++id) leave_over(static_cast<int>(id));
  }

  /// The gradient's gathering, given what one such i adds.
  Comprehension gather(const Formula& term) const {
    Comprehension result = result_;
    Formula condition = 1;
    for (const Formula& guard : guards_) condition = condition.is_number(1) ? guard : apply("&&", {condition, guard});
    result.body = select(condition, substitute(term), 0);
    result.reduction = static_cast<int>(result.indices.size()) > result.rank ? Reduction::sum : Reduction::none;
    return result;
  }

 private:
  const Index& of(int id) const { return forward_.indices[static_cast<std::size_t>(id)]; }

  std::string axis_name(const Formula& at, std::size_t j) const {
    return at->kind == Kind::index ? of(at->id).name : fmt::format("p{}", j);
  }

  /// Axes that one index walks through by itself.
  void solve_plain() {
    for (std::size_t j = 0; j < equations_.size(); ++j) {
      const Affine& f = equations_[j];
      if (f.offset != 0 || f.coefficients.size() != 1 || f.coefficients.begin()->second != 1) continue;
      const int id = f.coefficients.begin()->first;
      if (solution_.contains(id)) continue;
      const Formula p = index(static_cast<int>(j));
      solution_.emplace(id, p);
      solved_[j] = true;
      if (of(id).extent != result_.indices[j].extent) guards_.push_back(apply("<", {p, bound(of(id).extent)}));
    }
  }

  void solve(std::size_t j) {
    if (solved_[j]) return;
    const Affine& f = equations_[j];
    int chosen = -1;
    for (const auto& [id, coefficient] : f.coefficients) {
      if (solution_.contains(id)) continue;
      if (chosen < 0 || std::abs(coefficient) < std::abs(f.coefficients.at(chosen))) chosen = id;
    }
    Formula rest = static_cast<double>(f.offset);
    for (const auto& [id, coefficient] : f.coefficients) {
      if (id != chosen) rest = rest + static_cast<double>(coefficient) * value_of(id);
    }
    const Formula p = index(static_cast<int>(j));
    if (chosen < 0) {
      guards_.push_back(apply("==", {p, rest}));
      return;
    }
    const std::int64_t coefficient = f.coefficients.at(chosen);
    const Formula difference = coefficient > 0 ? p - rest : rest - p;
    const auto divisor = static_cast<double>(std::abs(coefficient));
    const bool divides = divisor > 1;
    if (divides) guards_.push_back(apply("==", {apply("modulo", {difference, divisor}), 0}));
    const Formula solution = divides ? apply("divide", {difference, divisor}) : difference;
    guards_.push_back(apply(">=", {solution, 0}));
    guards_.push_back(apply("<", {solution, bound(of(chosen).extent)}));
    solution_.emplace(chosen, solution);
  }

  /// The index in terms of the gradient's; one that no equation gives is summed over.
  Formula value_of(int id) {
    leave_over(id);
    return solution_.at(id);
  }

  void leave_over(int id) {
    if (solution_.contains(id)) return;
    solution_.emplace(id, index(static_cast<int>(result_.indices.size())));
    result_.indices.push_back(of(id));
  }

  Formula substitute(const Formula& term) const {
    return rewrite(term, [&](const Formula& part) -> std::optional<Formula> {
      if (part->kind != Kind::index) return {};
      return solution_.at(part->id);
    });
  }

  const Comprehension& forward_;
  Comprehension result_;
  std::vector<Affine> equations_;
  std::map<std::size_t, bool> solved_;
  std::map<int, Formula> solution_;
  std::vector<Formula> guards_;
};

std::vector<Formula> place(const Comprehension& comprehension) {
  std::vector<Formula> at;
  for (int i = 0; i < comprehension.rank; ++i) at.push_back(index(i));
  return at;
}

bool is_extreme(const Comprehension& c) {
  return c.reduction == Reduction::max || c.reduction == Reduction::min;
}

}  // namespace

std::optional<std::vector<Comprehension>> gather(const Comprehension& comprehension, int input,
                                                 const std::vector<std::int64_t>& shape, std::string& culprit) {
  const Formula body = shift_tensors(comprehension.body, 1);
  int inputs = 0;
  for (const Formula& each : reads(body)) inputs = std::max(inputs, each->id);
  const std::vector<Formula> at = place(comprehension);
  std::vector<Comprehension> parts;
  for (const Formula& variable : reads(body)) {
    if (variable->id != input + 1) continue;
    const auto slope = derivative(body, variable, culprit);
    if (!slope) return {};
    if (slope->is_number(0)) continue;
    Formula term = read(0, at) * *slope;
    if (is_extreme(comprehension)) {
      const Formula chosen = apply("==", {body, read(inputs + 1, at)});
      term = select(chosen, term / read(inputs + 2, at), 0);
    }
    const Comprehension part = Inversion(comprehension, variable->operands, shape).gather(term);
    // Parts without a sum of their own are added in one formula.
    const bool joins = part.reduction == Reduction::none && !parts.empty() && parts.back().reduction == Reduction::none;
    if (joins) {
      parts.back().body = parts.back().body + part.body;
    } else {
      parts.insert(part.reduction == Reduction::none ? parts.end() : parts.begin(), part);
    }
  }
  return parts;
}

Comprehension count_extremes(const Comprehension& comprehension, int inputs) {
  Comprehension count = comprehension;
  count.name += "_count";
  count.reduction = Reduction::sum;
  count.body = select(apply("==", {comprehension.body, read(inputs, place(comprehension))}), 1, 0);
  return count;
}

Comprehension reversed_cumsum(const Comprehension& comprehension) {
  Comprehension reversed = comprehension;
  reversed.name += "_backward";
  reversed.reduction = Reduction::reversed_cumsum;
  reversed.body = read(0, place(comprehension));
  return reversed;
}

}  // namespace netc
