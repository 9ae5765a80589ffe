// Crash folders: a parent process watches the one that works, since a process with a broken stack or heap cannot
// report on itself.
#include "compiler/commands/crash_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <regex>
#include <set>
#include <system_error>

#include "compiler/commands/exit_status.h"
#include "compiler/commands/process.h"
#include "compiler/text_file.h"
#include "netc/error.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// Copies `input` and, at the same relative places, the files that it imports.
void copy_sources(const fs::path& input, const fs::path& target, std::set<fs::path>& copied) {
  std::error_code error;
  if (!copied.insert(target).second || !fs::is_regular_file(input, error)) return;
  fs::create_directories(target.parent_path(), error);
  fs::copy_file(input, target, error);
  const std::string text = read_text(input).value_or("");
  static const std::regex import_statement(R"re(import\s*"([^"\n]+)")re");
  for (std::sregex_iterator i(text.begin(), text.end(), import_statement), end; i != end; ++i) {
    fs::path import = i->str(1);
    bool inside = import.is_relative() && std::find(import.begin(), import.end(), "..") == import.end();
    if (inside) copy_sources(input.parent_path() / import, target.parent_path() / import, copied);
  }
}

/// The command, with the input replaced by its copy, so that it runs inside the crash folder.
std::string replay_command(const Invocation& invocation) {
  std::vector<std::string> command = invocation.command;
  if (!command.empty()) command[0] = "netc";
  std::replace(command.begin(), command.end(), invocation.input.string(), invocation.input.filename().string());
  return quoted(command);
}

int report_crash(const Invocation& invocation, const std::string& what) {
  std::time_t now = std::time(nullptr);
  fs::path folder = fmt::format("netc-crash-{:%Y%m%d-%H%M%S}-{}", fmt::localtime(now), getpid());
  std::error_code error;
  fs::create_directory(folder, error);
  std::ofstream(folder / "command") << replay_command(invocation) << '\n';
  std::ofstream(folder / "version") << invocation.version << '\n';
  std::ofstream(folder / "error") << what << '\n';
  std::set<fs::path> copied;
  copy_sources(invocation.input, folder / invocation.input.filename(), copied);
  fmt::print(stderr, "netc: this is a bug of netc's, not of your file: {}\n", what);
  if (error) {
    fmt::print(stderr, "netc: cannot write a report to {}: {}\n", folder.string(), error.message());
  } else {
    fmt::print(stderr, "netc: the input, the command and the version are in {0}/; to replay: cd {0} && sh command\n",
               folder.string());
  }
  return internal_error;
}

/// The child: its exit status is the process's.
int run_action(const Invocation& invocation, const std::function<int()>& action) {
  try {
    return action();
  } catch (const fs::filesystem_error& error) {  // a full disk or a folder that may not be written is no bug
    fmt::print(stderr, "error: {}\n", error.what());
    return wrong_input;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) return report_crash(invocation, error.what());
    fmt::print(stderr, "error: {}\n", error.what());
    return wrong_usage;
  } catch (const std::exception& error) {
    return report_crash(invocation, error.what());
  } catch (...) {
    return report_crash(invocation, "an exception of an unknown type");
  }
}

[[noreturn]] void end_by_signal(int number) {
  std::signal(number, SIG_DFL);
  std::raise(number);
  std::_Exit(128 + number);
}

bool is_fault(int number) {
  constexpr std::array faults{SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGTRAP};
  return std::find(faults.begin(), faults.end(), number) != faults.end();
}

}  // namespace

int with_crash_report(const Invocation& invocation, const std::function<int()>& action) {
  std::fflush(nullptr);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) return run_action(invocation, action);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // no orphan keeps compiling when only the parent is killed
    if (getppid() != parent) std::_Exit(internal_error);
    std::exit(run_action(invocation, action));
  }
  for (const int number : {SIGINT, SIGQUIT}) std::signal(number, SIG_IGN);  // the child gets them, too, and decides
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  int number = WTERMSIG(status);
  if (!is_fault(number)) end_by_signal(number);
  return report_crash(invocation, fmt::format("signal {} ({})", number, strsignal(number)));
}

}  // namespace netc
