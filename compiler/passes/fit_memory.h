// A compiled model -> the same within a limit of memory.
#pragma once

#include <cstdint>

#include "compiler/compiled_model.h"
#include "dsl/diagnostic.h"
#include "netc/device.h"

namespace netc {

/// Bytes that a run holds for a batch: activations, parameters, buffers; training adds gradients and the optimizer's
/// state. It evaluates in the same memory. On a GPU the batch itself and the scratch memory of kernels belong to it;
/// the CPU's scratch memory, which lasts as long as a kernel runs, does not.
struct MemoryBill {
  std::int64_t forward = 0;
  std::int64_t training = 0;  // 0 for models without a loss
};
MemoryBill memory_bill(const CompiledModel& model, std::int64_t batch, Device device);

/// Recomputes activations in the backward pass until the bill for `batch` examples is at most `limit` bytes. Where that
/// cannot be, N311 says what is needed at least, where, and which batch fits.
void fit_memory(CompiledModel& model, std::int64_t batch, std::int64_t limit, Device device, Diagnostics& diagnostics);

}  // namespace netc
