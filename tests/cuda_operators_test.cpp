// Every sample of every operator on CUDA, forward and backward, against PyTorch. The driver is the emulator where there
// is no GPU: it sees reads and writes out of bounds.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "emulator.h"
#include "gpu_operators.h"

using namespace netc;
using namespace netc::test;

namespace {

/// Each is one of the driver's, when Halide keeps none; it hears of that when its runtime is there.
void count_allocations() {
  Halide::Func anything;
  anything() = 0;
  anything.realize();
  Halide::Internal::JITSharedRuntime::reuse_device_allocations(false);
}

/// Halide's JIT takes the driver that is loaded already.
bool load_driver() {
  return dlopen(std::getenv("NETC_CUDA_DRIVER"), RTLD_NOW | RTLD_GLOBAL) != nullptr;
}

}  // namespace

TEST_CASE("on CUDA every operator computes what PyTorch computes") {
  REQUIRE(load_driver());
  count_allocations();
  std::size_t kernels = 0;
  for (const Case& c : cases()) {
    kernels += check_on_gpu(c, 1, Halide::DeviceAPI::CUDA);
    if (&c.sample == &c.op.samples[0]) kernels += check_on_gpu(c, 16, Halide::DeviceAPI::CUDA);
  }
  CHECK(kernels > 300);
  fmt::print("cuda: operators: {} samples, {} kernels, against PyTorch\n", cases().size(), kernels);
  print_emulator_counts("operators");
}
