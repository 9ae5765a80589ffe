#include "compiler/formula/tensor_algebra.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compiler/graph/graph.h"

namespace netc {

namespace {

Formula count(std::int64_t extent_or_symbol) {
  if (extent_or_symbol >= 0) return static_cast<double>(extent_or_symbol);
  return extent(static_cast<int>(extent_or_symbol));
}

}  // namespace

std::string size_text(std::int64_t extent, const std::vector<std::string>& sizes) {
  return extent <= first_size ? sizes.at(static_cast<std::size_t>(first_size - extent)) : std::to_string(extent);
}

int TensorAlgebra::add(const Index& index) {
  indices_.push_back(index);
  return static_cast<int>(indices_.size()) - 1;
}

std::optional<TensorValue> TensorAlgebra::fail(const std::string& problem) {
  problem_ = problem;
  return {};
}

std::vector<std::int64_t> TensorAlgebra::shape(const TensorValue& x) const {
  std::vector<std::int64_t> extents;
  for (int id : x.ids) extents.push_back(extent_of(id));
  return extents;
}

std::string TensorAlgebra::text(std::int64_t extent) const {
  if (extent == Shape::batch) return "N";
  return size_text(extent, sizes_);
}

std::string TensorAlgebra::text(const std::vector<std::int64_t>& shape) const {
  std::string all;
  for (std::int64_t extent : shape) all += (all.empty() ? "" : ",") + text(extent);
  return "[" + all + "]";
}

TensorValue TensorAlgebra::tensor(int number, const std::vector<std::int64_t>& shape) {
  TensorValue result;
  std::vector<Formula> at;
  for (std::int64_t extent : shape) {
    const int id = add({"", extent});
    indices_.back().name = fmt::format("i{}", id);
    result.ids.push_back(id);
    at.push_back(index(id));
  }
  result.formula = read(number, std::move(at));
  return result;
}

/// The same tensor over indices that nothing else has.
TensorValue TensorAlgebra::fresh(const TensorValue& x) {
  TensorValue result;
  std::map<int, Formula> places;
  for (int id : x.ids) {
    result.ids.push_back(add(indices_[static_cast<std::size_t>(id)]));
    places.emplace(id, index(result.ids.back()));
  }
  result.formula = substitute(x.formula, std::move(places));
  return result;
}

std::optional<TensorValue> TensorAlgebra::map(std::string_view function, const std::vector<TensorValue>& x) {
  const auto longest =
      std::max_element(x.begin(), x.end(), [](const auto& a, const auto& b) { return a.ids.size() < b.ids.size(); });
  TensorValue result{0, longest->ids};
  const std::size_t rank = result.ids.size();
  for (const TensorValue& operand : x) {  // the result's index is that of an operand that is not repeated
    for (std::size_t i = 0; i < operand.ids.size(); ++i) {
      int& id = result.ids[rank - operand.ids.size() + i];
      if (extent_of(id) != 1 || extent_of(operand.ids[i]) == 1) continue;
      const bool is_taken = std::find(result.ids.begin(), result.ids.end(), operand.ids[i]) != result.ids.end();
      id = is_taken ? add(Index(indices_[static_cast<std::size_t>(operand.ids[i])])) : operand.ids[i];
    }
  }
  std::vector<Formula> operands;
  for (const TensorValue& operand : x) {
    std::map<int, Formula> places;
    for (std::size_t i = 0; i < operand.ids.size(); ++i) {
      const int id = operand.ids[i];
      const int target = result.ids[rank - operand.ids.size() + i];
      const bool repeats = extent_of(id) == 1 && extent_of(target) != 1;
      if (!repeats && extent_of(id) != extent_of(target)) {
        return fail(fmt::format("{} and {} do not broadcast", text(shape(x.front())), text(shape(x.back()))));
      }
      places.emplace(id, repeats ? Formula(0) : index(target));
    }
    operands.push_back(substitute(operand.formula, std::move(places)));
  }
  result.formula = apply(function, std::move(operands));
  return result;
}

std::optional<std::vector<std::size_t>> TensorAlgebra::normalized(const TensorValue& x,
                                                                  const std::vector<std::int64_t>& axes) {
  const auto rank = static_cast<std::int64_t>(x.ids.size());
  std::vector<std::size_t> result;
  for (std::int64_t axis : axes) {
    const std::int64_t counted = axis < 0 ? axis + rank : axis;
    if (counted < 0 || counted >= rank) {
      problem_ = fmt::format("{} has no axis {}", text(shape(x)), axis);
      return {};
    }
    if (std::find(result.begin(), result.end(), static_cast<std::size_t>(counted)) != result.end()) {
      problem_ = fmt::format("axis {} is given twice", axis);
      return {};
    }
    result.push_back(static_cast<std::size_t>(counted));
  }
  if (axes.empty()) {
    for (std::size_t i = 0; i < x.ids.size(); ++i) result.push_back(i);
  }
  return result;
}

std::optional<TensorValue> TensorAlgebra::reduce(Reduction reduction, const TensorValue& x,
                                                 const std::vector<std::int64_t>& axes, bool keepdim) {
  const auto over = normalized(x, axes);
  if (!over) return {};
  TensorValue result;
  std::vector<int> ids;
  for (std::size_t i = 0; i < x.ids.size(); ++i) {
    const bool goes = std::find(over->begin(), over->end(), i) != over->end();
    if (goes) ids.push_back(x.ids[i]);
    if (!goes) {
      result.ids.push_back(x.ids[i]);
    } else if (keepdim) {
      result.ids.push_back(add({indices_[static_cast<std::size_t>(x.ids[i])].name, 1}));
    }
  }
  result.formula = ids.empty() ? x.formula : netc::reduce(reduction, ids, x.formula);
  return result;
}

std::optional<TensorValue> TensorAlgebra::mean(const TensorValue& x, const std::vector<std::int64_t>& axes,
                                               bool keepdim) {
  const auto over = normalized(x, axes);
  auto sum = reduce(Reduction::sum, x, axes, keepdim);
  if (!over || !sum) return {};
  Formula elements = 1;
  for (std::size_t axis : *over) elements = elements * count(extent_of(x.ids[axis]));
  sum->formula = sum->formula / elements;
  return sum;
}

std::optional<TensorValue> TensorAlgebra::norm(const TensorValue& x, double p, const std::vector<std::int64_t>& axes,
                                               bool keepdim) {
  const Formula size = apply("abs", {x.formula});
  const Formula term = p == 1 ? size : p == 2 ? x.formula * x.formula : apply("^", {size, p});
  auto sum = reduce(Reduction::sum, {term, x.ids}, axes, keepdim);
  if (!sum || p == 1) return sum;
  sum->formula = p == 2 ? apply("sqrt", {sum->formula}) : apply("^", {sum->formula, 1 / p});
  return sum;
}

std::optional<TensorValue> TensorAlgebra::cumsum(const TensorValue& x, std::int64_t axis) {
  const auto over = normalized(x, {axis});
  if (!over) return {};
  const int id = x.ids[over->front()];
  const int running = add(indices_[static_cast<std::size_t>(id)]);
  return TensorValue{netc::cumsum(running, substitute(x.formula, {{id, index(running)}}), index(id)), x.ids};
}

/// The sum over axis_a of `a` and axis_b of `b` of their product; `keep` holds the result's indices. The first `lead`
/// axes of both are the same.
std::optional<TensorValue> TensorAlgebra::product(const TensorValue& a, const TensorValue& b, std::vector<int> keep,
                                                  int axis_a, int axis_b, int lead) {
  std::map<int, Formula> places;
  const auto match = [&](int i, int j) {
    const int id = a.ids[static_cast<std::size_t>(i)];
    const int other = b.ids[static_cast<std::size_t>(j)];
    places.emplace(other, index(id));
    return extent_of(id) == extent_of(other);
  };
  bool fits = match(axis_a, axis_b);
  for (int i = 0; i < lead; ++i) fits = match(i, i) && fits;
  if (!fits) return fail(fmt::format("cannot multiply {} and {}", text(shape(a)), text(shape(b))));
  const Formula term = a.formula * substitute(b.formula, std::move(places));
  return TensorValue{netc::reduce(Reduction::sum, {a.ids[static_cast<std::size_t>(axis_a)]}, term), std::move(keep)};
}

namespace {

bool has_rank(const TensorValue& x, int rank) {
  return static_cast<int>(x.ids.size()) == rank;
}

}  // namespace

std::optional<TensorValue> TensorAlgebra::dot(const TensorValue& a, const TensorValue& b, int lead) {
  if (!has_rank(a, lead + 1) || !has_rank(b, lead + 1)) {
    return fail(fmt::format("dot takes two vectors, not {} and {}", text(shape(a)), text(shape(b))));
  }
  return product(a, fresh(b), {a.ids.begin(), a.ids.end() - 1}, lead, lead, lead);
}

std::optional<TensorValue> TensorAlgebra::matvec(const TensorValue& a, const TensorValue& x, int lead) {
  if (!has_rank(a, lead + 2) || !has_rank(x, lead + 1)) {
    return fail(fmt::format("matvec takes a matrix and a vector, not {} and {}", text(shape(a)), text(shape(x))));
  }
  return product(a, fresh(x), {a.ids.begin(), a.ids.end() - 1}, lead + 1, lead, lead);
}

std::optional<TensorValue> TensorAlgebra::matmul(const TensorValue& a, const TensorValue& b, int lead) {
  if (!has_rank(a, lead + 2) || !has_rank(b, lead + 2)) {
    return fail(fmt::format("matmul takes two matrices, not {} and {}", text(shape(a)), text(shape(b))));
  }
  const TensorValue right = fresh(b);
  std::vector<int> keep(a.ids.begin(), a.ids.end() - 1);
  keep.push_back(right.ids.back());
  return product(a, right, std::move(keep), lead + 1, lead, lead);
}

std::optional<TensorValue> TensorAlgebra::transpose(const TensorValue& x) {
  if (!has_rank(x, 2)) return fail(fmt::format("transpose takes a matrix, not {}", text(shape(x))));
  return TensorValue{x.formula, {x.ids[1], x.ids[0]}};
}

}  // namespace netc
