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
  /// The same of a text of PTX: a fat binary.
  std::string fat_binary(const std::string& ptx, const std::filesystem::path& scratch) const;

 private:
  GpuAssembler(std::string ptxas, std::string fatbinary);
  Halide::Buffer<> with_binaries(const Halide::Buffer<>& ptx, const std::filesystem::path& scratch) const;

  std::string ptxas_;
  std::string fatbinary_;
  std::string identity_;
};

/// CUDA's compiler, for kernels that are written in CUDA C++.
class CudaCompiler {
 public:
  /// `nvcc` beside an assembler; nothing where it is missing.
  static const std::optional<CudaCompiler>& installed();

  const std::string& identity() const { return identity_; }

  /// The kernels in `source` as PTX, and as a fat binary. Files and exceptions as those of GpuAssembler.
  std::string ptx(const std::string& source, const std::filesystem::path& scratch) const;
  std::string fat_binary(const std::string& source, const std::filesystem::path& scratch) const;

 private:
  explicit CudaCompiler(std::string nvcc);

  std::string nvcc_;
  std::string identity_;
};

}  // namespace netc
