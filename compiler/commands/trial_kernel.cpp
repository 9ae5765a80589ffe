// Compiles, loads and runs single kernels.
#include "compiler/commands/trial_kernel.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "compiler/commands/build_program.h"

namespace netc {

namespace fs = std::filesystem;

TrialKernel::TrialKernel(const KernelEntry& entry, Isa isa, const Choices& choices, const fs::path& folder) {
  static std::atomic<int> serial = 0;
  const fs::path object = folder / fmt::format("{}.o", serial++);
  const fs::path library = fs::path(object).replace_extension(".so");
  compile_kernel(entry, isa, choices, object);
  if (!link_objects({object}, library)) throw std::runtime_error("the linker refuses " + object.string());
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) throw std::runtime_error(dlerror());
  function_ = reinterpret_cast<KernelVariant>(dlsym(library_, KernelTable().function(entry, isa)->c_str()));
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

/// Numbers of a batch between -1 and 1; parameters, which may be variances, between 1/2 and 3/2; classes 0, pixels and
/// places in a window between 0 and 3.
void fill(DType type, bool batch, std::byte* memory, std::size_t count) {
  if (type == DType::u8) {
    for (std::size_t i = 0; i < count; ++i) memory[i] = static_cast<std::byte>(scrambled(i) >> 30);
  } else if (type == DType::f32) {
    auto* numbers = reinterpret_cast<float*>(memory);
    const float width = batch ? 2.0F : 1.0F;
    const float least = batch ? -1.0F : 0.5F;
    for (std::size_t i = 0; i < count; ++i)
      numbers[i] = least + width * static_cast<float>(scrambled(i) >> 8) * (1.0F / (1 << 24));
  } else {
    std::memset(memory, 0, count * static_cast<std::size_t>(size_of(type)));
  }
}

}  // namespace

TrialOperands::TrialOperands(const KernelEntry& entry, int batch) : batch_(batch), inputs_(entry.group->inputs.size()) {
  std::vector<ValueId> values = entry.group->inputs;
  values.insert(values.end(), entry.group->outputs.begin(), entry.group->outputs.end());
  memories_.reserve(values.size());
  for (ValueId value : values) {
    operands_.push_back(operand(*entry.plan, value));
    const Operand& stored = operands_.back();
    const std::size_t count = elements(stored, batch);
    constexpr std::size_t line = 128;
    Memory& memory = memories_.emplace_back();
    memory.type = stored.type;
    memory.size = count * static_cast<std::size_t>(size_of(stored.type));
    memory.bytes.resize(memory.size + 2 * line);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.bytes.data());
    memory.begin = memory.bytes.data() + (line - address % line);
    fill(stored.type, entry.plan->graph[value].shape.has_batch(), memory.begin, count);
  }
}

double TrialOperands::run(const TrialKernel& kernel) {
  KernelVariants variants{};
  variants[0] = kernel.function();  // the one that there is
  std::vector<const void*> pointers;
  for (const Memory& memory : memories_) pointers.push_back(memory.begin);
  const auto start = std::chrono::steady_clock::now();
  Kernel("on trial", variants, operands_, MultiplyAdds{0})({batch_, 1, 0}, pointers);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void TrialOperands::clear_outputs() {
  for (std::size_t i = inputs_; i < memories_.size(); ++i) std::memset(memories_[i].begin, 0, memories_[i].size);
}

void TrialOperands::remember(const TrialKernel& kernel) {
  clear_outputs();
  run(kernel);
  remembered_.clear();
  for (std::size_t i = inputs_; i < memories_.size(); ++i) {
    const auto* numbers = reinterpret_cast<const float*>(memories_[i].begin);
    const bool real = memories_[i].type == DType::f32;
    remembered_.emplace_back(numbers, numbers + (real ? memories_[i].size / sizeof(float) : 0));
  }
}

double TrialOperands::error(const TrialKernel& kernel) {
  clear_outputs();
  run(kernel);
  double largest = 0;
  for (std::size_t i = inputs_; i < memories_.size(); ++i) {
    const auto* numbers = reinterpret_cast<const float*>(memories_[i].begin);
    const std::vector<float>& expected = remembered_[i - inputs_];
    double difference = 0;
    double norm = 0;
    for (std::size_t k = 0; k < expected.size(); ++k) {
      difference += std::pow(static_cast<double>(numbers[k]) - expected[k], 2);
      norm += std::pow(static_cast<double>(expected[k]), 2);
    }
    if (norm > 0 || difference > 0) largest = std::max(largest, std::sqrt(difference / norm));
    if (std::isnan(difference)) return difference;
  }
  return largest;
}

}  // namespace netc
