// A compiled model -> the same within a limit of memory.
#pragma once

#include <cstdint>

#include "compiler/emit.h"
#include "dsl/diagnostic.h"

namespace netc {

/// Bytes that a run holds for a batch: activations, parameters, buffers; training adds gradients and the optimizer's
/// state. It evaluates in the same memory. Scratch memory of kernels, which lasts as long as they run, is no part of
/// it.
struct MemoryBill {
  std::int64_t forward = 0;
  std::int64_t training = 0;  // 0 for models without a loss
};
MemoryBill memory_bill(const CompiledModel& model, std::int64_t batch);

/// Recomputes activations in the backward pass until the bill for `batch` examples is at most `limit` bytes. Where that
/// cannot be, N311 says what is needed at least, where, and which batch fits.
void fit_memory(CompiledModel& model, std::int64_t batch, std::int64_t limit, Diagnostics& diagnostics);

}  // namespace netc
