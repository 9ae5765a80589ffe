// sum, mean, max, min, norm over axes, and cumsum: index notation with names.
#include "compiler/ops/algebra.h"
#include "compiler/ops/ops.h"

#include <fmt/format.h>

namespace netc::ops {

namespace {

using Axes = std::vector<std::int64_t>;

/// The axes of a call; by default all but the batch. The batch itself is no axis to reduce.
std::optional<Axes> axes_of(const TensorAlgebra& algebra, const TensorValue& x, const Attributes& attributes) {
  Axes axes = attributes.integers("axis");
  const auto rank = static_cast<std::int64_t>(algebra.shape(x).size());
  if (axes.empty()) {
    for (std::int64_t i = 1; i < rank; ++i) axes.push_back(i);
  }
  for (std::int64_t& axis : axes) {
    if (axis < 0 && axis >= -rank) axis += rank;
    if (axis == 0) return {};
  }
  return axes;
}

template <class Reduce>
std::optional<TensorValue> over_axes(TensorAlgebra& algebra, const std::vector<TensorValue>& x,
                                     const Attributes& attributes, Reduce reduce) {
  const auto axes = axes_of(algebra, x[0], attributes);
  if (!axes) return algebra.fail("axis 0 is the batch: examples are not mixed");
  if (axes->empty()) return x[0];
  return reduce(*axes, attributes.boolean("keepdim"));
}

template <Reduction reduction>
std::optional<TensorValue> reduced(TensorAlgebra& algebra, const std::vector<TensorValue>& x,
                                   const Attributes& attributes) {
  return over_axes(algebra, x, attributes,
                   [&](const Axes& axes, bool keepdim) { return algebra.reduce(reduction, x[0], axes, keepdim); });
}

std::optional<TensorValue> mean_of(TensorAlgebra& algebra, const std::vector<TensorValue>& x,
                                   const Attributes& attributes) {
  return over_axes(algebra, x, attributes,
                   [&](const Axes& axes, bool keepdim) { return algebra.mean(x[0], axes, keepdim); });
}

std::optional<TensorValue> norm_of(TensorAlgebra& algebra, const std::vector<TensorValue>& x,
                                   const Attributes& attributes) {
  return over_axes(algebra, x, attributes, [&](const Axes& axes, bool keepdim) {
    return algebra.norm(x[0], attributes.real("p"), axes, keepdim);
  });
}

std::optional<TensorValue> cumsum_of(TensorAlgebra& algebra, const std::vector<TensorValue>& x,
                                     const Attributes& attributes) {
  return algebra.cumsum(x[0], attributes.integer("axis"));
}

std::vector<AttributeSpec> reduction_attributes() {
  return {{"axis", AttributeType::integers, IntList{}, "", -6, 6, "one axis or several; default: all but the batch"},
          {"keepdim", AttributeType::boolean, false, "", 0, 1, "whether the axes stay, with extent 1"}};
}

std::vector<AttributeSpec> norm_attributes() {
  std::vector<AttributeSpec> attributes = reduction_attributes();
  attributes.insert(attributes.begin(),
                    {"p", AttributeType::real, 2.0, "", 1e-3, 1e3, "the exponent: 2 for the Euclidean norm"});
  return attributes;
}

std::vector<Sample> samples() {
  const auto sample = [](const std::string& name, const Shape& input, const IntList& axis, bool keepdim) {
    return Sample{name, {input}, {{"axis", axis}, {"keepdim", keepdim}}};
  };
  return {sample("pixels", {Shape::batch, 3, 4, 5}, {2, 3}, false),
          sample("channels", {Shape::batch, 3, 4, 5}, {1}, true),
          sample("rows_kept", {Shape::batch, 18, 3, 2}, {-2}, true), sample("all", {Shape::batch, 21}, {}, false)};
}

std::vector<Sample> norm_samples() {
  std::vector<Sample> all = samples();
  for (std::size_t i = 0; i < all.size(); ++i) all[i].attributes.set("p", i == 1 ? 1.0 : i == 2 ? 3.0 : 2.0);
  return all;
}

}  // namespace

const Operator reduce_sum = algebraic(
    {.name = "sum", .doc = "The sum over `axis`.", .attributes = reduction_attributes(), .samples = samples()},
    reduced<Reduction::sum>);

const Operator reduce_mean = algebraic(
    {.name = "mean", .doc = "The mean over `axis`.", .attributes = reduction_attributes(), .samples = samples()},
    mean_of);

const Operator reduce_max = algebraic({.name = "max",
                                       .doc = "The largest element along `axis`. Equal ones share the gradient.",
                                       .attributes = reduction_attributes(),
                                       .samples = samples()},
                                      reduced<Reduction::max>);

const Operator reduce_min = algebraic({.name = "min",
                                       .doc = "The smallest element along `axis`. Equal ones share the gradient.",
                                       .attributes = reduction_attributes(),
                                       .samples = samples()},
                                      reduced<Reduction::min>);

const Operator norm = algebraic({.name = "norm",
                                 .doc = "(sum over `axis` of |x|^p)^(1/p). The gradient at 0 is 0.",
                                 .attributes = norm_attributes(),
                                 .samples = norm_samples()},
                                norm_of);

const Operator cumsum =
    algebraic({.name = "cumsum",
               .doc = "Each element with all before it along `axis` added.",
               .attributes = {{"axis", AttributeType::integer, std::int64_t{1}, "", 1, 5, "along which the sums run"}},
               .samples = {{"channels", {{Shape::batch, 5, 3, 2}}, {{"axis", 1}}},
                           {"columns", {{Shape::batch, 18, 3, 4}}, {{"axis", 3}}},
                           {"features", {{Shape::batch, 21}}, {{"axis", 1}}}}},
              cumsum_of);

}  // namespace netc::ops
