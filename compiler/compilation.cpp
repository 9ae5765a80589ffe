#include "compiler/compilation.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "compiler/text_file.h"

namespace netc {

namespace fs = std::filesystem;

const Source* read_source(const std::string& path, Compilation& compilation) {
  const std::optional<std::string> text = read_text(path);
  if (!text) {
    fmt::print(stderr, "error: cannot read {}: {}\n", path, std::strerror(fs::is_directory(path) ? EISDIR : errno));
    return nullptr;
  }
  return compilation.sources.emplace_back(std::make_unique<Source>(path, *text)).get();
}

}  // namespace netc
