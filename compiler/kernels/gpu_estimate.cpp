#include "compiler/kernels/gpu_estimate.h"

namespace netc {

namespace {

double operand_bytes(const Plan& plan, ValueId value, std::int64_t batch) {
  const Operand stored = operand(plan, value);
  const Kernel reader("", {&stored, 1}, {}, {});
  return reader.work(static_cast<std::int32_t>(batch)).bytes;
}

/// Parameters and state are read and written, gradients read.
GpuWork update(const Plan& plan) {
  const auto floats = static_cast<double>(arena_layout(plan.graph, Role::parameter).floats);
  return {.bytes = (3 + 2 * state_arrays(plan.graph.recipe.optimizer)) * floats * sizeof(float), .launches = 1};
}

}  // namespace

GpuWork gpu_work(const Plan& plan, const KernelTable& table, const std::vector<int>& kernels_of, std::int64_t batch) {
  const bool trains = plan.backward_groups > plan.forward_groups;
  GpuWork work = trains ? update(plan) : GpuWork{};
  const std::size_t groups = trains ? static_cast<std::size_t>(plan.backward_groups) : plan.groups.size();
  for (std::size_t i = 0; i < groups; ++i) {
    const Group& group = plan.groups[i];
    work.flops += 2.0 * static_cast<double>(multiply_adds(plan, group) * batch);
    for (const ValueId value : group.inputs) work.bytes += operand_bytes(plan, value, batch);
    for (const ValueId value : group.outputs) work.bytes += operand_bytes(plan, value, batch);
    work.launches += cuda_launches(table, table.entries[static_cast<std::size_t>(kernels_of[i])]);
  }
  return work;
}

}  // namespace netc
