// What a pass asks of a GPU, known before the run, and what the hardware's limits make of that.
#pragma once

#include <cstdint>

#include "compiler/kernels/lower.h"
#include "compiler/passes/plan_memory.h"

namespace netc {

/// Of a whole pass.
struct GpuWork {
  double flops = 0;           // two for each multiply-add
  double bytes = 0;           // what every kernel reads and writes, once
  std::int64_t launches = 0;  // kernels of the GPU; a group may take several
};

/// A step of training by the plan's recipe, with the optimizer's update: or, of a plan without a backward pass, its
/// evaluation. `kernels_of` are the plan's rows of the table's `of`.
GpuWork gpu_work(const Plan& plan, const KernelTable& table, const std::vector<int>& kernels_of, std::int64_t batch);

/// Peaks of a GPU.
struct GpuLimits {
  const char* name;
  double fp32;    // FLOP/s
  double tf32;    // the same by tensor cores
  double memory;  // bytes/s
};

/// NVIDIA's data sheet of the H100 SXM, without sparsity.
inline constexpr GpuLimits h100{"H100", 67e12, 495e12, 3.35e12};

}  // namespace netc
