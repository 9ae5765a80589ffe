// Running other programs: by argument lists, never through a shell.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace netc {

/// Runs a program, found in PATH unless its name has a slash, and waits for it. Returns its exit status, 128 + the
/// signal that ended it, or nothing when it cannot be started (`errno` says why).
std::optional<int> run_process(const std::vector<std::string>& command);

/// The program `name` as a full path, or "" when PATH does not have it.
std::string find_in_path(const std::string& name);

/// `command` as a line that a POSIX shell reads back as the same arguments.
std::string quoted(const std::vector<std::string>& command);

/// The null-terminated array that exec and posix_spawn want; valid as long as `command`.
std::vector<char*> argument_pointers(const std::vector<std::string>& command);

}  // namespace netc
