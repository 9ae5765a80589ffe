// Schedules as data: tiles files are read and written, and decide what kernels are compiled.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/kernels/tiles.h"
#include "netc/affinity.h"

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

constexpr const char* kernel = "linear [N,40] [33,40] [33] -> [N,33] bias=true features=33";

constexpr const char* model = R"(model small {
  input x: f32[N, 40];
  linear(33);
}
)";

std::string file_of(const std::string& lines) {
  return "netc tiles 1 avx512\n" + lines;
}

TEST_CASE("a tiles file is read, and written as it was read") {
  const std::string text = file_of(std::string(kernel) + " : images=7 vectors=1  # 1.20 times as fast\n");
  const Source file("a.tiles", text);
  Diagnostics diagnostics;
  Tiles tiles;
  tiles.add(file, diagnostics);
  CHECK(diagnostics.text() == "");
  const Choices& choices = tiles.choices(Isa::avx512, kernel);
  REQUIRE(choices.size() == 2);
  CHECK(choices.at("images").value == 7);
  CHECK(choices.at("vectors").value == 1);
  CHECK(tiles.choices(Isa::avx2, kernel).empty());
  CHECK(tiles.choices(Isa::avx512, "linear").empty());
  CHECK(tiles.text(Isa::avx512) == text);
}

TEST_CASE("lines of a later file replace those of the same kernel") {
  const Source first("a.tiles", file_of(std::string(kernel) + " : images=7 vectors=1\n"));
  const Source second("b.tiles", file_of(std::string(kernel) + " : images=3\r\n"));
  Diagnostics diagnostics;
  Tiles tiles;
  tiles.add(first, diagnostics);
  tiles.add(second, diagnostics);
  CHECK(diagnostics.text() == "");
  CHECK(to_string(tiles.choices(Isa::avx512, kernel)) == "images=3");
}

/// The descriptions in the cache of compiled kernels.
int cached(const std::string& text) {
  int found = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator("cache")) {
    if (entry.path().extension() == ".txt" && contains(read_text(entry.path()), text)) ++found;
  }
  return found;
}

TEST_CASE("choices decide the loops and are part of a kernel's key; other kernels follow the rule") {
  WorkingFolder folder;
  const char* cache = std::getenv("NETC_CACHE");
  const std::string before = cache == nullptr ? "" : cache;
  setenv("NETC_CACHE", "cache", 1);
  write_text("small.net", model);
  write_text("own.tiles", file_of(std::string(kernel) + " : images=3\n"));
  write_text("other.tiles", file_of("linear [N,41] [33,41] [33] -> [N,33] bias=true features=33 : images=3\n"));
  const auto nest = [](const std::vector<std::string>& options) {
    std::vector<std::string> command{"dump", "small.net", "--after=lower"};
    command.insert(command.end(), options.begin(), options.end());
    return run_netc(command).out;
  };
  const std::string rule = nest({});
  CHECK(rule != "");
  CHECK(nest({"--tiles", "other.tiles"}) == rule);
  CHECK(nest({"--tiles", "own.tiles"}) != rule);
  CHECK(contains(nest({"--tiles", "own.tiles"}), "in [0, 2]"));

  CHECK(run_netc({"small.net", "-o", "out", "-q"}).status == 0);
  CHECK(cached("linear") == 6);  // of three instruction sets, for many and for a few examples
  CHECK(cached("images=3") == 0);
  const CommandResult tuned = run_netc({"small.net", "-o", "out", "-q", "--tiles", "own.tiles", "--depfile", "out/d"});
  CHECK_MESSAGE(tuned.status == 0, tuned.err);
  CHECK(cached("linear") == 7);
  CHECK(cached("images=3") == 1);
  CHECK(contains(read_text("out/d"), "own.tiles"));
  if (cache == nullptr) {
    unsetenv("NETC_CACHE");
  } else {
    setenv("NETC_CACHE", before.c_str(), 1);
  }
}

TEST_CASE("tiles files that cannot be used are errors of the user's") {
  WorkingFolder folder;
  write_text("small.net", model);
  const auto answer = [](const std::string& file) { return run_netc({"small.net", "-o", "out", "--tiles", file}); };
  CHECK(answer("none.tiles").status == 1);
  CHECK(contains(answer("none.tiles").err, "error: cannot read none.tiles: No such file or directory"));
  write_text("old.tiles", "netc tiles 0 avx512\n");
  CHECK(answer("old.tiles").status == 1);
  CHECK(contains(answer("old.tiles").err, "old.tiles:1:1: error[N321]"));
  write_text("wrong.tiles", file_of(std::string(kernel) + " : images=99\n"));
  CHECK(answer("wrong.tiles").status == 1);
  CHECK(contains(answer("wrong.tiles").err, "wrong.tiles:2:62: error[N322]: images = 99 is not possible"));
}

TEST_CASE("lines of the user's file that no kernel goes by are counted") {
  WorkingFolder folder;
  write_text("small.net", model);
  const auto said = [](const std::string& lines) {
    write_text("own.tiles", file_of(lines));
    const CommandResult result = run_netc({"small.net", "-o", "out", "-q", "--native", "--tiles", "own.tiles"});
    CHECK(result.status == 0);
    return result.err;
  };
  const std::string known = std::string(kernel) + " : images=3\n";
  const std::string other = "linear [N,41] [33,41] [33] -> [N,33] bias=true features=33 : images=3\n";
  CHECK(said(known) == "");
  CHECK(said(other) == "note: own.tiles: 1 of 1 lines name no kernel of small; the first is line 2\n");
  CHECK(said(known + "# a remark\n" + other) ==
        "note: own.tiles: 1 of 2 lines name no kernel of small; the first is line 4\n");
}

TEST_CASE("tune warns of more threads than processors") {
  WorkingFolder folder;
  write_text("small.net", model);
  const std::string available = std::to_string(processors());
  const std::string wanted = std::to_string(processors() + 1);
  const CommandResult tuned = run_netc({"tune", "small.net", "--threads", wanted, "--seconds", "0.0001"});
  CHECK(tuned.status == 0);
  CHECK(tuned.err == fmt::format("warning: --threads {0}: this process may use {1} processors, so that threads take "
                                 "turns; --threads {1} is faster\n",
                                 wanted, available));
}

TEST_CASE("tune times a model's kernels, and what it writes is used and gone on with") {
  WorkingFolder folder;
  write_text("small.net", model);
  const CommandResult tuned = run_netc({"tune", "small.net", "-o", "own.tiles", "--batch", "8", "--threads", "1"});
  REQUIRE_MESSAGE(tuned.status == 0, tuned.err);
  CHECK(contains(tuned.out, "own.tiles: 1 of 1 kernels tuned, "));
  const std::string written = read_text("own.tiles");
  CHECK(contains(written, std::string(kernel) + " : images="));
  CHECK(contains(written, " vectors="));

  const CommandResult built = run_netc({"small.net", "-o", "out", "-q", "--tiles", "own.tiles"});
  CHECK_MESSAGE(built.status == 0, built.err);
  const CommandResult again = run_netc({"tune", "small.net", "-o", "own.tiles"});
  CHECK(again.status == 0);
  CHECK(contains(again.out, "own.tiles: 0 of 0 kernels tuned, "));
  CHECK(read_text("own.tiles") == written);
}

TEST_CASE("tune --check times the choices that there are and searches no others") {
  WorkingFolder folder;
  write_text("small.net", model);
  const CommandResult none = run_netc({"tune", "small.net", "--check", "-o", "none.tiles", "--batch", "8"});
  REQUIRE_MESSAGE(none.status == 0, none.err);
  CHECK(contains(none.out, "none.tiles: 0 of 0 kernels checked, "));

  write_text("given.tiles", read_text("none.tiles") + kernel + " : vectors=1\n");
  const CommandResult checked =
      run_netc({"tune", "small.net", "--check", "--tiles", "given.tiles", "-o", "own.tiles", "--batch", "8"});
  REQUIRE_MESSAGE(checked.status == 0, checked.err);
  CHECK(contains(checked.out, "own.tiles: 1 of 1 kernels checked, "));
  CHECK(contains(read_text("own.tiles"), std::string(kernel) + " : "));
}

TEST_CASE("tune --only takes kernels by their names; those for a few examples read weights that were prepared") {
  WorkingFolder folder;
  write_text("small.net", "model small { input x: f32[N, 64, 3, 3]; conv(64, 3, pad = 1); }");
  const std::vector<std::string> tune{"tune", "small.net", "-o", "own.tiles", "--batch",
                                      "8",    "--threads", "1",  "--only"};
  const auto tuned = [&](const std::string& only) {
    std::vector<std::string> arguments = tune;
    arguments.push_back(only);
    const CommandResult result = run_netc(arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    return result.out;
  };
  CHECK(contains(tuned("linear"), "own.tiles: 0 of 0 kernels tuned, "));
  CHECK(contains(tuned(" few"), "own.tiles: 1 of 1 kernels tuned, "));
  CHECK(contains(read_text("own.tiles"), " few row-major : ahead="));
  const CommandResult built = run_netc({"small.net", "-o", "out", "-q", "--native", "--tiles", "own.tiles"});
  CHECK_MESSAGE(built.status == 0, built.err);
}

TEST_CASE("wrong choices of kernels whose weights are prepared are errors of the user's, too") {
  WorkingFolder folder;
  write_text("small.net", "model small { input x: f32[N, 64, 12, 12]; conv(64, 3, pad = 1) -> conv(64, 3, pad = 1); }");
  write_text("wrong.tiles",
             file_of("conv [N,64,12,12] [64,64,3,3] [64] -> [N,64,12,12] bias=true channels=64 dilation=1 "
                     "groups=1 kernel=3 pad=1 stride=1 few : outputs=99\n"));
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"small.net", "-o", "out", "-q"}, {"dump", "small.net", "--after=emit"}}) {
    std::vector<std::string> with_tiles = command;
    with_tiles.insert(with_tiles.end(), {"--tiles", "wrong.tiles"});
    const CommandResult wrong = run_netc(with_tiles);
    CHECK(wrong.status == 1);
    CHECK(contains(wrong.err, "error[N322]: outputs = 99 is not possible"));
  }
}

TEST_CASE("tune ends by Ctrl-C with what it has found") {
  WorkingFolder folder;
  write_text("large.net", "model large { input x: f32[N, 64, 12, 12]; conv(64, 3, pad = 1); conv(96, 3); }");
  const std::string script = "set -m; '" + test::netc_path() +
                             "' tune large.net -o own.tiles --seconds 60 & until [ -e own.tiles ]; do sleep 0.1; done; "
                             "sleep 1; kill -INT -- -$!; wait $!";
  const CommandResult result = run_command({"bash", "-c", script});
  CHECK_MESSAGE(result.status == 0, result.err);
  CHECK(contains(result.out, "kernels tuned, "));
  CHECK(read_text("own.tiles").starts_with("netc tiles 1 "));
}

TEST_CASE("tune times kernels between which numbers are bf16") {
  WorkingFolder folder;
  write_text("small.net", "model small { input x: f32[N, 40]; linear(33) -> relu; linear(64); }");
  const CommandResult tuned =
      run_netc({"tune", "small.net", "-o", "own.tiles", "--precision", "bf16", "--batch", "8", "--threads", "1"});
  REQUIRE_MESSAGE(tuned.status == 0, tuned.err);
  CHECK_MESSAGE(contains(tuned.out, "own.tiles: 2 of 2 kernels tuned, "), tuned.out);
}

TEST_CASE("tune says what it lacks before it begins") {
  WorkingFolder folder;
  write_text("small.net", model);
  const CommandResult lacking =
      test::run_command({"env", "CXX=no-such-compiler", test::netc_path(), "tune", "small.net"});
  CHECK(lacking.status == 1);
  CHECK(contains(lacking.err, "error: the C++ compiler that CXX names is not there: no-such-compiler"));
  const CommandResult unwritable = run_netc({"tune", "small.net", "-o", "no/such/folder.tiles"});
  CHECK(unwritable.status == 1);
  CHECK(contains(unwritable.err, "error: no/such/folder.tiles: cannot open for writing: No such file or directory"));
}

TEST_CASE("tune does not write over what it cannot read") {
  WorkingFolder folder;
  write_text("small.net", model);
  write_text("own.tiles", "netc tiles 0 avx512\n");
  const CommandResult tuned = run_netc({"tune", "small.net", "-o", "own.tiles"});
  CHECK(tuned.status == 1);
  CHECK(contains(tuned.err, "own.tiles:1:1: error[N321]"));
  CHECK(read_text("own.tiles") == "netc tiles 0 avx512\n");

  write_text("others.tiles", "netc tiles 1 sse41\n");
  const CommandResult others = run_netc({"tune", "small.net", "-o", "others.tiles"});
  CHECK(others.status == 1);
  CHECK(contains(others.err, "others.tiles has choices for sse41; the kernels to tune are for "));
  CHECK(read_text("others.tiles") == "netc tiles 1 sse41\n");
}

TEST_CASE("the tiles that netc brings along can be read") {
  for (const fs::directory_entry& entry : fs::directory_iterator("compiler/tiles")) {
    const Source file(entry.path().string(), read_text(entry.path()));
    Diagnostics diagnostics;
    Tiles().add(file, diagnostics);
    CHECK(diagnostics.text() == "");
  }
}

}  // namespace
}  // namespace netc
