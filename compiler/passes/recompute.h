// Plan -> the same in less memory: what the forward pass computes is computed again in the backward pass, not kept.
#pragma once

#include <cstdint>

#include "compiler/passes/plan_memory.h"

namespace netc {

/// Repeats groups of the forward pass in front of the group of the backward pass that first needs what they compute, so
/// that a batch of `batch` examples takes at most `bytes`, or as few as this rule reaches: where most memory is alive,
/// of the activations that only wait there for the backward pass, the one that takes the fewest multiply-adds a byte
/// to compute again is the next. A repeated group is the same kernel on the same numbers, so results are the same bits;
/// groups that change running statistics are never repeated.
Plan recompute(const Plan& plan, std::int64_t batch, std::int64_t bytes);

/// The group while which most memory of activations and gradients is alive.
int busiest_group(const Plan& plan);

}  // namespace netc
