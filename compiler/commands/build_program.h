// From generated C++ to programs and libraries, with the system's C++ compiler.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace netc {

/// A folder that netc has generated: NAME.cpp, NAME_kernels.cpp, libNAME_kernels.a, main.cpp, ….
struct GeneratedModel {
  std::filesystem::path folder;
  std::string name;
};

/// Compiles the model's program FOLDER/NAME. Does nothing when it is newer than all that it is made from. Returns the
/// exit status; says on standard error what went wrong.
int build_program(const GeneratedModel& model);

/// The same for the shared library FOLDER/libNAME.so.
int build_shared_library(const GeneratedModel& model);

/// Whether there is a C++ compiler; says on standard error what to do where there is none.
bool has_compiler();

/// Links an object, which may need what this netc has, as a shared library. Says on standard error what went wrong.
bool link_object(const std::filesystem::path& object, const std::filesystem::path& library);

/// Runs the program of a model that `generate` writes into the folder it is given (it returns an exit status): from the
/// user's cache when these same files were built before. Becomes that program, so returns only when that fails.
int run_program(const std::string& name, const std::function<int(const std::filesystem::path& folder)>& generate,
                const std::vector<std::string>& arguments);

}  // namespace netc
