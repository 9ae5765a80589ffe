#include "compiler/emit.h"

#include <map>
#include <utility>

#include "compiler/emit_parts.h"

namespace netc {

namespace {

std::vector<GeneratedFile> model_files(const CompiledModel& model, const std::string& source) {
  const Emission emission(model, source);
  const std::string& name = model.graph.name;
  return {
      {name + ".hpp", emit_header(emission)},
      {name + ".cpp", emit_model(emission)},
      {name + "_kernels.hpp", emit_kernel_header(emission)},
      {name + "_kernels.cpp", emit_kernels(emission)},
      {name + ".h", emit_c_header(emission)},
      {name + "_c.cpp", emit_c_interface(emission)},
      {"main.cpp", emit_main(emission)},
  };
}

}  // namespace

void CompiledModel::plan_preparations() {
  constexpr std::int64_t line = 64;
  list_preparations(kernels);
  for (Plan* plan : {&evaluation, &few}) {
    const std::vector<int>& entries = kernels.of[plan == &evaluation ? 0 : 1];
    std::map<std::pair<int, ValueId>, std::int64_t> places;
    plan->prepared.assign(plan->groups.size(), -1);
    for (std::size_t i = 0; i < plan->groups.size(); ++i) {
      const KernelEntry& entry = kernels.entries[static_cast<std::size_t>(entries[i])];
      if (!entry.prepares()) continue;
      const ValueId parameter = plan->groups[i].inputs[entry.prepared_input];
      const auto [place, inserted] = places.emplace(std::pair(entries[i], parameter), plan->memory.prepared);
      const std::int64_t bytes = (entry.prepared_bytes + line - 1) / line * line;
      if (inserted) plan->memory.prepared += bytes;
      plan->memory.prepared_once = std::max(plan->memory.prepared_once, bytes);
      plan->prepared[i] = place->second;
    }
  }
}

std::vector<GeneratedFile> emit(const CompiledModel& model, const std::string& source) {
  std::vector<GeneratedFile> files;
  if (model.has_model()) files = model_files(model, source);
  if (!model.functions.empty()) {
    files.push_back({model.graph.name + "_functions.hpp", emit_functions_header(model, source)});
    files.push_back({model.graph.name + "_functions.cpp", emit_functions(model, source)});
  }
  files.push_back({"CMakeLists.txt", emit_cmake(model, source)});
  return files;
}

}  // namespace netc
