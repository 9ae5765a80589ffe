// Binaries for GPUs beside the PTX of CUDA kernels, where NVIDIA's tools are at hand: drivers load these at once, and
// compile PTX only for other GPUs.
#pragma once

#include <Halide.h>

#include <filesystem>
#include <optional>
#include <string>

namespace netc {

/// A tool, or why there is none.
template <class Tool>
struct Found {
  std::optional<Tool> tool{};
  std::string problem{};
};

class GpuAssembler {
 public:
  /// CUDA's `ptxas` and `fatbinary` in $CUDA_HOME/bin or on the PATH; nothing where one is missing or fails. Whether
  /// they work is tried once, and remembered in the cache of kernels.
  static const std::optional<GpuAssembler>& installed() { return find().tool; }
  /// What is wrong with those that are there: "/usr/bin/ptxas fails"; "" where nothing is, or where there are none.
  static const std::string& problem() { return find().problem; }

  /// Their paths and the assembler's size and age: what its binaries depend on.
  const std::string& identity() const { return identity_; }

  /// The module with binaries for capabilities 8.0 and 9.0 beside its PTX. Files beginning with `scratch` are made and
  /// removed. Throws std::runtime_error where a tool fails, which says why on standard error.
  Halide::Module with_binaries(const Halide::Module& module, const std::filesystem::path& scratch) const;
  /// The same of a text of PTX: a fat binary.
  std::string fat_binary(const std::string& ptx, const std::filesystem::path& scratch) const;

 private:
  GpuAssembler(std::string ptxas, std::string fatbinary);
  static const Found<GpuAssembler>& find();
  Halide::Buffer<> with_binaries(const Halide::Buffer<>& ptx, const std::filesystem::path& scratch) const;

  std::string ptxas_;
  std::string fatbinary_;
  std::string identity_;
};

/// CUDA's compiler, for kernels that are written in CUDA C++.
class CudaCompiler {
 public:
  /// `nvcc` beside an assembler; nothing where it is missing or fails (as the assembler).
  static const std::optional<CudaCompiler>& installed() { return find().tool; }
  /// Why there is none.
  static const std::string& problem() { return find().problem; }

  const std::string& identity() const { return identity_; }

  /// The kernels in `source` as PTX, and as a fat binary. Files and exceptions as those of GpuAssembler.
  std::string ptx(const std::string& source, const std::filesystem::path& scratch) const;
  std::string fat_binary(const std::string& source, const std::filesystem::path& scratch) const;

 private:
  explicit CudaCompiler(std::string nvcc);
  static const Found<CudaCompiler>& find();

  std::string nvcc_;
  std::string identity_;
};

}  // namespace netc
