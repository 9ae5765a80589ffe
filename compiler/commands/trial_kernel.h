// Kernels on trial: compiled under some choices, loaded into this process, run on random operands.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "compiler/kernels/lower.h"
#include "netc/pages.h"

namespace netc {

/// Memory of an operand, on huge pages as a model's. Choice: kernels for a few examples find their parameters in copies
/// that they take in turn, as they would be after a pass through a model: in memory, not in a cache. Alternative: one
/// copy, for which tiles won that read ResNet-18's weights at half the rate of others (2026-11).
class TrialMemory {
 public:
  TrialMemory(std::size_t size, std::size_t copies);

  std::byte* copy(std::size_t number) { return pages_.get() + number % copies_ * stride_; }
  std::size_t size() const { return size_; }
  /// Makes all copies like the first.
  void spread();

 private:
  std::size_t size_;
  std::size_t copies_;
  std::size_t stride_;
  std::unique_ptr<std::byte[], FreePages> pages_;
};

/// A kernel in this process, and where it prepares an input (see KernelBuilder::prepared), the one that does.
class TrialKernel {
 public:
  /// Compiles and links `entry` in `folder` under a name of its own. Throws std::runtime_error where Halide or the
  /// linker refuses.
  TrialKernel(const KernelEntry& entry, Isa isa, const Choices& choices, const std::filesystem::path& folder);
  ~TrialKernel();
  TrialKernel(const TrialKernel&) = delete;
  TrialKernel& operator=(const TrialKernel&) = delete;

 private:
  friend class TrialOperands;

  void* library_;
  KernelVariant function_;
  std::optional<PreparedInput> prepares_;
  KernelVariant preparing_function_ = nullptr;
  std::optional<TrialMemory> prepared_;  // when it has run
};

/// Memory for the operands of a kernel at some batch: inputs hold numbers that look random and are always the same.
class TrialOperands {
 public:
  TrialOperands(const KernelEntry& entry, int batch);

  /// Runs a kernel once; returns the time that it took, in seconds.
  double run(TrialKernel& kernel);

  /// Runs a kernel and remembers its results.
  void remember(TrialKernel& kernel);

  /// Whether a kernel's results are the remembered ones, but for what the order of sums makes of them.
  bool agrees(TrialKernel& kernel);

 private:
  std::size_t copies(std::size_t size, bool parameter) const;
  void call(KernelVariant function, const std::vector<Operand>& operands,
            const std::vector<const void*>& pointers) const;
  void prepare(TrialKernel& kernel);
  void clear_outputs();
  std::vector<std::vector<float>> results(TrialKernel& kernel);

  bool few_;
  int batch_;
  std::vector<Operand> operands_;
  std::vector<TrialMemory> memories_;
  std::size_t inputs_;
  std::size_t runs_ = 0;
  std::vector<std::vector<float>> remembered_;
};

}  // namespace netc
