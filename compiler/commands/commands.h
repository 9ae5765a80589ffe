// netc's commands: each runs the compiler's stages, then does one thing with what they made.
#pragma once

#include <string>
#include <vector>

#include "compiler/compile.h"

namespace netc {

// Every command prints diagnostics to standard error and returns the exit status: 0, or 1 when the input is wrong.

/// Writes the generated files and the kernels' library; what is unchanged is not touched.
int generate(const Options& options);
/// Reports what is wrong with the model, and, on request, examples that do not hold; nothing else.
int check(const Options& options);
/// A row a layer: path, operator, output shape, parameters, multiply-adds; and the memory of a batch.
int summary(const Options& options);
/// One of `stages` as text.
int dump(const Options& options, const std::string& stage);
/// `generate`, then the system's C++ compiler.
int build(const Options& options);
/// Times what the schedules of the model's kernels let choose, and writes the best to the tiles file `output`, for
/// `batch` examples and `threads`, in about so many `seconds`.
int tune(const Options& options);
/// Builds the model's program in a cache and becomes it, with `arguments` behind `run`.
int run(const Options& options, const std::vector<std::string>& arguments);

}  // namespace netc
