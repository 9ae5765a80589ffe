// What netc writes: the code in generated/ is up to date, unchanged input touches nothing, programs link what they
// should.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "command_support.h"
#include "compiler/compile.h"

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

constexpr const char* tiny = R"(model tiny {
  input x: f32[N, 3];
  fc: linear(2);
  loss mse;
  train { batch = 4; optimizer = sgd(lr = 0.1); }
}
)";

std::map<std::string, std::string> texts(const fs::path& folder) {
  std::map<std::string, std::string> result;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".a") result[entry.path().filename()] = read_text(entry.path());
  }
  return result;
}

TEST_CASE("generated/lenet is what netc writes for models/lenet.net") {
  WorkingFolder folder;
  CommandResult result = run_netc({(folder.before() / "models/lenet.net").string(), "-o", "lenet", "--quiet"});
  REQUIRE(result.status == 0);
  CHECK(result.out.empty());
  std::map<std::string, std::string> committed = texts(folder.before() / "generated/lenet");
  std::map<std::string, std::string> fresh = texts("lenet");
  INFO("when the change is meant: build/bin/netc models/lenet.net -o generated/lenet");
  for (const auto& file : fresh) {
    INFO(file.first);
    CHECK(committed[file.first] == file.second);
  }
  CHECK(committed.size() == fresh.size());
}

TEST_CASE("kernels that read prepared weights share no name with those that read parameters") {
  const auto symbols = [](bool cuda) {
    Options options;
    options.file = "tests/frozen.net";
    options.cuda = cuda;
    Compilation compilation;
    Dump dump;
    CompiledModel model;
    REQUIRE(compile(options, compilation, dump, model));
    model.plan_preparations();
    std::set<std::string> found;
    for (const KernelEntry& entry : model.kernels.entries) {
      if (cuda || entry.prepared) found.insert(entry.symbol);
    }
    return found;
  };
  const std::set<std::string> prepared = symbols(false);
  const std::set<std::string> direct = symbols(true);
  CHECK(!prepared.empty());
  for (const std::string& symbol : prepared) CHECK(!direct.contains(symbol));
}

TEST_CASE("what neither an output nor the loss needs is not computed") {
  WorkingFolder folder;
  write_text("dead.net", "model dead { input x: f32[N, 4]; a: linear(3); b: sigmoid; output a; loss mse; }\n");
  const CommandResult result = run_netc({"dump", "dead.net", "--after=plan"});
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(contains(result.out, "linear"));
  CHECK(!contains(result.out, "sigmoid"));
}

TEST_CASE("unchanged input touches nothing; the depfile names all that was read") {
  WorkingFolder folder;
  write_text("parts.net", "block head(n) { fc: linear(n); }\n");
  write_text("a model.net", "import \"parts.net\";\nmodel m { input x: f32[N, 3]; let n = 2; head(n); }\n");
  const std::vector<std::string> command{"a model.net", "-o", "the out", "--set", "n=4", "--depfile", "the out/m.d"};
  REQUIRE(run_netc(command).status == 0);
  const std::string rule = read_text("the out/m.d");
  CHECK(rule.starts_with("the\\ out/m.hpp: a\\ model.net "));
  CHECK(contains(rule, " parts.net "));
  CHECK(rule.ends_with("/avx512.tiles\n"));

  const fs::file_time_type old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const fs::directory_entry& entry : fs::directory_iterator("the out")) fs::last_write_time(entry.path(), old);
  REQUIRE(run_netc(command).status == 0);
  for (const fs::directory_entry& entry : fs::directory_iterator("the out")) {
    INFO(entry.path().string());
    CHECK(fs::last_write_time(entry.path()) == old);
  }
}

TEST_CASE("--model chooses one of a file's models; without it the last one is compiled") {
  WorkingFolder folder;
  write_text("pair.net",
             "model wide { input x: f32[N, 3]; linear(8); }\nmodel narrow { input x: f32[N, 3]; linear(2); }\n");
  REQUIRE(run_netc({"pair.net"}).status == 0);
  CHECK(fs::exists("generated/narrow/narrow.hpp"));
  CHECK_FALSE(fs::exists("generated/wide"));
  REQUIRE(run_netc({"pair.net", "--model", "wide"}).status == 0);
  CHECK(contains(read_text("generated/wide/wide.hpp"), "// [8,3]"));
  CommandResult summary = run_netc({"summary", "pair.net", "--model=wide"});
  CHECK(contains(summary.out, "parameters 32"));
  CommandResult unknown = run_netc({"pair.net", "--model", "wid"});
  CHECK(unknown.status == 1);
  CHECK(contains(unknown.err, "help: did you mean `wide`?"));
}

TEST_CASE("an output folder that cannot be made: exit status 1, its name, no crash folder") {
  WorkingFolder folder;
  write_text("tiny.net", tiny);
  write_text("file", "");
  for (const char* output : {"file/below", "file"}) {
    CommandResult result = run_netc({"tiny.net", "-o", output});
    INFO(result.err);
    CHECK(result.status == 1);
    CHECK(contains(result.err, output));
    CHECK_FALSE(contains(result.err, "bug"));
  }
}

TEST_CASE("--native compiles kernels for this processor alone") {
  WorkingFolder folder;
  write_text("tiny.net", tiny);
  const CommandResult built =
      run_command({"env", "NETC_ISA=avx2", test::netc_path(), "build", "tiny.net", "-o", "out", "--native"});
  REQUIRE_MESSAGE(built.status == 0, built.err);
  const std::string kernels = read_text("out/tiny_kernels.cpp");
  CHECK(contains(kernels, "_avx2_argv,"));
  CHECK_FALSE(contains(kernels, "sse41"));
  const std::vector<std::string> bench{"out/tiny", "bench", "--mode", "infer", "--batch", "2", "--seconds", "0.01"};
  std::vector<std::string> there{"env", "NETC_ISA=avx512"};
  there.insert(there.end(), bench.begin(), bench.end());
  CHECK(run_command(there).status == 0);
  std::vector<std::string> elsewhere{"env", "NETC_ISA=sse41"};
  elsewhere.insert(elsewhere.end(), bench.begin(), bench.end());
  const CommandResult refused = run_command(elsewhere);
  CHECK(refused.status != 0);
  CHECK(contains(refused.err, "compiled for more than SSE4.1: build it again without --native"));
}

TEST_CASE("a library defines what programs call, and says no more; without binutils it is as good, but larger") {
  WorkingFolder folder;
  write_text("tiny.net", tiny);
  const auto write = [](const std::string& to, const std::vector<std::string>& environment) {
    std::vector<std::string> command{"env", "NETC_CACHE=cache-" + to};
    command.insert(command.end(), environment.begin(), environment.end());
    command.insert(command.end(), {test::netc_path(), "tiny.net", "-o", to});
    const CommandResult written = run_command(command);
    REQUIRE_MESSAGE(written.status == 0, written.err);
    return fs::path(to) / "libtiny_kernels.a";
  };
  const fs::path slim = write("slim", {});
  const fs::path whole = write("whole", {"PATH=/nowhere"});
  CHECK(fs::file_size(slim) < fs::file_size(whole));
  CHECK(contains(read_text(whole), ".comment"));
  CHECK_FALSE(contains(read_text(slim), ".comment"));
  const CommandResult defined = run_command({"nm", "--extern-only", "--defined-only", "--just-symbols", slim.string()});
  REQUIRE_MESSAGE(defined.status == 0, defined.err);
  std::istringstream lines(defined.out);
  int functions = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.ends_with(":")) continue;  // the name of an object
    CHECK_MESSAGE(line.ends_with("_argv"), line);
    ++functions;
  }
  CHECK(functions > 0);
  for (const fs::directory_entry& entry : fs::directory_iterator("cache-slim")) {
    const std::string kind = entry.path().extension();
    CHECK((kind == ".o" || kind == ".txt"));
  }
}

TEST_CASE("build: a program and a shared library, which link the C and C++ runtime and zlib alone") {
  WorkingFolder folder;
  write_text("tiny.net", tiny);
  CommandResult result = run_netc({"build", "tiny.net", "-o", "it's here", "--shared"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const fs::path output = "it's here";
  CHECK(run_command({(output / "tiny").string(), "--help"}).status == 0);
  const std::vector<std::string> allowed{"linux-vdso.so", "libz.so", "libstdc++.so", "libm.so",
                                         "libgcc_s.so",   "libc.so", "ld-linux"};
  for (const char* name : {"tiny", "libtiny.so"}) {
    CommandResult libraries = run_command({"ldd", (output / name).string()});
    std::istringstream lines(libraries.out);
    for (std::string line; std::getline(lines, line);) {
      INFO(line);
      CHECK(std::any_of(allowed.begin(), allowed.end(), [&](const std::string& a) { return contains(line, a); }));
    }
  }

  const fs::file_time_type built = fs::last_write_time(output / "tiny");
  REQUIRE(run_netc({"build", "tiny.net", "-o", output.string()}).status == 0);
  CHECK(fs::last_write_time(output / "tiny") == built);
}

TEST_CASE("names of a model that generated code uses itself") {
  WorkingFolder folder;
  write_text("names.net", R"(layer dense(out) { param w: f32[out, i]; y[n, o] = sum[i](x[n, i] * w[o, i]); }
layer dense2(out) { param w: f32[out, i]; y[n, o] = 2 * sum[i](x[n, i] * w[o, i]); }
fn examples(x) = sum[i in 0..3](x * i);
fn total(seed: f32[m], value_kernel: f32[m], seed_: f32[m]) = sum(seed * value_kernel + seed_);
model names {
  input inputs: f32[N, 4];
  input batch: f32[N, 4];
  input batch_: f32[N, 4];
  input optimizer: f32[N, 4];
  input result: f32[N, 4];
  input restrict: f32[N, 4];
  input int64_t: f32[N, 4];
  input lr: u8[N, 4];
  add { from(inputs); from(batch); from(batch_); from(optimizer); from(result); from(restrict); from(int64_t) }
  add { identity; from(lr) -> scale(1/255) }
  dense(5) -> dense(7) -> dense2(3);
  examples;
  loss mse;
}
)");
  const CommandResult result = run_netc({"build", "names.net", "-o", "out", "--shared", "--native"});
  INFO(result.err);
  CHECK(result.status == 0);
  const CommandResult c = run_command({"cc", "-std=c99", "-fsyntax-only", "-xc", "out/names.h"});
  INFO(c.err);
  CHECK(c.status == 0);
  const std::string header = read_text("out/names.hpp");
  CHECK(contains(header, "netc::View<const float> batch_2, netc::View<const float> batch_, "));
  CHECK(contains(read_text("out/names_functions.hpp"), "netc::View<const float> seed_2, "));
}

TEST_CASE("names of the generated code's own are refused as a model's") {
  WorkingFolder folder;
  for (const std::string name : {"network", "method", "kernels"}) {
    write_text("named.net", "model " + name + " { input x: f32[N, 4]; linear(2); loss mse; }\n");
    const CommandResult result = run_netc({"check", "named.net"});
    CHECK(result.status == 1);
    CHECK(contains(result.err, "error[N104]: `" + name + "` is a name of the generated code's own"));
  }
}

TEST_CASE("build without a C++ compiler says so") {
  WorkingFolder folder;
  write_text("tiny.net", tiny);
  CommandResult none = run_command({"env", "PATH=/nowhere", test::netc_path(), "build", "tiny.net", "-o", "out"});
  CHECK(none.status == 1);
  CHECK(contains(none.err, "no C++ compiler: none of c++, g++, clang++ is in PATH"));
  CommandResult wrong =
      run_command({"env", "CXX=no-such-compiler", test::netc_path(), "build", "tiny.net", "-o", "out"});
  CHECK(wrong.status == 1);
  CHECK(contains(wrong.err, "no-such-compiler"));
}

}  // namespace
}  // namespace netc
