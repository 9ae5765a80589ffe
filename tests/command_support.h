// What the tests of netc's commands share: a working directory of their own, and commands with what they say.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime_support.h"

namespace netc::test {

/// A new working directory, removed at the end.
class WorkingFolder {
 public:
  WorkingFolder() : before_(std::filesystem::current_path()) { std::filesystem::current_path(folder_.path()); }
  ~WorkingFolder() { std::filesystem::current_path(before_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;
  /// The working directory before: the root of the source tree.
  const std::filesystem::path& before() const { return before_; }

 private:
  TemporaryFolder folder_;
  std::filesystem::path before_;
};

struct CommandResult {
  int status;
  std::string out;
  std::string err;
};

/// Runs a program; its output goes through files in the working directory.
CommandResult run_command(const std::vector<std::string>& command);

/// The netc of this build.
std::string netc_path();

/// Runs it.
CommandResult run_netc(std::vector<std::string> arguments);

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace netc::test
