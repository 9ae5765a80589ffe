#include "compiler/emit/emit.h"

#include <algorithm>
#include <string_view>

#include "compiler/emit/emit_parts.h"

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

/// A file's name as comments and texts of C++ may hold it: without ends of lines, of comments and of texts.
std::string printable_name(std::string name) {
  const auto is_special = [](char c) {
    return static_cast<unsigned char>(c) < ' ' || std::string_view("\x7f*\\\"").find(c) != std::string_view::npos;
  };
  std::replace_if(name.begin(), name.end(), is_special, '?');
  return name;
}

}  // namespace

std::vector<GeneratedFile> emit(const CompiledModel& model, const std::string& file) {
  const std::string source = printable_name(file);
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
