// ast -> Graph: evaluates compile-time values, instantiates blocks and repeats, infers shapes, names parameters.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "dsl/ast.h"
#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc {

struct ElaborateOptions {
  std::vector<std::pair<std::string, std::string>> set;  // `--set path=value`, in order
  std::string std_folder;                                // where "std/…" imports lie
  std::string model{};                                   // `--model NAME`; empty: the last one of the file
};

/// The chosen model of `file`, unrolled. Errors and warnings go to `diagnostics`; the
/// graph is complete only when it has gained no error. Sources read by imports are appended to `sources`, which must
/// outlive all spans.
Graph elaborate(const ast::Node& file, const Source& source, const ElaborateOptions& options,
                std::vector<std::unique_ptr<Source>>& sources, Diagnostics& diagnostics);

}  // namespace netc
