// Plan -> Kernels: every group becomes a Halide pipeline and an object file for each instruction set.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compiler/formula/tensor_function.h"
#include "compiler/graph/precision.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/kernel_cache.h"
#include "compiler/kernels/tiles.h"
#include "compiler/passes/plan_memory.h"
#include "netc/kernel.h"

namespace netc {

/// An input in whose place a kernel reads what another prepares, and the bytes of that.
struct PreparedInput {
  std::size_t input;
  std::int64_t bytes;
};

/// A group, or the value or gradient of a tensor function, as generated code sees it. Equal groups (shapes, layouts,
/// operators) share a kernel.
struct KernelEntry {
  std::string name{};       // unique in its model: "conv_sigmoid", "conv_sigmoid2"; of functions "value_kernel" …
  std::string symbol;       // unique everywhere; functions are named symbol + "_avx512" …
  std::string description;  // what the symbol is a hash of
  const Plan* plan = nullptr;
  const Group* group = nullptr;
  const TensorFunction* function = nullptr;  // in place of a group
  const Graph* graph = nullptr;              // the function's value or gradient
  std::optional<PreparedInput> prepared{};   // of the group's inputs

  bool multiplies_bf16() const;
};

/// The kernels of a model, the same ones only once; `of[plan][group]` is an index into `entries`.
struct KernelTable {
  std::vector<KernelEntry> entries;
  std::vector<std::vector<int>> of;
  std::optional<Isa> only;                   // of the instruction sets, kernels are compiled for this one alone
  bool cuda = false;                         // and groups for CUDA, too
  Precision cuda_products = Precision::f32;  // of what tensor cores multiply there
  Tiles tiles;                               // choices of the schedules

  /// Whether an entry is compiled for an instruction set: only kernels that multiply bf16 are for those with dot
  /// products of bf16; a program of others alone takes the next best.
  bool compiles(const KernelEntry& entry, Isa isa) const;
  /// The name of an entry's function for an instruction set, if it is compiled for that one.
  std::optional<std::string> function(const KernelEntry& entry, Isa isa) const;
  /// The same for the kernel that prepares what an entry's reads.
  std::optional<std::string> preparing_function(const KernelEntry& entry, Isa isa) const;
  /// The same for CUDA.
  std::optional<std::string> cuda_function(const KernelEntry& entry) const;
};

/// Kernels that a GPU runs for one call of a group's kernel.
int cuda_launches(const KernelTable& table, const KernelEntry& entry);

/// Memory that a plan's kernels for CUDA use between their own launches: those that are the neediest for some batch.
std::vector<ScratchPlan> cuda_scratch(const Plan& plan, Precision products);

KernelTable list_kernels(const std::vector<const Plan*>& plans);

/// What is prepared for an entry's kernel under `choices`, if anything is.
std::optional<PreparedInput> find_preparation(const KernelEntry& entry, Isa isa, const Choices& choices);

/// Finds out what can be prepared, for the table's tiles and instruction sets; on a GPU nothing is.
void list_preparations(KernelTable& table);

/// Adds the values and gradients of tensor functions.
void list_functions(const std::vector<TensorFunction>& functions, KernelTable& table);

/// How a value lies in memory: dimensions innermost first, as KernelBuilder has them.
Operand operand(const Plan& plan, ValueId value);

/// The loop nest that Halide makes of a group for AVX-512, or for CUDA, for `netc dump --after=lower`.
std::string loop_nest(const Plan& plan, const Group& group, const KernelTable& table);

/// Compiles all kernels, several at a time, for the table's instruction sets; `progress(done, all)` is called from one
/// thread at a time. Returns the object files. Throws WrongChoice for tiles that do not fit a kernel.
std::vector<std::filesystem::path> compile_kernels(const KernelTable& table, const KernelCache& cache,
                                                   const std::function<void(int done, int all)>& progress);

/// What the schedule of a group's kernel lets choose under `choices`. Throws WrongChoice, and std::runtime_error where
/// Halide refuses it.
std::vector<Offer> offers(const KernelEntry& entry, Isa isa, const Choices& choices);

/// The instruction set that this machine runs most of the table's work with: that of its tiles.
Isa tuned_isa(const KernelTable& table);

/// Compiles one kernel under `choices`, into one object with the kernel that prepares what it reads, if one does.
/// Throws std::runtime_error where Halide refuses it.
void compile_kernel(const KernelEntry& entry, Isa isa, const Choices& choices, bool prepares,
                    const std::filesystem::path& object);

/// What it is called: `whole` and `rest` alike.
std::string function_name(const KernelEntry& entry, Isa isa, Part part);

/// One static library of them.
void write_library(const std::vector<std::filesystem::path>& objects, const std::filesystem::path& library);

}  // namespace netc
