// Binaries for GPUs beside the PTX of CUDA kernels, where NVIDIA's tools are at hand: drivers load these at once, and
// compile PTX only for other GPUs.
#pragma once

#include <Halide.h>

#include <filesystem>
#include <optional>
#include <string>

namespace netc {

class GpuAssembler {
 public:
  /// CUDA's `ptxas` and `fatbinary` in $CUDA_HOME/bin or on the PATH; nothing where one is missing.
  static const std::optional<GpuAssembler>& installed();

  /// Their paths and the assembler's size and age: what its binaries depend on.
  const std::string& identity() const { return identity_; }

  /// The module with binaries for capabilities 8.0 and 9.0 beside its PTX. Files beginning with `scratch` are made and
  /// removed. Throws std::runtime_error where a tool fails, which says why on standard error.
  Halide::Module with_binaries(const Halide::Module& module, const std::filesystem::path& scratch) const;

 private:
  GpuAssembler(std::string ptxas, std::string fatbinary);
  Halide::Buffer<> fat_binary(const Halide::Buffer<>& ptx, const std::filesystem::path& scratch) const;

  std::string ptxas_;
  std::string fatbinary_;
  std::string identity_;
};

}  // namespace netc
