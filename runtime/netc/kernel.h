// A compiled kernel as generated code sees it: its variants for several instruction sets, and the layout of its
// operands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "netc/tensor.h"

namespace netc {

/// Instruction sets that kernels are compiled for, the best last.
enum class Isa : std::uint8_t { sse41, avx2, avx512 };
constexpr int isa_count = 3;

/// The best set that this processor has; the environment variable NETC_ISA=sse41|avx2|avx512 may ask for less.
Isa best_isa();

/// One dimension of an operand, innermost first.
struct Dim {
  static constexpr std::int32_t batch = -1;  // extent: the number of examples
  std::int32_t extent;                       // below -1: the examples in blocks of -extent, the last one padded
  std::int32_t stride;                       // in elements
};

/// The layout that a kernel was compiled for.
struct Operand {
  DType type;
  int rank;
  std::array<Dim, max_rank> dims;
};

/// What every kernel is told beside its operands.
struct Launch {
  std::int32_t batch;  // examples
  std::uint32_t seed;  // random numbers are a function of seed, step, stream and element alone
  std::uint32_t step;
};

class Kernel {
 public:
  using Entry = int (*)(void** arguments);  // Halide's `_argv` form: batch, seed, step, then buffers

  constexpr Kernel(const char* name, std::array<Entry, isa_count> variants, std::span<const Operand> operands)
      : name_(name), variants_(variants), operands_(operands) {}

  /// Runs on one pointer an operand, inputs first; throws Error with the kernel's name when it fails.
  template <class... Pointer>
  void operator()(const Launch& launch, Pointer*... pointer) const {
    std::array<const void*, sizeof...(Pointer)> pointers{pointer...};
    run(launch, pointers);
  }

 private:
  void run(const Launch& launch, std::span<const void* const> pointers) const;

  const char* name_;
  std::array<Entry, isa_count> variants_;
  std::span<const Operand> operands_;
};

/// Threads that kernels use; 0 asks for one a core. Results do not depend on it.
void set_threads(int threads);
int threads();

}  // namespace netc
