// The operators, one file each; operators.cpp lists them.
#pragma once

#include "compiler/graph/operator.h"

namespace netc::ops {

// activation.cpp
extern const Operator relu, relu_backward, sigmoid, sigmoid_backward, tanh, tanh_backward;
// add.cpp
extern const Operator add;
// batchnorm.cpp
extern const Operator batchnorm, batchnorm_statistics, batchnorm_normalize, batchnorm_inference,
    batchnorm_backward_sums, batchnorm_backward;
// comprehension.cpp
extern const Operator comprehension, elementwise;
// concat.cpp
extern const Operator concat, slice;
// conv.cpp, conv_backward_data.cpp, conv_backward_weights.cpp
extern const Operator conv, conv_backward_data, conv_backward_weights;
// copy.cpp
extern const Operator copy;
// cross_entropy.cpp
extern const Operator cross_entropy, cross_entropy_backward;
// dropout.cpp
extern const Operator dropout, dropout_mask;
// linear.cpp
extern const Operator linear, linear_backward_data, linear_backward_weights;
// mse.cpp
extern const Operator mse, mse_backward;
// maxpool.cpp
extern const Operator maxpool, maxpool_backward;
// avgpool.cpp
extern const Operator avgpool, avgpool_backward, globalavgpool;
// adaptiveavgpool.cpp
extern const Operator adaptiveavgpool, adaptiveavgpool_backward;
// products.cpp
extern const Operator dot, matvec, matmul;
// reductions.cpp
extern const Operator reduce_sum, reduce_mean, reduce_max, reduce_min, norm, cumsum;
// scale.cpp
extern const Operator scale;
// softmax.cpp
extern const Operator softmax, softmax_backward;
// view.cpp
extern const Operator flatten, identity, reshape;

}  // namespace netc::ops
