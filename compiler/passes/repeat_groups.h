// Plan -> the same with groups that run a second time, on memory of their own.
#pragma once

#include <vector>

#include "compiler/passes/plan_memory.h"

namespace netc {

/// A group as it runs: the first time, or again.
struct GroupRun {
  int group;
  bool again = false;
};

/// Runs the groups of `plan` in the order of `steps`, which has each of them once in its old order, and groups of the
/// forward pass again between those of the backward pass. A group that runs again writes values of its own, and who
/// reads behind it reads those. Kernels stay the same.
Plan repeat_groups(const Plan& plan, const std::vector<GroupRun>& steps);

}  // namespace netc
