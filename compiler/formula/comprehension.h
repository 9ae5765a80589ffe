// A tensor by index notation, y[n, o] = sum[i](x[n, i] * w[o, i]), in the form that becomes one node: at most one
// reduction, and that outermost. Equations as people write them are split into such steps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/formula/formula.h"

namespace netc {

struct Comprehension {
  std::string name{};            // of the `fn`, `layer` or operator that it belongs to, for people
  std::vector<Index> indices{};  // those of the result, in order, then those that the reduction runs over
  int rank = 0;                  // how many are the result's
  Reduction reduction = Reduction::none;
  int axis = 0;  // along which a cumsum runs
  Formula body;  // without reductions; its tensors are the node's inputs, in order

  bool operator==(const Comprehension&) const = default;
};

/// The extents of the result.
std::vector<std::int64_t> extents(const Comprehension& comprehension);

/// "[n, o] = sum[i](a[n, i] * b[o, i]) for n < N, o < 10, i < 84"
std::string to_string(const Comprehension& comprehension);

/// Whether `formula` reads its tensor at exactly the indices 0, 1, 2, … of the result.
bool reads_same_place(const Formula& read, int rank);

/// One comprehension of several that compute a tensor. Tensors are numbered: first those that exist before, then the
/// results of the steps in order.
struct Step {
  Comprehension comprehension;
  std::vector<int> inputs;  // the tensors that its formula reads

  bool operator==(const Step&) const = default;
};

/// Splits equations into steps.
class Splitter {
 public:
  /// `tensors` exist already; `name` is given to the steps.
  Splitter(std::string name, int tensors) : name_(std::move(name)), first_(tensors) {}

  /// The tensor [result…] = formula, which may hold reductions; `indices` are all indices that the formula knows, by
  /// their number. Returns the tensor's number.
  int define(const std::vector<Index>& indices, const std::vector<int>& result, const Formula& formula);

  const std::vector<Step>& steps() const { return steps_; }

 private:
  Formula separate(const std::vector<Index>& indices, const std::vector<int>& result, const Formula& reduction);
  Formula separate_cumsum(const std::vector<Index>& indices, const std::vector<int>& result, const Formula& sum);
  int add(const std::vector<Index>& indices, const std::vector<int>& result, Reduction reduction,
          const std::vector<int>& over, const Formula& body);

  std::string name_;
  int first_;
  std::vector<Step> steps_;
};

/// How the gradient of one input is gathered: dx[p] is the sum of these comprehensions. Their tensors are
/// 0: the gradient of the result; 1, 2, …: the comprehension's inputs; then its result; then, for max and min, how many
/// elements are the extreme one (see `count_extremes`).
/// Nothing when a function has no derivative; `culprit` is its name.
std::optional<std::vector<Comprehension>> gather(const Comprehension& comprehension, int input,
                                                 const std::vector<std::int64_t>& shape, std::string& culprit);

/// Of a maximum or minimum: how many elements equal it. Tensors: the inputs, then the result.
Comprehension count_extremes(const Comprehension& comprehension, int inputs);

/// What reverses a cumsum of the gradient: tensor 0 summed from the other end.
Comprehension reversed_cumsum(const Comprehension& comprehension);

}  // namespace netc
