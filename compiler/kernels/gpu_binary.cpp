#include "compiler/kernels/gpu_binary.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <stdexcept>
#include <vector>

#include "compiler/commands/process.h"
#include "compiler/kernels/kernel_cache.h"
#include "compiler/scratch_files.h"
#include "compiler/text_file.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// A100 and its kin; H100 and its kin.
constexpr std::array<int, 2> capabilities{80, 90};

std::string find_tool(const char* name) {
  const char* home = std::getenv("CUDA_HOME");
  return find_in_path(home == nullptr ? std::string(name) : fmt::format("{}/bin/{}", home, name));
}

struct ToolFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void run_tool(const std::vector<std::string>& command) {
  const std::optional<int> status = run_process(command);
  if (status == 0) return;
  throw ToolFailure(fmt::format("{} failed: {}", command[0], quoted(command)));
}

/// What a tool wrote.
std::string text_of(const std::string& file) {
  std::optional<std::string> text = read_text(file);
  if (!text) throw ToolFailure(fmt::format("cannot read {}, which a tool was to write", file));
  return std::move(*text);
}

std::string identity_of(const std::string& tool) {
  return fmt::format("{} {} {}", tool, fs::file_size(tool), fs::last_write_time(tool).time_since_epoch().count());
}

/// Whether a tool makes a binary of a kernel that does nothing: it may be for other GPUs, or lack what it needs itself.
template <class Tool>
bool works(const Tool& tool, const std::string& kernel) try {
  const auto make = [&](const fs::path& object) {
    std::ofstream(object, std::ios::binary) << tool.fat_binary(kernel, object);
  };
  KernelCache(KernelCache::default_folder()).object(fmt::format("a trial of {}\n{}", tool.identity(), kernel), make);
  return true;
} catch (const ToolFailure&) {
  return false;
}

/// Halide names the buffer that holds a pipeline's PTX so.
bool holds_ptx(const Halide::Buffer<>& buffer) {
  return buffer.name().starts_with("cuda_") && buffer.name().ends_with("_gpu_source_kernels");
}

}  // namespace

const Found<GpuAssembler>& GpuAssembler::find() {
  static const Found<GpuAssembler> found = []() -> Found<GpuAssembler> {
    const std::string ptxas = find_tool("ptxas");
    const std::string fatbinary = find_tool("fatbinary");
    if (ptxas.empty() || fatbinary.empty()) return {};
    const GpuAssembler assembler(ptxas, fatbinary);
    if (works(assembler, ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry trial() { ret; }\n")) {
      return {assembler};
    }
    return {std::nullopt, fmt::format("{} or {} fails", ptxas, fatbinary)};
  }();
  return found;
}

GpuAssembler::GpuAssembler(std::string ptxas, std::string fatbinary)
    : ptxas_(std::move(ptxas)), fatbinary_(std::move(fatbinary)) {
  identity_ = identity_of(ptxas_);
}

Halide::Module GpuAssembler::with_binaries(const Halide::Module& module, const fs::path& scratch) const {
  Halide::Module result(module.name(), module.target());
  for (const Halide::Internal::LoweredFunc& function : module.functions()) result.append(function);
  for (const Halide::Buffer<>& buffer : module.buffers()) {
    result.append(holds_ptx(buffer) ? with_binaries(buffer, scratch) : buffer);
  }
  return result;
}

Halide::Buffer<> GpuAssembler::with_binaries(const Halide::Buffer<>& ptx, const fs::path& scratch) const {
  const std::string bytes = fat_binary(static_cast<const char*>(ptx.data()), scratch);
  Halide::Buffer<std::uint8_t> packed(static_cast<int>(bytes.size()), ptx.name());
  std::memcpy(packed.data(), bytes.data(), bytes.size());
  return packed;
}

/// PTX goes in as it is, not compressed, for whoever reads it (the driver, `scripts/ptx-check`).
std::string GpuAssembler::fat_binary(const std::string& ptx, const fs::path& scratch) const {
  ScratchFiles files(scratch);
  const std::string source = files.file(".ptx");
  const std::string result = files.file(".fatbin");
  std::ofstream(source) << ptx;
  std::vector<std::string> pack{fatbinary_,         "--64",
                                "--create",         result,
                                "--compress=false", fmt::format("--image3=kind=ptx,sm=80,file={}", source)};
  for (const int capability : capabilities) {
    const std::string binary = files.file(fmt::format(".{}.cubin", capability));
    run_tool({ptxas_, "-O3", "--gpu-name", fmt::format("sm_{}", capability), source, "-o", binary});
    pack.push_back(fmt::format("--image3=kind=elf,sm={},file={}", capability, binary));
  }
  run_tool(pack);
  return text_of(result);
}

const Found<CudaCompiler>& CudaCompiler::find() {
  static const Found<CudaCompiler> found = []() -> Found<CudaCompiler> {
    const std::string nvcc = find_tool("nvcc");
    if (nvcc.empty()) {
      const bool has_home = std::getenv("CUDA_HOME") != nullptr;
      return {std::nullopt, has_home ? "there is no nvcc in $CUDA_HOME/bin"
                                     : "nvcc is not on the PATH, nor does CUDA_HOME say where it is"};
    }
    if (!GpuAssembler::installed()) {
      const std::string& problem = GpuAssembler::problem();
      return {std::nullopt, problem.empty() ? nvcc + " has no ptxas and fatbinary beside it" : problem};
    }
    const CudaCompiler compiler(nvcc);
    if (works(compiler, "extern \"C\" __global__ void trial() {}\n")) return {compiler};
    return {std::nullopt, nvcc + " fails"};
  }();
  return found;
}

CudaCompiler::CudaCompiler(std::string nvcc)
    : nvcc_(std::move(nvcc)), identity_(identity_of(nvcc_) + " " + GpuAssembler::installed()->identity()) {}

/// Choice: the PTX says that it is version 7.0, which drivers know from CUDA 11.0 on, as Halide's does; nvcc writes its
/// own version, which only drivers of its age read, and has no option for another. The assembler, which refuses what
/// that version does not have, is the check (2026-11).
std::string CudaCompiler::ptx(const std::string& source, const fs::path& scratch) const {
  ScratchFiles files(scratch);
  const std::string text = files.file(".cu");
  const std::string compiled = files.file(".nvcc.ptx");
  std::ofstream(text) << source;
  run_tool({nvcc_, "--ptx", "--std=c++17", "-O3", "--gpu-architecture=compute_80", text, "-o", compiled});
  static const std::regex version(R"(\.version \d+\.\d+)");
  return std::regex_replace(text_of(compiled), version, ".version 7.0", std::regex_constants::format_first_only);
}

std::string CudaCompiler::fat_binary(const std::string& source, const fs::path& scratch) const {
  return GpuAssembler::installed()->fat_binary(ptx(source, scratch), scratch);
}

}  // namespace netc
