#include "compiler/commands/generated_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>

#include "compiler/emit/emit.h"
#include "compiler/kernels/kernel_cache.h"
#include "compiler/text_file.h"
#include "netc/progress.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// Writes `text` unless the file has it already, so that builds see what really changed.
bool update(const fs::path& path, const std::string& text) {
  if (read_text(path) == text) return true;
  const fs::path temporary = path.string() + fmt::format(".{}.tmp", getpid());
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  std::error_code error;
  if (file) fs::rename(temporary, path, error);
  if (file && !error) return true;
  const int reason = errno;
  fmt::print(stderr, "error: cannot write {}: {}\n", path.string(), error ? error.message() : std::strerror(reason));
  fs::remove(temporary, error);
  return false;
}

/// The kernels' objects, from the cache where they are there.
bool update_library(const CompiledModel& model, const Options& options, const fs::path& library) {
  std::optional<Progress> progress;
  const auto show = [&](int done, int all) {
    if (options.quiet) return;
    if (!progress) progress.emplace("compiling kernels", all, 0, "kernels");
    progress->update(done, "");
  };
  const auto objects = compile_kernels(model.kernels, KernelCache(KernelCache::default_folder()), show);
  const fs::path temporary = library.string() + fmt::format(".{}.tmp", getpid());
  write_library(objects, temporary);
  const std::optional<std::string> archive = read_text(temporary);
  fs::remove(temporary);
  return archive && update(library, *archive);
}

/// A path as make and ninja read it.
std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (c == ' ' || c == '#') text += '\\';
    if (c == '$') text += '$';
    text += c;
  }
  return text;
}

/// make's form: TARGET: SOURCES.
std::string dependencies(const fs::path& target, const Compilation& compilation) {
  std::string text = escaped(target.string()) + ":";
  std::set<std::string> seen;
  for (const auto& source : compilation.sources) {
    if (source->path.starts_with("--set ")) continue;  // an option, which is a source so that errors can point into it
    if (!seen.insert(source->path).second) continue;
    text += " " + escaped(source->path);
  }
  return text + "\n";
}

}  // namespace

int write_files(const CompiledModel& model, const Options& options, const Compilation& compilation,
                const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    fmt::print(stderr, "error: cannot make the folder {}: {}\n", folder.string(), error.message());
    return 1;
  }
  for (const GeneratedFile& file : emit(model, fs::path(options.file).filename().string())) {
    if (!update(folder / file.name, file.text)) return 1;
  }
  if (!update_library(model, options, folder / fmt::format("lib{}_kernels.a", model.graph.name))) return 1;
  const fs::path first = folder / (model.graph.name + (model.has_model() ? ".hpp" : "_functions.hpp"));
  if (!options.depfile.empty() && !update(options.depfile, dependencies(first, compilation))) return 1;
  return 0;
}

}  // namespace netc
