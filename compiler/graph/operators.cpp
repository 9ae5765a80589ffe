// The table of operators.
#include "compiler/graph/operator.h"
#include "compiler/ops/ops.h"

namespace netc {

const std::vector<const Operator*>& operators() {
  static const std::vector<const Operator*> table{
      &ops::conv,
      &ops::conv_backward_data,
      &ops::conv_backward_weights,
      &ops::linear,
      &ops::linear_backward_data,
      &ops::linear_backward_weights,
      &ops::batchnorm,
      &ops::batchnorm_statistics,
      &ops::batchnorm_normalize,
      &ops::batchnorm_inference,
      &ops::batchnorm_backward_sums,
      &ops::batchnorm_backward,
      &ops::maxpool,
      &ops::maxpool_backward,
      &ops::avgpool,
      &ops::avgpool_backward,
      &ops::globalavgpool,
      &ops::adaptiveavgpool,
      &ops::adaptiveavgpool_backward,
      &ops::relu,
      &ops::relu_backward,
      &ops::sigmoid,
      &ops::sigmoid_backward,
      &ops::tanh,
      &ops::tanh_backward,
      &ops::softmax,
      &ops::softmax_backward,
      &ops::dropout,
      &ops::dropout_mask,
      &ops::add,
      &ops::concat,
      &ops::slice,
      &ops::copy,
      &ops::flatten,
      &ops::reshape,
      &ops::identity,
      &ops::scale,
      &ops::reduce_sum,
      &ops::reduce_mean,
      &ops::reduce_max,
      &ops::reduce_min,
      &ops::norm,
      &ops::cumsum,
      &ops::dot,
      &ops::matvec,
      &ops::matmul,
      &ops::elementwise,
      &ops::comprehension,
      &ops::cross_entropy,
      &ops::cross_entropy_backward,
      &ops::mse,
      &ops::mse_backward,
  };
  return table;
}

const Operator* find_operator(std::string_view name) {
  for (const Operator* op : operators()) {
    if (op->in_language && op->name == name) return op;
  }
  return nullptr;
}

}  // namespace netc
