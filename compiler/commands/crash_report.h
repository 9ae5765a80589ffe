// A bug of netc's must leave enough behind to be replayed: the input, the command, the version, and what happened.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace netc {

/// A run of netc as the user asked for it.
struct Invocation {
  std::vector<std::string> command;  // argv
  std::filesystem::path input;       // the `.net` file; may be empty
  std::string version;
};

/// Runs `action` in a child process and returns its exit status. When it throws or dies of a fault, writes a folder
/// netc-crash-TIME-PID/ into the working directory, says so on standard error, and returns 3; but a plain message
/// and 1 when the file system refuses something, and 2 for an Error of usage. When the child is ended from outside
/// (Ctrl-C), ends the same way.
int with_crash_report(const Invocation& invocation, const std::function<int()>& action);

}  // namespace netc
