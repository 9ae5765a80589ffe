// NAME_kernels.hpp and NAME_kernels.cpp: the kernels as objects that can be called.
#include <fmt/format.h>

#include <set>

#include "compiler/emit/emit_parts.h"
#include "compiler/graph/operator.h"

namespace netc {

namespace {

std::string lanes_name(std::int32_t lanes) {
  return fmt::format("blocks_of_{}", lanes);
}

std::string extent_of(const Dim& dim) {
  if (dim.extent >= 0) return std::to_string(dim.extent);
  return dim.extent == Dim::examples ? "examples" : lanes_name(-dim.extent);
}

std::string operand_text(const Plan& plan, ValueId value) {
  const Operand stored = operand(plan, value);
  std::vector<std::string> dims;
  for (int i = 0; i < stored.rank; ++i) {
    const Dim& dim = stored.dims[static_cast<std::size_t>(i)];
    dims.push_back(fmt::format("{{{}, {}}}", extent_of(dim), dim.stride));
  }
  return fmt::format("    {{{}, {}}},  // {}\n", to_string(stored.type), cpp::braces(dims),
                     to_string(plan.graph[value].shape));
}

/// How what is prepared lies in memory is a matter between two kernels for one instruction set.
std::string prepared_text(const KernelEntry& entry) {
  return fmt::format("    {{u8, {{{{{}, 1}}}}}},  // prepared, as bytes\n", entry.prepared->bytes);
}

std::string definition(const std::string& name, const std::string& operands, std::int64_t multiply_adds,
                       const Variants& variants) {
  return fmt::format(
      R"(
constexpr netc::Operand {0}_operands[] = {{
{1}}};
const netc::Kernel {0}(
{2}{3})",
      name, operands,
      cpp::list("    ",
                {cpp::literal(name), name + "_operands", fmt::format("netc::MultiplyAdds{{{}}}", multiply_adds)}, ","),
      cpp::list("    {", variants, "});"));
}

std::string kernel(const KernelTable& table, const KernelEntry& entry) {
  std::string operands;
  const std::vector<ValueId>& inputs = entry.group->inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool prepared = entry.prepared && i == entry.prepared->input;
    operands += prepared ? prepared_text(entry) : operand_text(*entry.plan, inputs[i]);
  }
  for (ValueId output : entry.group->outputs) operands += operand_text(*entry.plan, output);
  std::string text;
  if (entry.prepared) {
    text = definition(preparation_of(entry),
                      operand_text(*entry.plan, inputs[entry.prepared->input]) + prepared_text(entry), 0,
                      preparing_variants_of(table, entry));
  }
  return text + definition(entry.name, operands, multiply_adds(*entry.plan, *entry.group), variants_of(table, entry));
}

/// A name for each number of examples that lie side by side in some operand.
std::string extents_of_blocks(const KernelTable& table) {
  std::set<int> lanes;
  const auto note = [&](const Plan& plan, const std::vector<ValueId>& values) {
    for (ValueId value : values) {
      if (plan.graph[value].shape.has_batch()) lanes.insert(plan.layout(value).lanes);
    }
  };
  for (const KernelEntry& entry : table.entries) {
    if (entry.function != nullptr) continue;
    note(*entry.plan, entry.group->inputs);
    note(*entry.plan, entry.group->outputs);
  }
  lanes.erase(1);  // those are the examples
  std::string text;
  for (int of : lanes)
    text += fmt::format("constexpr std::int32_t {} = netc::Dim::blocks_of({});\n", lanes_name(of), of);
  return text;
}

}  // namespace

std::string emit_kernel_header(const Emission& emission) {
  std::string text = preamble(
      fmt::format("The kernels of the model {}. Operands: inputs, then outputs.", emission.name()), emission.source());
  text += fmt::format("#pragma once\n\n#include <netc/kernel.h>\n\nnamespace {}::kernels {{\n\n", emission.name());
  for (const KernelEntry& entry : emission.model().kernels.entries) {
    if (entry.function != nullptr) continue;
    if (entry.prepared) {
      text += fmt::format("/// {}, for the next one\nextern const netc::Kernel {};\n",
                          to_string(entry.plan->graph[entry.group->inputs[entry.prepared->input]].shape),
                          preparation_of(entry));
    }
    text +=
        fmt::format("/// {} -> {}\nextern const netc::Kernel {};\n", shapes_of(entry.plan->graph, entry.group->inputs),
                    shapes_of(entry.plan->graph, entry.group->outputs), entry.name);
  }
  return text + fmt::format("\n}}  // namespace {}::kernels\n", emission.name());
}

std::string emit_kernels(const Emission& emission) {
  const KernelTable& table = emission.model().kernels;
  std::string declarations;
  std::string definitions;
  for (const KernelEntry& entry : table.entries) {
    if (entry.function != nullptr) continue;
    if (entry.prepared) declarations += declarations_of(preparing_variants_of(table, entry));
    declarations += declarations_of(variants_of(table, entry));
    definitions += kernel(table, entry);
  }
  return preamble(fmt::format("The kernels of the model {}: a function for each instruction set, and the layout of the "
                              "operands.",
                              emission.name()),
                  emission.source()) +
         fmt::format(R"(#include "{0}_kernels.hpp"

extern "C" {{
{1}}}

namespace {0}::kernels {{

using enum netc::DType;

// Extents that are known at run time.
constexpr std::int32_t examples = netc::Dim::examples;
{2}
// A dimension of an operand is {{extent, stride}}; the innermost comes first.
{3}
}}  // namespace {0}::kernels
)",
                     emission.name(), declarations, extents_of_blocks(table), definitions);
}

}  // namespace netc
