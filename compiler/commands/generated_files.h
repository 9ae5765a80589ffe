// Files of a compiled model, in a folder.
#pragma once

#include <filesystem>

#include "compiler/compile.h"

namespace netc {

/// Writes what netc generates, the kernels' library among it, into `folder`; what is unchanged is not touched. Returns
/// the exit status; says on standard error what went wrong.
int write_files(const CompiledModel& model, const Options& options, const Compilation& compilation,
                const std::filesystem::path& folder);

}  // namespace netc
