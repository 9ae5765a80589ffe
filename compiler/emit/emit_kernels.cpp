// NAME_kernels.hpp and NAME_kernels.cpp: the kernels as objects that can be called.
#include <fmt/format.h>

#include "compiler/emit/emit_parts.h"
#include "compiler/graph/operator.h"

namespace netc {

namespace {

std::string shapes(const Plan& plan, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values) text += (text.empty() ? "" : ", ") + to_string(plan.graph[value].shape);
  return text;
}

std::string extent_of(const Dim& dim) {
  if (dim.extent >= 0) return std::to_string(dim.extent);
  return dim.extent == Dim::batch ? "examples" : fmt::format("blocks_of_{}", -dim.extent);
}

std::string operand_text(const Plan& plan, ValueId value) {
  const Operand stored = operand(plan, value);
  std::vector<std::string> dims;
  for (int i = 0; i < stored.rank; ++i) {
    const Dim& dim = stored.dims[static_cast<std::size_t>(i)];
    dims.push_back(fmt::format("{{{}, {}}}", extent_of(dim), dim.stride));
  }
  return fmt::format("    {{{}, {}, {{{}}}}},  // {}\n", to_string(stored.type), dims.size(), cpp::braces(dims),
                     to_string(plan.graph[value].shape));
}

/// How what is prepared lies in memory is a matter between two kernels for one instruction set.
std::string prepared_text(const KernelEntry& entry) {
  return fmt::format("    {{u8, 1, {{{{{{{}, 1}}}}}}}},  // prepared, as bytes\n", entry.prepared_bytes);
}

std::string definition(const std::string& name, const std::string& operands, const Variants& variants,
                       std::int64_t multiply_adds) {
  return fmt::format(R"({0}static constexpr netc::Operand {1}_operands[] = {{
{2}}};
const netc::Kernel {1}("{1}", {{{3}}}, {1}_operands, netc::MultiplyAdds{{{4}}});

)",
                     variants.declarations, name, operands, variants.list, multiply_adds);
}

std::string kernel(const KernelTable& table, const KernelEntry& entry) {
  std::string operands;
  const std::vector<ValueId>& inputs = entry.group->inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool prepared = entry.prepares() && i == entry.prepared_input;
    operands += prepared ? prepared_text(entry) : operand_text(*entry.plan, inputs[i]);
  }
  for (ValueId output : entry.group->outputs) operands += operand_text(*entry.plan, output);
  std::string text;
  if (entry.prepares()) {
    text = definition(preparation_of(entry),
                      operand_text(*entry.plan, inputs[entry.prepared_input]) + prepared_text(entry),
                      preparing_variants_of(table, entry), 0);
  }
  return text + definition(entry.name, operands, variants_of(table, entry), multiply_adds(*entry.plan, *entry.group));
}

}  // namespace

std::string emit_kernel_header(const Emission& emission) {
  std::string text =
      preamble(emission, fmt::format("The kernels of the model {}. Operands: inputs, then outputs.", emission.name()));
  text += fmt::format("#pragma once\n\n#include <netc/kernel.h>\n\nnamespace {}::kernels {{\n\n", emission.name());
  for (const KernelEntry& entry : emission.model().kernels.entries) {
    if (entry.function != nullptr) continue;
    if (entry.prepares()) {
      text += fmt::format("/// {}, for the next one\nextern const netc::Kernel {};\n",
                          to_string(entry.plan->graph[entry.group->inputs[entry.prepared_input]].shape),
                          preparation_of(entry));
    }
    text += fmt::format("/// {} -> {}\nextern const netc::Kernel {};\n", shapes(*entry.plan, entry.group->inputs),
                        shapes(*entry.plan, entry.group->outputs), entry.name);
  }
  return text + fmt::format("\n}}  // namespace {}::kernels\n", emission.name());
}

std::string emit_kernels(const Emission& emission) {
  std::string text = preamble(
      emission,
      fmt::format("The kernels of the model {}: a function for each instruction set, and the layout of the operands.",
                  emission.name()));
  text += fmt::format(
      "#include \"{0}_kernels.hpp\"\n\nnamespace {0}::kernels {{\n\nusing enum netc::DType;\n\n"
      "// Extents that are known at run time.\nconstexpr std::int32_t examples = netc::Dim::batch;\n"
      "constexpr std::int32_t blocks_of_16 = -16;\n\n",
      emission.name());
  for (const KernelEntry& entry : emission.model().kernels.entries) {
    if (entry.function == nullptr) text += kernel(emission.model().kernels, entry);
  }
  return text + fmt::format("}}  // namespace {}::kernels\n", emission.name());
}

}  // namespace netc
