// Runs commands for tests, redirected by a shell.
#include "command_support.h"

#include <cstdlib>
#include <optional>

#include "compiler/commands/process.h"

namespace netc::test {

CommandResult run_command(const std::vector<std::string>& command) {
  std::optional<int> status = run_process({"/bin/sh", "-c", quoted(command) + " >stdout 2>stderr"});
  return {status.value_or(-1), read_text("stdout"), read_text("stderr")};
}

/// The environment may name another one: tests may have been moved elsewhere.
std::string netc_path() {
  const char* elsewhere = std::getenv("NETC_EXECUTABLE");
  return elsewhere != nullptr ? elsewhere : NETC_EXECUTABLE;
}

CommandResult run_netc(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), netc_path());
  return run_command(arguments);
}

}  // namespace netc::test
