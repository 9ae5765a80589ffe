// The commands of netc as a user types them: exit statuses, messages, crash folders; and the pieces that run programs.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "compiler/commands/crash_report.h"
#include "compiler/commands/process.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A new working directory for one test, removed at its end.
class WorkingFolder {
 public:
  WorkingFolder() : before_(fs::current_path()) {
    std::string pattern = (fs::temp_directory_path() / "netc-test-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    fs::current_path(folder_);
  }
  ~WorkingFolder() {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  fs::path before_;
  fs::path folder_;
};

struct Result {
  int status;
  std::string out;
  std::string err;
};

/// Runs a command in the working directory through a shell script that redirects what it says.
Result run_redirected(const std::vector<std::string>& command) {
  std::optional<int> status = run_process({"/bin/sh", "-c", quoted(command) + " >stdout 2>stderr"});
  return {status.value_or(-1), read_file("stdout"), read_file("stderr")};
}

Result netc_command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), NETC_EXECUTABLE);
  return run_redirected(arguments);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("wrong usage: exit status 2, the reason and where to read on") {
  WorkingFolder folder;
  struct Case {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Case> cases{
      {{}, "Usage: netc"},
      {{"a.net", "--target", "abacus"}, "'abacus' is not a target of this netc; targets: cpu"},
      {{"a.net", "--set", "batch"}, "'batch' is not of the form PATH=VALUE"},
      {{"a.net", "--set", "=3"}, "'=3' is not of the form PATH=VALUE"},
      {{"a.net", "--bogus"}, "--bogus"},
      {{"check"}, "MODEL is required\nhelp: netc check --help"},
      {{"check", "a.net", "b.net"}, "b.net"},
      {{"dump", "a.net"}, "--after is required"},
      {{"summary", "a.net", "--batch", "0"}, "--batch"},
      {{"chekc", "a.net"}, "'chekc' is neither a command nor a .net file\nhelp: did you mean `check`?"},
      {{"run", "a.net", "--wieghts", "w"}, "--wieghts\nhelp: netc run --help"},
  };
  for (const Case& c : cases) {
    Result result = netc_command(c.arguments);
    INFO(quoted(c.arguments), ": ", result.err);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(contains(result.err, c.message));
  }
}

TEST_CASE("--help everywhere and --version: exit status 0, on standard output") {
  WorkingFolder folder;
  for (const char* command : {"check", "summary", "dump", "explain", "build", "run"}) {
    Result result = netc_command({command, "--help"});
    CHECK(result.status == 0);
    CHECK(contains(result.out, fmt::format("Usage: netc {}", command)));
  }
  CHECK(contains(netc_command({"--help"}).out, "Usage: netc [OPTIONS] [MODEL] [SUBCOMMAND]"));
  CHECK(netc_command({"--version"}).out.starts_with("netc "));
}

TEST_CASE("explain prints what a code means; an unknown code is wrong input") {
  WorkingFolder folder;
  Result known = netc_command({"explain", "N201"});
  CHECK(known.status == 0);
  CHECK(contains(known.out, "N201"));
  Result unknown = netc_command({"explain", "N999"});
  CHECK(unknown.status == 1);
  CHECK(contains(unknown.err, "'N999'"));
}

TEST_CASE("a missing model: exit status 1 and its name, for every command that reads one") {
  WorkingFolder folder;
  const std::vector<std::vector<std::string>> commands{{"no/such.net"},
                                                       {"check", "no/such.net"},
                                                       {"summary", "no/such.net"},
                                                       {"dump", "no/such.net", "--after=parse"},
                                                       {"build", "no/such.net"},
                                                       {"run", "no/such.net", "--input", "x=y.npy"}};
  for (const std::vector<std::string>& command : commands) {
    Result result = netc_command(command);
    INFO(quoted(command), ": ", result.err);
    CHECK(result.status == 1);
    CHECK(contains(result.err, "no/such.net"));
  }
}

TEST_CASE("quoted arguments come back from a shell as they were") {
  WorkingFolder folder;
  const std::vector<std::string> command{"printf", "%s|",   "plain", "",     "two words",
                                         "it's",   "$HOME", "`x`",   "a\\b", "\n"};
  CHECK(run_redirected(command).out == "plain||two words|it's|$HOME|`x`|a\\b|\n|");
}

TEST_CASE("run_process tells exit statuses, signals and programs that are not there apart") {
  CHECK(run_process({"sh", "-c", "exit 7"}) == 7);
  CHECK(run_process({"sh", "-c", "kill -SEGV $$"}) == 128 + 11);
  CHECK(run_process({"no-such-program"}) == std::nullopt);
}

/// The one crash folder in the working directory, or "".
fs::path crash_folder() {
  for (const fs::directory_entry& entry : fs::directory_iterator(".")) {
    if (entry.path().filename().string().starts_with("netc-crash-")) return entry.path();
  }
  return {};
}

/// A model and the file that it imports, and a run of netc on them.
Invocation write_invocation() {
  fs::create_directories("models/parts");
  std::ofstream("models/a.net") << "import \"parts/b.net\";\nmodel a { }\n";
  std::ofstream("models/parts/b.net") << "import \"../secret.net\";\n";
  return {{"/usr/bin/netc", "check", "models/a.net"}, "models/a.net", "netc 1.2.3"};
}

TEST_CASE("an exception leaves a folder with all that replays it") {
  WorkingFolder folder;
  int status = with_crash_report(write_invocation(), []() -> int { throw std::runtime_error("no such value"); });
  CHECK(status == 3);
  fs::path crash = crash_folder();
  REQUIRE(!crash.empty());
  CHECK(read_file(crash / "command") == "netc check a.net\n");
  CHECK(read_file(crash / "version") == "netc 1.2.3\n");
  CHECK(read_file(crash / "error") == "no such value\n");
  CHECK(read_file(crash / "a.net") == read_file("models/a.net"));
  CHECK(read_file(crash / "parts/b.net") == read_file("models/parts/b.net"));
}

TEST_CASE("a fault that kills the process leaves the folder too") {
  WorkingFolder folder;
  auto fault = []() -> int {
    std::signal(SIGABRT, SIG_DFL);  // not doctest's handler
    std::abort();
  };
  CHECK(with_crash_report(write_invocation(), fault) == 3);
  REQUIRE(!crash_folder().empty());
  CHECK(read_file(crash_folder() / "error") == "signal 6 (Aborted)\n");
}

TEST_CASE("what is no bug leaves no folder") {
  WorkingFolder folder;
  CHECK(with_crash_report(write_invocation(), [] { return 1; }) == 1);
  CHECK(crash_folder().empty());
}

}  // namespace
}  // namespace netc
