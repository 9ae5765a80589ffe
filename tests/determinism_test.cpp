// Results are the same bits for any number of threads, and agree between instruction sets.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "command_support.h"
#include "netc/safetensors.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

using test::CommandResult;
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

void build(const std::string& model, const std::string& folder) {
  const CommandResult result = run_netc({"build", model, "-o", folder});
  REQUIRE_MESSAGE(result.status == 0, result.err);
}

/// The largest difference between two files' tensors.
double difference(const std::string& a, const std::string& b) {
  const SafetensorsReader first(a);
  const SafetensorsReader second(b);
  double largest = 0;
  for (const auto& [name, tensor] : first.tensors()) {
    const StoredTensor& other = second.tensors().at(name);
    for (std::size_t i = 0; i < tensor.bytes.size(); i += sizeof(float)) {
      float x = 0;
      float y = 0;
      std::memcpy(&x, tensor.bytes.data() + i, sizeof x);
      std::memcpy(&y, other.bytes.data() + i, sizeof y);
      largest = std::max(largest, std::abs(static_cast<double>(x) - y));
    }
  }
  return largest;
}

void check(const std::string& program) {
  train(program, "avx512", 1, "one");
  for (int threads : {2, 3}) {
    train(program, "avx512", threads, "more");
    CHECK(read_text("one") == read_text("more"));
  }
  for (const char* isa : {"avx2", "sse41"}) {
    INFO(isa);
    train(program, isa, 2, "other");
    CHECK(difference("one", "other") < 1e-4);
    train(program, isa, 1, "again");
    CHECK(read_text("other") == read_text("again"));
  }
}

TEST_CASE("images in the vectors: LeNet") {
  WorkingFolder folder;
  build((folder.before() / "models/lenet.net").string(), "lenet");
  check("lenet/lenet");
}

TEST_CASE("channels in the vectors: batchnorm, dropout, momentum") {
  WorkingFolder folder;
  write_text("wide.net", wide);
  build("wide.net", "wide");
  check("wide/wide");
}

}  // namespace
}  // namespace netc
