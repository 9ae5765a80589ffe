// Samples of operators by way of OpenCL, forward and backward, against PyTorch: the schedules that CUDA's kernels have,
// with another compiler behind them. PoCL runs them on the CPU, threads of a block one after the other between
// barriers.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <set>
#include <string_view>

#include "gpu_operators.h"

using namespace netc;
using namespace netc::test;

namespace {

/// Halide's JIT takes the library that is loaded already, and of it the platform that is named here.
void load_pocl() {
  REQUIRE_MESSAGE(dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_GLOBAL) != nullptr,
                  "there is no OpenCL: install pocl-opencl-icd and ocl-icd-libopencl1");
  ::setenv("HL_OCL_PLATFORM_NAME", "Portable Computing Language", 1);
}

}  // namespace

TEST_CASE("by OpenCL operators of every kind compute what PyTorch computes") {
  load_pocl();
  const std::set<std::string_view> sample{"conv", "linear", "batchnorm", "maxpool", "softmax"};
  std::size_t kernels = 0;
  for (const Case& c : cases()) {
    if (&c.sample != &c.op.samples[0] || !sample.contains(c.op.name)) continue;
    kernels += check_on_gpu(c, 1, Halide::DeviceAPI::OpenCL);
  }
  CHECK(kernels >= 15);
  fmt::print("cuda: OpenCL by PoCL: {} operators, {} kernels, against PyTorch\n", sample.size(), kernels);
}

TEST_CASE("by OpenCL every operator computes what PyTorch computes" * doctest::skip()) {
  load_pocl();
  std::size_t kernels = 0;
  for (const Case& c : cases()) {
    kernels += check_on_gpu(c, 1, Halide::DeviceAPI::OpenCL);
    if (&c.sample == &c.op.samples[0]) kernels += check_on_gpu(c, 16, Halide::DeviceAPI::OpenCL);
  }
  CHECK(kernels > 300);
  fmt::print("cuda: OpenCL by PoCL: {} samples, {} kernels, against PyTorch\n", cases().size(), kernels);
}
