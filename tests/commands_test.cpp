// The commands of netc as a user types them: exit statuses, messages, crash folders; and the pieces that run programs.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/commands/crash_report.h"
#include "compiler/commands/process.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using test::CommandResult;
using test::contains;
using test::read_text;
using test::run_command;
using test::run_netc;
using test::WorkingFolder;
using test::write_text;

TEST_CASE("wrong usage: exit status 2, the reason and where to read on") {
  WorkingFolder folder;
  struct Case {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Case> cases{
      {{}, "Usage: netc"},
      {{"a.net", "--target", "abacus"}, "'abacus' is not a target of this netc; targets: cpu, cuda"},
      {{"a.net", "--precision", "f16"}, "'f16' is not a precision; precisions: f32, tf32, bf16"},
      {{"a.net", "--precision", "tf32"},
       "--precision tf32 is for kernels for GPUs (--target cuda); those for the CPU multiply f32 or bf16\nhelp:"},
      {{"build", "a.net", "--precision", "BF16"}, "'BF16' is not a precision"},
      {{"a.net", "--set", "batch"}, "'batch' is not of the form PATH=VALUE"},
      {{"a.net", "--set", "=3"}, "'=3' is not of the form PATH=VALUE"},
      {{"a.net", "--model", "../a"}, "'../a' is not the name of a model"},
      {{"a.net", "--bogus"}, "--bogus"},
      {{"check"}, "MODEL is required\nhelp: netc check --help"},
      {{"check", "a.net", "b.net"}, "b.net"},
      {{"dump", "a.net"}, "--after is required"},
      {{"dump", "a.net", "--after=elaborat"}, "'elaborat' is not a stage: did you mean `elaborate`?"},
      {{"dump", "a.net", "--after=bogus"}, "'bogus' is not a stage; stages: parse, elaborate, differentiate, inline, "},
      {{"summary", "a.net", "--batch", "0"}, "--batch"},
      {{"chekc", "a.net"}, "'chekc' is neither a command nor a .net file\nhelp: did you mean `check`?"},
      {{"run", "a.net", "--weights", "w", "--input", "x", "--lable", "y"}, "y --lable\nhelp: netc run --help"},
      {{"run", "a.net"}, "--weights is required\nhelp: netc run --help"},
      {{"run", "a.net", "--weights", "w"}, "--input is required"},
      {{"run", "a.net", "--weights", "w", "--input", "x", "--device", "tpu"}, "--device: tpu not in {cpu,cuda,auto}"},
      {{"run", "a.net", "--weights", "w", "--input", "x", "--mode", "test"}, "--mode: test not in {eval,train}"},
      {{"run", "a.net", "--weights", "w", "--input", "x", "--steps", "0"}, "--steps: must be above 0, found 0\n"},
      {{"tune", "a.net", "--seconds", "-1"}, "--seconds: must be above 0, found -1\n"},
  };
  for (const Case& c : cases) {
    CommandResult result = run_netc(c.arguments);
    INFO(quoted(c.arguments), ": ", result.err);
    CHECK(result.status == 2);
    CHECK(result.out.empty());
    CHECK(contains(result.err, c.message));
  }
}

TEST_CASE("without CUDA's compiler, kernels for CUDA multiply f32, and a line says so") {
  const WorkingFolder folder;
  const std::string model = folder.before() / "models/resnet18.net";
  ::setenv("CUDA_HOME", "/nowhere", 1);
  const CommandResult tf32 = run_netc({"summary", model, "--target", "cuda", "--precision", "tf32"});
  const CommandResult f32 = run_netc({"summary", model, "--target", "cuda"});
  ::unsetenv("CUDA_HOME");
  CHECK(tf32.status == 0);
  CHECK(tf32.err ==
        "note: kernels for CUDA multiply f32: tf32 takes CUDA's compiler, and there is no nvcc in $CUDA_HOME/bin\n");
  CHECK(tf32.out == f32.out);
}

TEST_CASE("where CUDA's tools fail, kernels for CUDA are PTX in f32, and a line says so") {
  const WorkingFolder folder;
  const std::string home = std::filesystem::current_path().string();
  write_text("two.net", "model two {\n  input x: f32[N, 32];\n  linear(16);\n}\n");
  std::filesystem::create_directory("bin");
  for (const char* tool : {"nvcc", "ptxas", "fatbinary"}) {
    write_text(fmt::format("bin/{}", tool), fmt::format("#!/bin/sh\necho {}: no such GPU >&2\nexit 1\n", tool));
    std::filesystem::permissions(fmt::format("bin/{}", tool), std::filesystem::perms::owner_all);
  }
  ::setenv("CUDA_HOME", home.c_str(), 1);
  const CommandResult built =
      run_netc({"two.net", "--native", "--target", "cuda", "--precision", "tf32", "--quiet", "-o", "out"});
  ::unsetenv("CUDA_HOME");
  CHECK(built.status == 0);
  const std::string fails = fmt::format("{0}/bin/ptxas or {0}/bin/fatbinary fails\n", home);
  CHECK(built.err == "ptxas: no such GPU\nnote: kernels for CUDA are PTX alone, without binaries: " + fails +
                         "note: kernels for CUDA multiply f32: tf32 takes CUDA's compiler, and " + fails);
  const std::string library = read_text("out/libtwo_kernels.a");
  CHECK(contains(library, ".target sm_80"));
  CHECK(!contains(library, "sm_90"));
}

TEST_CASE("--help everywhere and --version: exit status 0, on standard output") {
  WorkingFolder folder;
  for (const char* command : {"check", "summary", "dump", "explain", "build", "run"}) {
    CommandResult result = run_netc({command, "--help"});
    CHECK(result.status == 0);
    CHECK(contains(result.out, fmt::format("Usage: netc {}", command)));
  }
  CHECK(contains(run_netc({"--help"}).out, "Usage: netc [OPTIONS] [MODEL] [SUBCOMMAND]"));
  CHECK(run_netc({"--version"}).out.starts_with("netc "));
}

TEST_CASE("explain prints what a code means; an unknown code is wrong input") {
  WorkingFolder folder;
  CommandResult known = run_netc({"explain", "N201"});
  CHECK(known.status == 0);
  CHECK(contains(known.out, "N201"));
  CHECK(run_netc({"explain", "n201"}).out == known.out);
  CommandResult unknown = run_netc({"explain", "N999"});
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
                                                       {"run", "no/such.net", "--weights", "w", "--input", "x=y.npy"}};
  for (const std::vector<std::string>& command : commands) {
    CommandResult result = run_netc(command);
    INFO(quoted(command), ": ", result.err);
    CHECK(result.status == 1);
    CHECK(contains(result.err, "no/such.net"));
  }
}

TEST_CASE("a file of functions alone has no model to show, to choose or to set") {
  WorkingFolder folder;
  write_text("functions.net", "fn total(a: f32[m]) = sum(a);\n");
  CHECK(run_netc({"check", "functions.net"}).status == 0);
  CHECK(run_netc({"dump", "functions.net", "--after=parse"}).status == 0);
  CHECK(run_netc({"dump", "functions.net", "--after=emit"}).status == 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> refused{
      {{"dump", "functions.net", "--after=elaborate"}, "error: functions.net defines functions, but no model"},
      {{"dump", "functions.net", "--after=lower"}, "error: functions.net defines functions, but no model"},
      {{"check", "functions.net", "--model", "zz"}, "N133]: --model zz: functions.net defines functions, but no model"},
      {{"check", "functions.net", "--set", "a=1"}, "N133]: --set a=1: functions.net defines functions, but no model"},
  };
  for (const auto& each : refused) {
    const CommandResult result = run_netc(each.first);
    INFO(quoted(each.first), ": ", result.err);
    CHECK(result.status == 1);
    CHECK(contains(result.err, each.second));
  }
}

TEST_CASE("quoted arguments come back from a shell as they were") {
  WorkingFolder folder;
  const std::vector<std::string> command{"printf", "%s|",   "plain", "",     "two words",
                                         "it's",   "$HOME", "`x`",   "a\\b", "\n"};
  CHECK(run_command(command).out == "plain||two words|it's|$HOME|`x`|a\\b|\n|");
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
  write_text("models/a.net", "import \"parts/b.net\";\nmodel a { }\n");
  write_text("models/parts/b.net", "import \"../secret.net\";\n");
  return {{"/usr/bin/netc", "check", "models/a.net"}, "models/a.net", "netc 1.2.3"};
}

TEST_CASE("an exception leaves a folder with all that replays it") {
  WorkingFolder folder;
  int status = with_crash_report(write_invocation(), []() -> int { throw std::runtime_error("no such value"); });
  CHECK(status == 3);
  fs::path crash = crash_folder();
  REQUIRE(!crash.empty());
  CHECK(read_text(crash / "command") == "netc check a.net\n");
  CHECK(read_text(crash / "version") == "netc 1.2.3\n");
  CHECK(read_text(crash / "error") == "no such value\n");
  CHECK(read_text(crash / "a.net") == read_text("models/a.net"));
  CHECK(read_text(crash / "parts/b.net") == read_text("models/parts/b.net"));
}

TEST_CASE("a fault that kills the process leaves the folder too") {
  WorkingFolder folder;
  auto fault = []() -> int {
    std::signal(SIGABRT, SIG_DFL);  // not doctest's handler
    std::abort();
  };
  CHECK(with_crash_report(write_invocation(), fault) == 3);
  REQUIRE(!crash_folder().empty());
  CHECK(read_text(crash_folder() / "error") == "signal 6 (Aborted)\n");
}

TEST_CASE("what is no bug leaves no folder") {
  WorkingFolder folder;
  CHECK(with_crash_report(write_invocation(), [] { return 2; }) == 2);
  auto write_below_a_file = []() -> int { return fs::create_directory("models/a.net/folder") ? 0 : 2; };
  CHECK(with_crash_report(write_invocation(), write_below_a_file) == 1);
  CHECK(crash_folder().empty());
}

}  // namespace
}  // namespace netc
