// Compiles, loads and runs single kernels.
#include "compiler/commands/trial_kernel.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>

#include "compiler/commands/build_program.h"
#include "netc/round_up.h"

namespace netc {

namespace fs = std::filesystem;

TrialMemory::TrialMemory(std::size_t size, std::size_t copies)
    : size_(size), copies_(copies), stride_(round_up(size, vector_alignment)) {
  pages_ = make_pages<std::byte>(std::max(stride_ * copies, huge_page));
  if (pages_ == nullptr) throw std::bad_alloc();
}

void TrialMemory::spread() {
  for (std::size_t i = 1; i < copies_; ++i) std::memcpy(copy(i), copy(0), size_);
}

TrialKernel::TrialKernel(const KernelEntry& entry, Isa isa, const Choices& choices, const fs::path& folder)
    : prepares_(find_preparation(entry, isa, choices)) {
  static std::atomic<int> serial = 0;
  const std::string stem = (folder / std::to_string(serial++)).string();
  const fs::path library = stem + ".so";
  const fs::path object = stem + ".o";
  compile_kernel(entry, isa, choices, prepares_.has_value(), object);
  if (!link_object(object, library)) throw std::runtime_error("the linker refuses " + object.string());
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) throw std::runtime_error(dlerror());
  const auto function = [&](Part part) {
    return reinterpret_cast<KernelVariant>(dlsym(library_, function_name(entry, isa, part).c_str()));
  };
  function_ = function(Part::whole);
  if (prepares_) preparing_function_ = function(Part::preparation);
  fs::remove(object);
  fs::remove(library);
}

TrialKernel::~TrialKernel() {
  dlclose(library_);
}

namespace {

/// Elements of an operand, with those that pad the last block.
std::size_t elements(const Operand& operand, int batch) {
  std::int64_t last = 0;
  for (int i = 0; i < operand.rank; ++i) {
    const Dim& dim = operand.dims[static_cast<std::size_t>(i)];
    const std::int64_t extent = dim.extent >= 0 ? dim.extent : (batch - dim.extent - 1) / -dim.extent;
    last += (extent - 1) * dim.stride;
  }
  return static_cast<std::size_t>(last + 1);
}

/// Bits that look random.
std::uint32_t scrambled(std::size_t i) {
  auto bits = static_cast<std::uint32_t>(i) * 0x9e3779b1U;
  bits ^= bits >> 15;
  return bits * 0x85ebca77U;
}

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The nearer to zero of the neighbours of `number`.
std::uint16_t to_bf16(float number) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(number) >> 16);
}

/// Numbers of a batch between -1 and 1; parameters, which may be variances, between 1/2 and 3/2; classes 0, pixels and
/// places in a window between 0 and 3.
void fill(DType type, bool batch, std::byte* memory, std::size_t count) {
  const auto number = [&](std::size_t i) {
    const float fraction = static_cast<float>(scrambled(i) >> 8) * (1.0F / (1 << 24));
    return batch ? 2 * fraction - 1 : fraction + 0.5F;
  };
  switch (type) {
    case DType::u8:
      for (std::size_t i = 0; i < count; ++i) memory[i] = static_cast<std::byte>(scrambled(i) >> 30);
      break;
    case DType::f32:
      for (std::size_t i = 0; i < count; ++i) reinterpret_cast<float*>(memory)[i] = number(i);
      break;
    case DType::bf16:
      for (std::size_t i = 0; i < count; ++i) reinterpret_cast<std::uint16_t*>(memory)[i] = to_bf16(number(i));
      break;
    case DType::i32:
      std::memset(memory, 0, count * static_cast<std::size_t>(size_of(type)));
  }
}

/// The real numbers of an operand; none of integers.
std::vector<float> numbers(DType type, const std::byte* memory, std::size_t bytes) {
  const std::size_t count = bytes / static_cast<std::size_t>(size_of(type));
  const auto* reals = reinterpret_cast<const float*>(memory);
  if (type == DType::f32) return {reals, reals + count};
  if (type != DType::bf16) return {};
  std::vector<float> result(count);
  std::transform(reinterpret_cast<const std::uint16_t*>(memory), reinterpret_cast<const std::uint16_t*>(memory) + count,
                 result.begin(), from_bf16);
  return result;
}

/// How far sums in another order may be off, relative to their norm: by 1e-6 they are, and then a few are rounded the
/// other way where they become bf16.
double tolerance(DType type) {
  return type == DType::bf16 ? 1e-3 : 1e-5;
}

/// Of `found`, relative to the norm of `expected`.
double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - expected[i], 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

}  // namespace

TrialOperands::TrialOperands(const KernelEntry& entry, int batch)
    : few_(entry.group->few), batch_(batch), inputs_(entry.group->inputs.size()) {
  std::vector<ValueId> values = entry.group->inputs;
  values.insert(values.end(), entry.group->outputs.begin(), entry.group->outputs.end());
  for (ValueId value : values) {
    operands_.push_back(operand(*entry.plan, value));
    const Operand& stored = operands_.back();
    const std::size_t count = elements(stored, batch);
    const std::size_t size = count * static_cast<std::size_t>(size_of(stored.type));
    const bool has_batch = entry.plan->graph[value].shape.has_batch();
    TrialMemory& memory = memories_.emplace_back(size, copies(size, !has_batch));
    fill(stored.type, has_batch, memory.copy(0), count);
    memory.spread();
  }
}

std::size_t TrialOperands::copies(std::size_t size, bool parameter) const {
  constexpr std::size_t caches = 32 << 20;
  constexpr std::size_t most = 64;
  return few_ && parameter ? std::min(caches / size + 1, most) : 1;
}

void TrialOperands::call(KernelVariant function, const std::vector<Operand>& operands,
                         const std::vector<const void*>& pointers) const {
  KernelVariants variants{};
  variants[0] = function;  // the one that there is
  Kernel("on trial", operands, {}, variants)({batch_, 1, 0}, pointers);
}

/// Fills the memory that the kernel reads in place of an input.
void TrialOperands::prepare(TrialKernel& kernel) {
  const auto bytes = static_cast<std::size_t>(kernel.prepares_->bytes);
  const std::size_t input = kernel.prepares_->input;
  kernel.prepared_.emplace(bytes, copies(bytes, true));
  const std::vector<Operand> operands{operands_[input], Operand(DType::u8, {{static_cast<std::int32_t>(bytes), 1}})};
  call(kernel.preparing_function_, operands, {memories_[input].copy(0), kernel.prepared_->copy(0)});
  kernel.prepared_->spread();
}

double TrialOperands::run(TrialKernel& kernel) {
  if (kernel.prepares_ && !kernel.prepared_) prepare(kernel);
  ++runs_;
  std::vector<const void*> pointers;
  for (TrialMemory& memory : memories_) pointers.push_back(memory.copy(runs_));
  if (kernel.prepares_) pointers[kernel.prepares_->input] = kernel.prepared_->copy(runs_);
  const auto start = std::chrono::steady_clock::now();
  call(kernel.function_, operands_, pointers);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void TrialOperands::clear_outputs() {
  for (std::size_t i = inputs_; i < memories_.size(); ++i) std::memset(memories_[i].copy(0), 0, memories_[i].size());
}

std::vector<std::vector<float>> TrialOperands::results(TrialKernel& kernel) {
  clear_outputs();
  run(kernel);
  std::vector<std::vector<float>> results;
  for (std::size_t i = inputs_; i < memories_.size(); ++i) {
    results.push_back(numbers(operands_[i].type, memories_[i].copy(0), memories_[i].size()));
  }
  return results;
}

void TrialOperands::remember(TrialKernel& kernel) {
  remembered_ = results(kernel);
}

bool TrialOperands::agrees(TrialKernel& kernel) {
  const std::vector<std::vector<float>> found = results(kernel);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = relative_error(found[i], remembered_[i]);
    if (!(error < tolerance(operands_[inputs_ + i].type))) return false;  // NaN does not agree
  }
  return true;
}

}  // namespace netc
