// The table of a model: its layers, and what they cost.
#pragma once

#include <string>

#include "compiler/compiled_model.h"

namespace netc {

std::string summary_text(const CompiledModel& model, std::int64_t batch);
std::string summary_json(const CompiledModel& model, std::int64_t batch);

}  // namespace netc
