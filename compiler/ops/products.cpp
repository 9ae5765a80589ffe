// dot, matvec, matmul of an example's vectors and matrices.
#include "compiler/ops/algebra.h"
#include "compiler/ops/ops.h"

namespace netc::ops {

const Operator dot =
    algebraic({.name = "dot",
               .doc = "y[n] = sum over i of a[n, i] * b[n, i].",
               .inputs = 2,
               .samples = {{"vectors", {{Shape::batch, 21}, {Shape::batch, 21}}, {}}}},
              [](TensorAlgebra& algebra, const auto& x, const auto&) { return algebra.dot(x[0], x[1], 1); });

const Operator matvec =
    algebraic({.name = "matvec",
               .doc = "y[n, i] = sum over j of a[n, i, j] * x[n, j].",
               .inputs = 2,
               .samples = {{"matrices", {{Shape::batch, 7, 18}, {Shape::batch, 18}}, {}}}},
              [](TensorAlgebra& algebra, const auto& x, const auto&) { return algebra.matvec(x[0], x[1], 1); });

const Operator matmul =
    algebraic({.name = "matmul",
               .doc = "y[n, i, j] = sum over k of a[n, i, k] * b[n, k, j].",
               .inputs = 2,
               .samples = {{"matrices", {{Shape::batch, 5, 7}, {Shape::batch, 7, 19}}, {}}}},
              [](TensorAlgebra& algebra, const auto& x, const auto&) { return algebra.matmul(x[0], x[1], 1); });

}  // namespace netc::ops
