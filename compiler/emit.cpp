#include "compiler/emit.h"

#include "compiler/emit_parts.h"

namespace netc {

std::vector<GeneratedFile> emit(const CompiledModel& model, const std::string& source) {
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
      {"CMakeLists.txt", emit_cmake(emission)},
  };
}

}  // namespace netc
