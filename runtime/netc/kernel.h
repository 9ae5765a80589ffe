// A compiled kernel as generated code sees it: its variants for several instruction sets and for CUDA, and the layout
// of its operands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>

#include "netc/device.h"
#include "netc/tensor.h"

namespace netc {

/// Instruction sets that kernels are compiled for, the best last.
enum class Isa : std::uint8_t { sse41, avx2, avx512, avx512_bf16 };
constexpr int isa_count = 4;
constexpr std::array<Isa, isa_count> all_isas{Isa::sse41, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

/// The best set that this processor has; the environment variable
/// NETC_ISA=sse41|avx2|avx512|avx512_bf16 may ask for less.
Isa best_isa();

/// A compiled function in Halide's `_argv` form: pointers to scalars and to buffers. Returns 0, or Halide's status.
using KernelVariant = int (*)(void** arguments);
/// One for each instruction set, then one for CUDA; nullptr where the kernel was not compiled for it.
using KernelVariants = std::array<KernelVariant, isa_count + 1>;
/// The best one for this processor, or that for CUDA; throws Error (usage) where the kernels were compiled for others
/// alone.
KernelVariant variant_for(const KernelVariants& variants, Device device = Device::cpu);

/// One dimension of an operand.
struct Dim {
  /// Extents that are known at run time: the number of examples, and that of blocks of so many, the last one padded.
  static constexpr std::int32_t examples = -1;
  static constexpr std::int32_t blocks_of(std::int32_t lanes) { return -lanes; }

  std::int32_t extent;
  std::int32_t stride;  // in elements
};

/// The layout that a kernel was compiled for, the innermost dimension first: the example's place in its block, the axes
/// from the last to the first, the blocks.
struct Operand {
  constexpr Operand(DType of, std::initializer_list<Dim> innermost_first) : type(of) {
    for (const Dim& dim : innermost_first) append(dim);
  }
  constexpr void append(const Dim& dim) { dims.at(static_cast<std::size_t>(rank++)) = dim; }

  DType type;
  int rank = 0;
  std::array<Dim, max_rank> dims{};
};

/// A kernel has so many operands at most.
constexpr std::size_t max_operands = 32;

/// What every kernel is told beside its operands.
struct Launch {
  std::int32_t batch;  // examples
  std::uint32_t seed;  // random numbers are a function of seed, step, stream and element alone
  std::uint32_t step;
  Device device = Device::cpu;     // whose memory the operands lie in
  const void* counters = nullptr;  // on a GPU: seed and step, one after the other in its memory
  bool recorded = false;           // what would be launched runs as a part of something recorded
};

/// What a kernel computes for one example; other operations are not counted.
struct MultiplyAdds {
  std::int64_t per_example = 0;
};

/// What a call cannot do without.
struct Work {
  double flops = 0;  // two for each multiply-add
  double bytes = 0;  // every operand read or written once
};

class Kernel {
 public:
  /// The variants take batch, seed, step, then buffers; that for CUDA a buffer of seed and step. Choice: what is
  /// launched as a recorded whole draws new numbers each time. Alternative: scalars, which a recording holds as they
  /// were, so that models with dropout were launched kernel by kernel (2026-11).
  constexpr Kernel(const char* name, std::span<const Operand> operands, MultiplyAdds work, KernelVariants variants)
      : name_(name), variants_(variants), operands_(operands), multiply_adds_(work) {}

  const char* name() const { return name_; }
  Work work(std::int32_t batch) const;

  /// Runs on one pointer an operand, inputs first; throws Error with the kernel's name when it fails. On a GPU it may
  /// still run on return.
  template <class... Pointer>
  void operator()(const Launch& launch, Pointer*... pointer) const {
    std::array<const void*, sizeof...(Pointer)> pointers{pointer...};
    run(launch, pointers);
  }
  void operator()(const Launch& launch, std::span<const void* const> pointers) const { run(launch, pointers); }

 private:
  void run(const Launch& launch, std::span<const void* const> pointers) const;
  void call(const Launch& launch, std::span<const void* const> pointers) const;

  const char* name_;
  KernelVariants variants_;
  std::span<const Operand> operands_;
  MultiplyAdds multiply_adds_;
};

/// Is told of every call of a kernel when it is done, on the thread that made it.
using KernelObserver = std::function<void(const Kernel& kernel, const Launch& launch, double seconds)>;

/// As long as this lives, `observer` is told. Not to be made or ended while kernels run; one at a time.
class ObservedKernels {
 public:
  explicit ObservedKernels(KernelObserver observer);
  ~ObservedKernels();
  ObservedKernels(const ObservedKernels&) = delete;
  ObservedKernels& operator=(const ObservedKernels&) = delete;
};
/// Whether one is told.
bool observes_kernels();

}  // namespace netc
