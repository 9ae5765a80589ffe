// Runs commands for tests, redirected by a shell.
#include "command_support.h"

#include <optional>

#include "compiler/commands/process.h"

namespace netc::test {

CommandResult run_command(const std::vector<std::string>& command) {
  std::optional<int> status = run_process({"/bin/sh", "-c", quoted(command) + " >stdout 2>stderr"});
  return {status.value_or(-1), read_text("stdout"), read_text("stderr")};
}

std::string netc_path() {
  return NETC_EXECUTABLE;
}

CommandResult run_netc(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), netc_path());
  return run_command(arguments);
}

}  // namespace netc::test
