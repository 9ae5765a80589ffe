// Products of matrices on a GPU: linear and its gradients by blocks of threads.
#pragma once

#include <cstdint>

#include "compiler/kernels/kernel_builder.h"

namespace netc::ops {

/// Whether blocks of threads compute the node: where examples do not lie side by side in memory, and there are more
/// than a few of them.
bool linear_in_blocks(const KernelBuilder& kernel, const Node& node);

/// Defines the output: `start` plus the sum of input[n, k] times the weight of the feature that is computed and of the
/// input k; the weights' outputs are summed where `backward`.
void define_rows_in_blocks(KernelBuilder& kernel, const Node& node, const Halide::Expr& start, bool backward);
void schedule_rows_in_blocks(KernelBuilder& kernel, const Node& node, bool backward);

/// Defines dw[o, i], the sum over examples of dy[n, o] x[n, i].
void define_weights_in_blocks(KernelBuilder& kernel, const Node& node);
void schedule_weights_in_blocks(KernelBuilder& kernel, const Node& node);

}  // namespace netc::ops
