// Kernels on trial: compiled under some choices, loaded into this process, run on random operands.
#pragma once

#include <filesystem>
#include <vector>

#include "compiler/kernels/lower.h"

namespace netc {

/// A kernel in this process.
class TrialKernel {
 public:
  /// Compiles and links `entry` in `folder` under a name of its own. Throws std::runtime_error where Halide or the
  /// linker refuses.
  TrialKernel(const KernelEntry& entry, Isa isa, const Choices& choices, const std::filesystem::path& folder);
  ~TrialKernel();
  TrialKernel(const TrialKernel&) = delete;
  TrialKernel& operator=(const TrialKernel&) = delete;

  KernelVariant function() const { return function_; }

 private:
  void* library_;
  KernelVariant function_;
};

/// Memory for the operands of a kernel at some batch: inputs hold numbers that look random and are always the same.
class TrialOperands {
 public:
  TrialOperands(const KernelEntry& entry, int batch);

  /// Runs a kernel once; returns the time that it took, in seconds.
  double run(const TrialKernel& kernel);

  /// Runs a kernel and remembers its results.
  void remember(const TrialKernel& kernel);

  /// Whether a kernel's results are the remembered ones, but for what the order of sums makes of them.
  bool agrees(const TrialKernel& kernel);

 private:
  struct Memory {
    DType type;
    std::vector<std::byte> bytes;
    std::byte* begin;  // at a multiple of a cache line
    std::size_t size;
  };

  void clear_outputs();
  std::vector<std::vector<float>> results(const TrialKernel& kernel);

  int batch_;
  std::vector<Operand> operands_;
  std::vector<Memory> memories_;
  std::size_t inputs_;
  std::vector<std::vector<float>> remembered_;
};

}  // namespace netc
