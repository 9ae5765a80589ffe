// Calls compiled kernels: picks the variant for this processor and describes the operands to it.
#include "netc/kernel.h"

#include <HalideRuntime.h>
#include <HalideRuntimeCuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include "netc/cuda.h"
#include "netc/halide_hooks.h"

namespace netc {

namespace {

Isa processor_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.1")) {
    throw Error(ErrorKind::device,
                "this processor has no SSE4.1, which kernels need at least: run the program on a newer "
                "one (Intel's have it since 2008, AMD's since 2011)");
  }
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  // All that compilers take for granted where there is bf16 arithmetic.
  const bool bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512ifma") &&
                    __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                    __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bitalg") &&
                    __builtin_cpu_supports("avx512vpopcntdq");
  if (avx2 && avx512) return bf16 ? Isa::avx512_bf16 : Isa::avx512;
  return avx2 ? Isa::avx2 : Isa::sse41;
}

Isa wanted_isa() {
  const char* wanted = std::getenv("NETC_ISA");
  if (wanted == nullptr || std::string_view(wanted) == "avx512_bf16") return Isa::avx512_bf16;
  if (std::string_view(wanted) == "avx512") return Isa::avx512;
  if (std::string_view(wanted) == "avx2") return Isa::avx2;
  if (std::string_view(wanted) == "sse41") return Isa::sse41;
  throw Error(
      ErrorKind::usage,
      fmt::format(
          "NETC_ISA: expected sse41, avx2, avx512 or avx512_bf16, found '{}'; unset, kernels take the best that the "
          "processor has",
          wanted));
}

halide_type_t halide_type(DType type) {
  switch (type) {
    case DType::i32:
      return halide_type_of<std::int32_t>();
    case DType::u8:
      return halide_type_of<std::uint8_t>();
    case DType::bf16:
      return {halide_type_bfloat, 16};
    case DType::f32:
      break;
  }
  return halide_type_of<float>();
}

std::int32_t extent_for(std::int32_t extent, std::int32_t batch) {
  if (extent >= 0) return extent;
  const std::int32_t block = -extent;
  return batch / block + (batch % block != 0 ? 1 : 0);
}

/// A Halide buffer on somebody else's memory.
struct Buffer {
  halide_buffer_t header;
  std::array<halide_dimension_t, max_rank> dims;
};

/// Returns the index of the last element, which kernels compute in 32 bits.
std::int64_t describe(const Operand& operand, const void* memory, const Launch& launch, Buffer& buffer) {
  std::int64_t last = 0;
  for (int i = 0; i < operand.rank; ++i) {
    const Dim& dim = operand.dims[static_cast<std::size_t>(i)];
    const std::int32_t extent = extent_for(dim.extent, launch.batch);
    buffer.dims[static_cast<std::size_t>(i)] = halide_dimension_t(0, extent, dim.stride);
    last += static_cast<std::int64_t>(extent - 1) * dim.stride;
  }
  buffer.header = {};
  if (launch.device == Device::cuda) {
    buffer.header.device = reinterpret_cast<std::uint64_t>(memory);
    buffer.header.device_interface = halide_cuda_device_interface();
  } else {
    buffer.header.host = const_cast<std::uint8_t*>(static_cast<const std::uint8_t*>(memory));
  }
  buffer.header.type = halide_type(operand.type);
  buffer.header.dimensions = operand.rank;
  buffer.header.dim = buffer.dims.data();
  return last;
}

/// Of Launch::counters, as kernels for CUDA read them.
constexpr Operand counters_of_launch(DType::i32, {{2, 1}});

KernelObserver observer;

[[noreturn]] void fail(const char* name, const std::string& why) {
  throw Error(ErrorKind::internal, fmt::format("kernel {}: {}", name, why));
}

}  // namespace

Isa best_isa() {
  return std::min(processor_isa(), wanted_isa());
}

KernelVariant variant_for(const KernelVariants& variants, Device device) {
  if (device == Device::cuda) {
    if (variants.back() != nullptr) return variants.back();
    throw Error(ErrorKind::usage, "this program has kernels for the CPU only: generate it with --target cuda");
  }
  static const Isa isa = best_isa();
  for (int set = static_cast<int>(isa); set >= 0; --set) {
    if (KernelVariant variant = variants[static_cast<std::size_t>(set)]) return variant;
  }
  constexpr std::array<const char*, isa_count> names{"SSE4.1", "AVX2", "AVX-512", "AVX-512 with bf16"};
  throw Error(
      ErrorKind::usage,
      fmt::format("this program's kernels were compiled for more than {}: build it again without --native, or on "
                  "this machine",
                  names[static_cast<std::size_t>(isa)]));
}

ObservedKernels::ObservedKernels(KernelObserver told) {
  observer = std::move(told);
}

ObservedKernels::~ObservedKernels() {
  observer = nullptr;
}

Work Kernel::work(std::int32_t batch) const {
  Work work{.flops = 2.0 * static_cast<double>(multiply_adds_.per_example) * batch};
  for (const Operand& operand : operands_) {
    auto bytes = static_cast<double>(size_of(operand.type));
    for (int i = 0; i < operand.rank; ++i) bytes *= extent_for(operand.dims[static_cast<std::size_t>(i)].extent, batch);
    work.bytes += bytes;
  }
  return work;
}

bool observes_kernels() {
  return static_cast<bool>(observer);
}

void Kernel::run(const Launch& launch, std::span<const void* const> pointers) const {
  if (launch.recorded) return;
  if (!observer) return call(launch, pointers);
  const auto start = std::chrono::steady_clock::now();
  call(launch, pointers);
  if (launch.device == Device::cuda) cuda::synchronize();
  observer(*this, launch, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

void Kernel::call(const Launch& launch, std::span<const void* const> pointers) const {
  if (pointers.size() != operands_.size() || pointers.size() > max_operands) {
    fail(name_, fmt::format("expected {} operands, found {}", operands_.size(), pointers.size()));
  }
  halide::install_hooks();
  Launch scalars = launch;
  Buffer counters;
  std::array<Buffer, max_operands> buffers;
  std::array<void*, 3 + max_operands> arguments{&scalars.batch};
  std::size_t count = 1;
  if (launch.device == Device::cuda) {
    describe(counters_of_launch, launch.counters, launch, counters);
    arguments[count++] = &counters.header;
  } else {
    arguments[count++] = &scalars.seed;
    arguments[count++] = &scalars.step;
  }
  for (std::size_t i = 0; i < pointers.size(); ++i) {
    // Halide takes a buffer without memory for a question about sizes, answers it, and computes nothing.
    if (pointers[i] == nullptr) fail(name_, fmt::format("operand {} has no memory", i));
    const std::int64_t last = describe(operands_[i], pointers[i], launch, buffers[i]);
    if (last > std::numeric_limits<std::int32_t>::max()) {
      throw Error(ErrorKind::memory,
                  fmt::format("a batch of {} is too large: kernel {} would need a tensor of {} elements", launch.batch,
                              name_, last + 1));
    }
    arguments[count++] = &buffers[i].header;
  }
  if (const int status = variant_for(variants_, launch.device)(arguments.data()); status != 0) {
    const std::string why = fmt::format("status {}: {}", status, halide::take_error());
    if (launch.device == Device::cuda) throw Error(ErrorKind::device, fmt::format("kernel {}: {}", name_, why));
    fail(name_, why);
  }
}

}  // namespace netc
