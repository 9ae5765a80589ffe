#include "compiler/emit/emit_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/graph/operator.h"

namespace netc {

std::string argument_name(const Graph& graph, ValueId value, const std::set<std::string_view>& taken) {
  std::string wish = cpp::identifier(graph[value].name);
  if (!taken.contains(wish)) return wish;
  std::string name = wish + "_";
  const auto has_name = [&](ValueId other) { return graph[other].name == name; };
  const auto is_used = [&](const std::vector<ValueId>& values) {
    return std::any_of(values.begin(), values.end(), has_name);
  };
  for (int i = 2; is_used(graph.inputs) || is_used(graph.labels); ++i) name = fmt::format("{}_{}", wish, i);
  return name;
}

Emission::Emission(const CompiledModel& model, std::string source) : model_(model), source_(std::move(source)) {
  cpp::Names names;
  for (ValueId value = 0; value < static_cast<ValueId>(model.graph.values.size()); ++value) {
    const Role role = model.graph[value].role;
    if (role == Role::parameter || role == Role::buffer) constants_[value] = names.unique(model.graph[value].name);
  }
  for (const Plan* plan : model.plans()) slots_[plan] = name_slots(*plan);
}

std::map<ValueId, std::string> Emission::name_slots(const Plan& plan) const {
  cpp::Names names;
  std::map<ValueId, std::string> slots;
  for (const Group& group : plan.groups) {
    for (ValueId output : group.outputs) {
      const ValueId root = plan.aliases[static_cast<std::size_t>(output)].root;
      const Space space = plan.place(root).space;
      if (slots.contains(root) || (space != Space::arena && space != Space::fixed)) continue;
      const Value& value = plan.graph[root];
      slots[root] = names.unique((value.role == Role::gradient ? "d_" : "") + value.name);
    }
  }
  return slots;
}

const KernelEntry& Emission::kernel(const Plan& plan, std::size_t group) const {
  const std::vector<const Plan*> plans = model_.plans();
  const auto index = static_cast<std::size_t>(std::find(plans.begin(), plans.end(), &plan) - plans.begin());
  return model_.kernels.entries[static_cast<std::size_t>(model_.kernels.of[index][group])];
}

namespace {

std::string element_type(DType type) {
  return (type == DType::f32 ? "" : "std::") + cpp::c_type(type);
}

}  // namespace

/// Apart from the other arguments and the variables of C++'s functions and of C's, from the functions that those call,
/// and from what is a type or a word of C's, but not of C++. (`loss`, `model` and `output` are words of the language.)
std::string Emission::argument(ValueId value) const {
  static const std::set<std::string_view> taken{"batch",  "count",   "int32_t",   "int64_t",  "lr",
                                                "method", "network", "optimizer", "restrict", "uint8_t"};
  return argument_name(model_.graph, value, taken);
}

std::string Emission::parameters_of(const std::vector<ValueId>& values) const {
  return cpp::joined(values, [&](ValueId value) {
    return fmt::format("netc::View<const {}> {}", element_type(model_.graph[value].type), argument(value));
  });
}

std::string Emission::views_of(const std::vector<ValueId>& values) const {
  return fmt::format("netc::any_views({})", cpp::joined(values, [&](ValueId value) { return argument(value); }));
}

std::string Emission::line_of(const Node& node) const {
  return node.span ? fmt::format("{}:{}", source_, position(node.span).line) : source_;
}

namespace {

Variants variants_of(const KernelTable& kernels, const KernelEntry& entry, bool preparing) {
  Variants variants;
  for (const Isa isa : all_isas) {
    const std::optional<std::string> function =
        preparing ? kernels.preparing_function(entry, isa) : kernels.function(entry, isa);
    if (!function && isa == all_isas.back() && !kernels.cuda) break;  // the rest of the array is null anyway
    variants.push_back(function.value_or("nullptr"));
  }
  if (const std::optional<std::string> function = kernels.cuda_function(entry)) variants.push_back(*function);
  return variants;
}

}  // namespace

Variants variants_of(const KernelTable& kernels, const KernelEntry& entry) {
  return variants_of(kernels, entry, false);
}

Variants preparing_variants_of(const KernelTable& kernels, const KernelEntry& entry) {
  return variants_of(kernels, entry, true);
}

std::string preparation_of(const KernelEntry& entry) {
  return entry.name + "_preparation";
}

std::string declarations_of(const Variants& variants) {
  std::string text;
  for (const std::string& variant : variants) {
    if (variant != "nullptr") text += fmt::format("int {}(void** arguments);\n", variant);
  }
  return text;
}

std::string shapes_of(const Graph& graph, const std::vector<ValueId>& values) {
  return cpp::joined(values, [&](ValueId value) { return to_string(graph[value].shape); });
}

std::vector<ValueId> inputs_and_labels(const Graph& graph) {
  std::vector<ValueId> all = graph.inputs;
  all.insert(all.end(), graph.labels.begin(), graph.labels.end());
  return all;
}

std::string preamble(const std::string& what, const std::string& source) {
  return fmt::format("// {}\n// Generated by netc from {}: change that file, not this one.\n", what, source);
}

std::string emit_main(const Emission& emission) {
  const bool cuda = emission.model().kernels.cuda;
  return preamble(fmt::format("The program of the model {}: train, eval, bench, profile, run.", emission.name()),
                  emission.source()) +
         fmt::format(R"(#include <netc/program.h>

#include <memory>

#include "{0}.hpp"

int main(int argc, char** argv) {{
  const auto make = []{1} {{ return std::make_unique<{0}::Model>(netc::zeros{2}); }};
  return netc::program(argc, argv, {0}::description(), make);
}}
)",
                     emission.name(), cuda ? "(netc::Device device)" : "", cuda ? ", device" : "");
}

std::string emit_cmake(const CompiledModel& model, const std::string& source) {
  const std::string& name = model.graph.name;
  std::string sources = model.has_model() ? fmt::format(" {0}.cpp {0}_c.cpp {0}_kernels.cpp", name) : "";
  if (!model.functions.empty()) sources += fmt::format(" {}_functions.cpp", name);
  const std::string library = fmt::format(
      R"(# {0} as a library{2}; generated by netc from {1}.
# Use it with add_subdirectory in a project that has called find_package(netc), and link {0}.
add_library({0} STATIC{3})
target_include_directories({0} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
target_link_libraries({0} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}}/lib{0}_kernels.a netc::runtime)
)",
      name, source, model.has_model() ? fmt::format(", and its program by the target {}_main", name) : "", sources);
  if (!model.has_model()) return library;
  return library + fmt::format(R"(
add_executable({0}_main EXCLUDE_FROM_ALL main.cpp)
set_target_properties({0}_main PROPERTIES OUTPUT_NAME {0})
target_link_libraries({0}_main PRIVATE {0})
)",
                               name);
}

}  // namespace netc
