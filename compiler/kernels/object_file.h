// Object files as they are kept: no larger than a linker needs them.
#pragma once

#include <filesystem>

namespace netc {

/// Brings the functions of an object into one section and hides all but those called by an array of arguments
/// (*_argv): names, sections and comments are a sixth of a library. Needs `ld` and `objcopy` on the PATH; without
/// them, or where they fail, the object stays as it is. Files beginning with its name are made and removed.
void slim(const std::filesystem::path& object);

}  // namespace netc
