#include "compiler/compilation.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "compiler/text_file.h"
#include "dsl/lexical.h"

namespace netc {

const Source* read_source(const std::string& path, Compilation& compilation) {
  std::string problem;
  std::optional<std::string> text = read_some(path, max_file_size + 1, problem);
  if (!text) {
    // No place in a file, and nothing that `netc explain` knows more of: it has no code.
    compilation.diagnostics.add({"", {}, fmt::format("cannot read {}: {}", path, problem), "", {}, ""});
    return nullptr;
  }
  const Source& source = *compilation.sources.emplace_back(std::make_unique<Source>(path, std::move(*text)));
  return check_size(source, compilation.diagnostics) ? &source : nullptr;
}

}  // namespace netc
