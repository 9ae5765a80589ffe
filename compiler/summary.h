// The table of a model: its layers, and what they cost.
#pragma once

#include <string>

#include "compiler/emit.h"

namespace netc {

/// Bytes that a run holds for a batch: activations, parameters, buffers; training adds gradients and the optimizer's
/// state.
struct MemoryBill {
  std::int64_t forward = 0;
  std::int64_t training = 0;  // 0 for models without a loss
};
MemoryBill memory_bill(const CompiledModel& model, std::int64_t batch);

std::string summary_text(const CompiledModel& model, std::int64_t batch);
std::string summary_json(const CompiledModel& model, std::int64_t batch);

}  // namespace netc
