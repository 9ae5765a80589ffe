// Kernels -> Files: the C++ that a user reads, compiles and links.
#pragma once

#include <string>
#include <vector>

#include "compiler/compiled_model.h"

namespace netc {

struct GeneratedFile {
  std::string name;
  std::string text;
};

/// NAME.hpp (the model's class), NAME.cpp (its passes), NAME_kernels.hpp and NAME_kernels.cpp (what they call), NAME.h
/// and NAME_c.cpp (the C interface), main.cpp (its program); NAME_functions.hpp and NAME_functions.cpp where the file
/// defines tensor functions; CMakeLists.txt. `file` is the `.net` file's name.
std::vector<GeneratedFile> emit(const CompiledModel& model, const std::string& file);

}  // namespace netc
