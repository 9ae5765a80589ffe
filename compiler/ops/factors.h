// Factors of sums of products: numbers as they are, or rounded to bf16 (see precision.h), two of them in a dot product
// where the machine has such instructions.
#pragma once

#include <Halide.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/kernels/kernel_builder.h"

namespace netc::ops {

class Factors {
 public:
  /// `terms`: how many products the innermost reduction adds up; `dense`: whether the factors of two terms can lie side
  /// by side, which dot products want.
  Factors(const KernelBuilder& kernel, const Node& node, std::int64_t terms, bool dense);
  /// Nothing is rounded.
  explicit Factors(const KernelBuilder& kernel) : real_(kernel.real()) {}

  bool rounded() const { return rounded_; }
  /// Whether pairs of products are added up by one instruction.
  bool pairs() const { return pairs_; }
  /// Terms that one instruction adds up.
  int together() const { return pairs_ ? 2 : 1; }

  /// An element as a factor, for a copy that sums read.
  Halide::Expr stored(const Halide::Expr& element) const;
  /// An element of `value` in that form, or, where nothing is rounded, as it lies in memory; `in_place`: a copy would
  /// be the same.
  Halide::Expr read(KernelBuilder& kernel, ValueId value, const Point& point) const;
  bool in_place(const KernelBuilder& kernel, ValueId value) const;
  /// The same where it is read once: no copy is worth it.
  Halide::Expr rounded(const Halide::Expr& element) const;
  Halide::Expr product(const Halide::Expr& a, const Halide::Expr& b) const;

  /// A copy of `value`, all of it a batch of rows, arguments as `variables`: the stage `name`. Where nothing is
  /// rounded, its elements in place.
  Halide::Func rows(KernelBuilder& kernel, const std::string& name, ValueId value) const;

 private:
  Halide::Type real_;
  bool rounded_ = false;
  bool pairs_ = false;
};

/// element(vector, term, other …): factors that are read in vectors along their first argument.
using Element = std::function<Halide::Expr(const Halide::Expr& along, const Halide::Expr& term,
                                           const std::vector<Halide::Expr>& others)>;

/// The extents of such factors, all of which are made of a parameter.
struct Packing {
  ValueId parameter;
  std::int64_t along;
  std::int64_t terms;
  std::vector<std::int64_t> others;
  bool by_vectors =
      false;  // prepared ones lie vector by vector, so that tasks of a few vectors read memory in its order
};

/// A copy of such factors as the stage "weights", which may be prepared; of pairs those of two terms lie side by side.
/// Returns how to read it.
Element packed(KernelBuilder& kernel, const Factors& factors, const Packing& packing,
               const std::vector<Halide::Var>& others, const Element& element);

/// Computes such a copy once a call, the terms in parallel.
void schedule_packed(KernelBuilder& kernel, const Factors& factors, const std::string& name);

/// Computes it in registers for each pair of terms: `tile` elements along the vectors.
void schedule_packed_at(KernelBuilder& kernel, const std::string& name, const Halide::LoopLevel& pair, int tile,
                        int vector);

/// Appends the gradients of `node`, sums of products of x and weight, to which it may add a bias: those of x, weight
/// and bias, by these operators, both of which read `dy` first.
std::vector<ValueId> product_gradients(GraphBuilder& builder, const Node& node, ValueId dy,
                                       const Operator& backward_data, const Operator& backward_weights,
                                       const Attributes& attributes);

}  // namespace netc::ops
