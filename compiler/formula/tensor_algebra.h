// Operations on whole tensors, with PyTorch's rules of broadcasting and axes, as formulas.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/formula/comprehension.h"
#include "compiler/formula/formula.h"

namespace netc {

/// A tensor: its element at indices of its own.
struct TensorValue {
  Formula formula;
  std::vector<int> ids;  // numbers in the algebra's table of indices
};

/// Sizes that a run knows stand in shapes as first_size, first_size - 1, …
constexpr std::int64_t first_size = -2;  // Shape::batch is -1

/// An extent as text: a number, or the name that such a size has in `sizes`.
std::string size_text(std::int64_t extent, const std::vector<std::string>& sizes);

/// Makes tensors from tensors. What cannot be made gives nothing, and `problem` says why.
class TensorAlgebra {
 public:
  /// Indices are added to `indices`.
  explicit TensorAlgebra(std::vector<Index>& indices) : indices_(indices) {}

  /// All of tensor `number`, which has this shape.
  TensorValue tensor(int number, const std::vector<std::int64_t>& shape);

  /// A function element by element; axes are matched from the last on, and those of extent 1 are repeated.
  std::optional<TensorValue> map(std::string_view function, const std::vector<TensorValue>& x);

  /// Over these axes (negative ones count from the last), all of them by default; the axes go, or stay with extent 1.
  std::optional<TensorValue> reduce(Reduction reduction, const TensorValue& x, const std::vector<std::int64_t>& axes,
                                    bool keepdim);
  std::optional<TensorValue> mean(const TensorValue& x, const std::vector<std::int64_t>& axes, bool keepdim);
  /// sum(abs(x)^p)^(1/p)
  std::optional<TensorValue> norm(const TensorValue& x, double p, const std::vector<std::int64_t>& axes, bool keepdim);
  std::optional<TensorValue> cumsum(const TensorValue& x, std::int64_t axis);

  /// Products whose first `lead` axes are those of a batch.
  std::optional<TensorValue> dot(const TensorValue& a, const TensorValue& b, int lead);
  std::optional<TensorValue> matvec(const TensorValue& a, const TensorValue& x, int lead);
  std::optional<TensorValue> matmul(const TensorValue& a, const TensorValue& b, int lead);
  std::optional<TensorValue> transpose(const TensorValue& x);

  std::vector<std::int64_t> shape(const TensorValue& x) const;
  /// The names of sizes that a run knows, for messages.
  void name_sizes(std::vector<std::string> names) { sizes_ = std::move(names); }
  /// For messages: "m", "[m,4]".
  std::string text(std::int64_t extent) const;
  std::string text(const std::vector<std::int64_t>& shape) const;
  const std::string& problem() const { return problem_; }
  /// Gives nothing, for this reason.
  std::optional<TensorValue> fail(const std::string& problem);

 private:
  int add(const Index& index);
  TensorValue fresh(const TensorValue& x);
  std::int64_t extent_of(int id) const { return indices_[static_cast<std::size_t>(id)].extent; }
  std::optional<std::vector<std::size_t>> normalized(const TensorValue& x, const std::vector<std::int64_t>& axes);
  std::optional<TensorValue> product(const TensorValue& a, const TensorValue& b, std::vector<int> keep, int axis_a,
                                     int axis_b, int lead);
  std::vector<Index>& indices_;
  std::vector<std::string> sizes_;
  std::string problem_;
};

}  // namespace netc
