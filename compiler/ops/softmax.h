// exp(x - max(x)) along an axis and its sum, which softmax and cross_entropy share.
#pragma once

#include <Halide.h>

#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"

namespace netc::ops {

/// Of a value along one of its axes. The places are those of the value; where along the axis they lie does not matter
/// to the maximum and the sum.
class Exponentials {
 public:
  /// Defines them as stages of the kernel. Subtracting the maximum keeps exp from overflowing.
  Exponentials(KernelBuilder& kernel, ValueId x, int axis);

  Halide::Expr maximum(const Point& at) const { return maximum_(kernel_.arguments(collapsed(at))); }
  Halide::Expr exponential(const Point& at) const { return exponential_(kernel_.arguments(at)); }
  Halide::Expr sum(const Point& at) const { return sum_(kernel_.arguments(collapsed(at))); }
  Halide::Expr softmax(const Point& at) const { return exponential(at) / sum(at); }

 private:
  Point collapsed(Point at) const;

  KernelBuilder& kernel_;
  std::ptrdiff_t axis_;  // an index into Point::axes
  Halide::Func maximum_;
  Halide::Func exponential_;
  Halide::Func sum_;
};

/// A reduction along an axis: what it begins with, what a term adds, and the term of a place, at the variables of the
/// value without that axis.
struct AxisReduction {
  Halide::Expr start;
  std::function<Halide::Expr(const Halide::Expr& so_far, const Halide::Expr& term)> combine;
  std::function<Halide::Expr(const Point& at)> term;
};

Halide::Expr plus(const Halide::Expr& a, const Halide::Expr& b);

/// Defines it as the stage `name`. On a GPU long rows are a block of threads each: a thread takes every so many places,
/// then what they have is combined.
Halide::Func reduce_axis(KernelBuilder& kernel, const std::string& name, const Shape& shape, int axis,
                         const AxisReduction& of);

/// Schedules kernel.out() and the reductions of these names for a GPU, where they are such rows of `x`.
void schedule_rows_on_gpu(KernelBuilder& kernel, ValueId x, const std::vector<std::string>& names);

/// Computes the stage `name`, a reduction, for each block of examples that `kernel.out()` computes, these side by side
/// where the layout has lanes.
void schedule_reduction(KernelBuilder& kernel, const std::string& name);

/// Computes them for each block of examples that `kernel.out()` computes.
void schedule_exponentials(KernelBuilder& kernel, ValueId x);

}  // namespace netc::ops
