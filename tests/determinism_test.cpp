// Results are the same bits for any number of threads, and agree between instruction sets, also on processors that have
// no others.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "command_support.h"
#include "netc/safetensors.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using Strings = std::vector<std::string>;

using test::CommandResult;
using test::contains;
using test::read_text;
using test::run_command;
using test::run_netc;
using test::WorkingFolder;
using test::write_text;

/// Channels in the vectors, batch statistics, dropout, and a last batch of another size.
constexpr const char* wide = R"(model wide {
  input image: f32[N, 1, 28, 28];
  conv(20, 3, stride = 2, bias = false) -> batchnorm -> relu -> maxpool(2) -> dropout(0.2);
  flatten -> linear(10);
  loss cross_entropy;
  train { data = fashion_mnist; batch = 64; epochs = 1; optimizer = sgd(lr = 0.1, momentum = 0.9); seed = 3; }
}
)";

/// The weights after an epoch on the first 200 images.
void train(const std::string& program, const std::string& isa, int threads, const std::string& weights) {
  const CommandResult result = run_command({"env", "NETC_ISA=" + isa, program, "train", "--epochs", "1", "--limit",
                                            "200", "--threads", std::to_string(threads), "--save", weights});
  REQUIRE_MESSAGE(result.status == 0, result.err);
}

void build(const std::string& model, const std::string& folder, const std::string& precision = "f32") {
  const CommandResult result = run_netc({"build", model, "-o", folder, "--precision", precision});
  REQUIRE_MESSAGE(result.status == 0, result.err);
}

/// The largest difference between two files' tensors; infinity where one is no number.
double difference(const std::string& a, const std::string& b) {
  const SafetensorsReader first(a);
  const SafetensorsReader second(b);
  double largest = 0;
  for (const auto& [name, tensor] : first.tensors()) {
    const StoredTensor& other = second.tensors().at(name);
    REQUIRE(other.bytes.size() == tensor.bytes.size());
    for (std::size_t i = 0; i < tensor.bytes.size(); i += sizeof(float)) {
      float x = 0;
      float y = 0;
      std::memcpy(&x, tensor.bytes.data() + i, sizeof x);
      std::memcpy(&y, other.bytes.data() + i, sizeof y);
      const double distance = std::abs(static_cast<double>(x) - y);
      if (!(distance <= largest)) largest = std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
    }
  }
  return largest;
}

void check(const std::string& program, const Strings& isas = {"avx512", "avx2", "sse41"}, double tolerance = 1e-4) {
  train(program, isas[0], 1, "one");
  for (int threads : {2, 3}) {
    train(program, isas[0], threads, "more");
    CHECK(read_text("one") == read_text("more"));
  }
  for (std::size_t i = 1; i < isas.size(); ++i) {
    const std::string& isa = isas[i];
    INFO(isa);
    train(program, isa, 2, "other");
    CHECK(difference("one", "other") < tolerance);
    train(program, isa, 1, "again");
    CHECK(read_text("other") == read_text("again"));
  }
}

Strings emulated(const std::string& processor) {
  return {"qemu-x86_64", "-cpu", processor};
}

CommandResult run_after(Strings command, const Strings& more) {
  command.insert(command.end(), more.begin(), more.end());
  return run_command(command);
}

/// A step of training and a forward pass on a processor without better instructions: it stops a program that uses them.
void check_emulated(const std::string& program, const std::string& processor, const std::string& isa) {
  const auto step_and_forward = [&](const Strings& machine, const std::string& weights) {
    const CommandResult trained =
        run_after(machine, {program, "train", "--epochs", "1", "--limit", "64", "--save", weights});
    CHECK_MESSAGE(trained.status == 0, trained.err);
    return run_after(machine, {program, "eval", "--weights", weights, "--limit", "64"}).out;
  };
  CAPTURE(processor);
  const std::string best = step_and_forward({"env"}, "best");
  CHECK(step_and_forward({"env", "NETC_ISA=" + isa}, "asked") == best);
  CHECK(step_and_forward(emulated(processor), "emulated") == best);
  CHECK(difference("best", "emulated") < 1e-5);
  CHECK(read_text("asked") == read_text("emulated"));
}

TEST_CASE("images in the vectors: LeNet") {
  WorkingFolder folder;
  build((folder.before() / "models/lenet.net").string(), "lenet");
  check("lenet/lenet");
  REQUIRE_MESSAGE(run_after(emulated("max"), {"/bin/true"}).status == 0, "qemu-x86_64 is missing (Debian: qemu-user)");
  check_emulated("lenet/lenet", "Nehalem", "sse41");
  check_emulated("lenet/lenet", "Haswell", "avx2");
  const Strings forward{"lenet/lenet", "bench", "--mode", "infer"};
  const CommandResult old = run_after(emulated("Conroe"), forward);
  CHECK(old.status == 1);
  CHECK(contains(old.err, "lenet: error: this processor has no SSE4.1"));
  const CommandResult unknown = run_after({"env", "NETC_ISA=avx1024"}, forward);
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "lenet: error: NETC_ISA: expected sse41, avx2, avx512 or avx512_bf16, found 'avx1024'"));
}

TEST_CASE("channels in the vectors: batchnorm, dropout, momentum") {
  WorkingFolder folder;
  write_text("wide.net", wide);
  build("wide.net", "wide");
  check("wide/wide");
}

/// Convolutions over an even number of channels, without and with padding, and a linear layer: dot products, where the
/// processor has them.
constexpr const char* even = R"(model even {
  input image: f32[N, 1, 28, 28];
  conv(20, 3, stride = 2) -> relu -> conv(18, 1) -> relu -> conv(24, 3, stride = 2, pad = 1) -> relu -> flatten;
  linear(10);
  loss cross_entropy;
  train { data = fashion_mnist; batch = 64; epochs = 1; optimizer = sgd(lr = 0.1); seed = 3; }
}
)";

TEST_CASE("factors in bf16: sums that differ in their last bit may be rounded apart later") {
  WorkingFolder folder;
  write_text("even.net", even);
  build("even.net", "even", "bf16");
  check("even/even", {"avx512_bf16", "avx512", "avx2", "sse41"}, 1e-2);
}

}  // namespace
}  // namespace netc
