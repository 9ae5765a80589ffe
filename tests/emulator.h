// What the emulator of CUDA's driver counts, where that is the driver of this process.
#pragma once

#include <optional>
#include <string>

#include "tests/gpu/emulator/counts.h"

namespace netc::test {

/// Since the process began; nothing where the driver is another.
std::optional<emulator::Counts> emulator_counts();

/// The same as a line of this program's output: "cuda: WHAT: 12 launches, …".
void print_emulator_counts(const std::string& what);

}  // namespace netc::test
