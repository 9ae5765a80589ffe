// From generated C++ to programs and libraries: finds the compiler and netc's own files, compiles, links, caches.
#include "compiler/commands/build_program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <system_error>

#include "compiler/commands/process.h"
#include "compiler/installation.h"
#include "compiler/kernels/kernel_cache.h"
#include "compiler/scratch_files.h"
#include "compiler/text_file.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

int failure(const std::string& message) {
  fmt::print(stderr, "error: {}\n", message);
  return 1;
}

/// The C++ compiler with its leading arguments (CXX may be "ccache g++"), or nothing, with a message.
std::vector<std::string> find_compiler() {
  if (const char* chosen = std::getenv("CXX"); chosen != nullptr && *chosen != '\0') {
    std::istringstream words(chosen);
    std::vector<std::string> command{std::istream_iterator<std::string>(words), {}};
    if (!command.empty() && !find_in_path(command[0]).empty()) return command;
    fmt::print(stderr, "error: the C++ compiler that CXX names is not there: {}\n", chosen);
    return {};
  }
  for (const char* name : {"c++", "g++", "clang++"}) {
    if (std::string path = find_in_path(name); !path.empty()) return {path};
  }
  fmt::print(stderr,
             "error: no C++ compiler: none of c++, g++, clang++ is in PATH\n"
             "help: install one (Debian: apt-get install g++), or name it in the environment variable CXX\n");
  return {};
}

/// What a program or shared library is made from and to.
struct Link {
  std::vector<fs::path> inputs;  // sources and archives, in the order of the command line
  std::vector<std::string> options;
  fs::path output;
};

Link link_of(const GeneratedModel& model, const std::string& output, bool shared) {
  std::vector<std::string> sources{model.name + ".cpp", model.name + "_c.cpp", model.name + "_kernels.cpp"};
  const std::string functions = model.name + "_functions.cpp";
  if (shared && fs::exists(model.folder / functions)) sources.push_back(functions);
  if (!shared) sources.insert(sources.begin(), "main.cpp");
  Link link{{}, {}, model.folder / output};
  for (const std::string& source : sources) link.inputs.push_back(model.folder / source);
  link.inputs.push_back(model.folder / fmt::format("lib{}_kernels.a", model.name));
  link.inputs.push_back(installation().library);
  // The runtime stays inside, so that libraries of several models, and of several versions, get along in one process.
  if (shared) link.options = {"-shared", "-fPIC", "-fvisibility-inlines-hidden", "-Wl,--exclude-libs,ALL"};
  return link;
}

/// Whether the output is newer than the inputs, the model's headers and the runtime's.
bool up_to_date(const Link& link, const GeneratedModel& model) {
  std::error_code error;
  fs::file_time_type built = fs::last_write_time(link.output, error);
  if (error) return false;
  std::vector<fs::path> inputs = link.inputs;
  for (const char* header : {".hpp", ".h", "_kernels.hpp"}) inputs.push_back(model.folder / (model.name + header));
  for (const fs::directory_entry& header : fs::directory_iterator(installation().include / "netc", error)) {
    inputs.push_back(header.path());
  }
  return std::all_of(inputs.begin(), inputs.end(),
                     [&](const fs::path& input) { return fs::last_write_time(input, error) < built && !error; });
}

/// Compiles to a temporary name first: an interrupted build leaves the old output or none.
int compile(const Link& link, const GeneratedModel& model) {
  if (up_to_date(link, model)) return 0;
  if (!fs::exists(installation().library)) {
    return failure(fmt::format("netc's runtime library is missing: {}", installation().library.string()));
  }
  std::vector<std::string> command = find_compiler();
  if (command.empty()) return 1;
  std::string temporary = fmt::format("{}.{}.tmp", link.output.string(), getpid());
  for (const char* option : {"-std=c++20", "-O2", "-I"}) command.emplace_back(option);
  command.push_back(installation().include.string());
  command.insert(command.end(), link.options.begin(), link.options.end());
  for (const fs::path& input : link.inputs) command.push_back(fs::absolute(input).string());
  for (const char* option : {"-lz", "-lpthread", "-ldl", "-o"}) command.emplace_back(option);
  command.push_back(temporary);

  const std::optional<int> status = run_process(command);
  if (!status) return failure(fmt::format("cannot run {}: {}", command[0], std::strerror(errno)));
  std::error_code error;
  if (status == 0) fs::rename(temporary, link.output, error);
  if (status == 0 && !error) return 0;
  std::error_code ignored;
  fs::remove(temporary, ignored);
  if (error) return failure(fmt::format("cannot write {}: {}", link.output.string(), error.message()));
  return failure(fmt::format("the C++ compiler failed; the command was:\n{}", quoted(command)));
}

/// A hash of all generated files, of the runtime that they are linked with, and of who compiles them.
std::string content_key(const fs::path& folder) {
  std::vector<fs::path> files{installation().library};
  for (const fs::path& from : {folder, installation().include / "netc"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(from)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string hashes = quoted(find_compiler()) + "\n";
  for (const fs::path& file : files)
    hashes += fmt::format("{} {}\n", file.filename().string(), content_hash(read_text(file).value_or("")));
  return content_hash(hashes);
}

/// The program for the files in `scratch`, which becomes its folder in the cache where there is none. "" after a
/// message.
fs::path cached_program(const fs::path& scratch, const std::string& name) {
  fs::path folder = scratch.parent_path() / fmt::format("{}-{}", name, content_key(scratch));
  if (!fs::exists(folder / name)) {
    if (build_program({scratch, name}) != 0) return {};
    std::error_code another_was_faster;
    fs::remove_all(folder, another_was_faster);  // a folder without its program
    fs::rename(scratch, folder, another_was_faster);
  }
  return folder / name;
}

int become(const fs::path& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> command{program.string(), "run"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  execv(program.c_str(), argument_pointers(command).data());
  return failure(fmt::format("cannot run {}: {}", program.string(), std::strerror(errno)));
}

}  // namespace

int build_program(const GeneratedModel& model) {
  return compile(link_of(model, model.name, false), model);
}

int build_shared_library(const GeneratedModel& model) {
  return compile(link_of(model, fmt::format("lib{}.so", model.name), true), model);
}

bool has_compiler() {
  return !find_compiler().empty();
}

bool link_object(const fs::path& object, const fs::path& library) {
  std::vector<std::string> command = find_compiler();
  if (command.empty()) return false;
  command.insert(command.end(), {"-shared", "-nostdlib", "-o", library.string(), object.string()});
  return run_process(command) == 0;
}

int run_program(const std::string& name, const std::function<int(const fs::path& folder)>& generate,
                const std::vector<std::string>& arguments) {
  fs::path program;
  try {
    const ScratchFolder scratch(KernelCache::default_folder() / "programs", "new");
    if (const int status = generate(scratch.path()); status != 0) return status;
    program = cached_program(scratch.path(), name);
  } catch (const fs::filesystem_error& error) {
    return failure(fmt::format("the cache of programs: {}", error.what()));
  }
  return program.empty() ? 1 : become(program, arguments);
}

}  // namespace netc
