// Samples of operators on a GPU, or on what stands in for one.
#pragma once

#include <Halide.h>

#include <cstddef>

#include "operator_cases.h"

namespace netc::test {

/// Runs the sample by way of `api`, forward and backward and in evaluation, and checks what it computes against
/// PyTorch's figures. Returns how many kernels ran.
std::size_t check_on_gpu(const Case& c, int lanes, Halide::DeviceAPI api);

}  // namespace netc::test
