// The command `profile` of a program that netc built.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/command_support.h"
#include "tests/runtime_support.h"

namespace netc::test {
namespace {

constexpr const char* model = R"(model small {
  input image: f32[N, 1, 12, 12];
  conv(16, 3) -> relu -> maxpool(2) -> flatten -> linear(10);
  loss cross_entropy;
  train { batch = 8; }
}
)";

TEST_CASE("profile lists the kernels of a step, with their work, and draws them") {
  WorkingFolder folder;
  write_text("small.net", model);
  const CommandResult built = run_netc({"build", "small.net", "-o", "out"});
  REQUIRE_MESSAGE(built.status == 0, built.err);
  const CommandResult profiled =
      run_command({"out/small", "profile", "--threads", "1", "--seconds", "0.05", "--svg", "profile.svg"});
  REQUIRE_MESSAGE(profiled.status == 0, profiled.err);
  const std::vector<std::string> lines = lines_of(profiled.out);
  REQUIRE(lines.size() > 6);
  CHECK(lines[0].ends_with("GFLOP/s     GB/s  roofline  kernel"));
  CHECK(lines[1].ends_with(" conv"));  // the relu runs behind the pool, where there is less to do
  CHECK(lines[lines.size() - 2].starts_with("small: train, batch 8, 1 threads: "));
  CHECK(lines.back().starts_with("machine: "));
  const std::string picture = read_text("profile.svg");
  CHECK(picture.starts_with("<svg"));
  CHECK(picture.find(">maxpool_backward_conv_backward_weights<") != std::string::npos);

  const CommandResult forward = run_command({"out/small", "profile", "--mode", "infer", "--seconds", "0.05", "--json"});
  REQUIRE_MESSAGE(forward.status == 0, forward.err);
  const nlohmann::json json = nlohmann::json::parse(forward.out);
  CHECK(json["mode"] == "infer");
  CHECK(json["kernels"][0]["name"] == "conv_maxpool_relu");
  CHECK(json["kernels"][0]["ms"] > 0);
  CHECK(forward.out.find("backward") == std::string::npos);
}

}  // namespace
}  // namespace netc::test
