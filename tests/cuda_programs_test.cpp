// Programs with kernels for CUDA: which device they take, and what they say where there is none or it fails. The
// emulator plays drivers and GPUs of all kinds.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command_support.h"

using namespace netc::test;

namespace {

using Strings = std::vector<std::string>;

/// Runs `program` with `settings` ("NAME=VALUE") in its environment.
CommandResult run_with(Strings settings, const std::string& program, const Strings& arguments) {
  settings.insert(settings.begin(), "/usr/bin/env");
  settings.push_back(program);
  settings.insert(settings.end(), arguments.begin(), arguments.end());
  return run_command(settings);
}

CommandResult bench(const Strings& settings, const std::string& device) {
  return run_with(settings, RESIDUAL_PROGRAM,
                  {"bench", "--mode", "infer", "--batch", "1", "--seconds", "0.01", "--device", device});
}

/// With CUDA demanded the program says why it cannot be had; left to itself it says so in one line and takes the CPU.
void check_without_cuda(const Strings& settings, const std::string& reason) {
  CAPTURE(reason);
  const CommandResult demanded = bench(settings, "cuda");
  CHECK(demanded.status == 1);
  CHECK(contains(demanded.err, "residual: error: --device cuda: " + reason));
  CHECK(contains(demanded.err, "use --device cpu"));
  const CommandResult free = bench(settings, "auto");
  CHECK(free.status == 0);
  CHECK(contains(free.err, "residual: computing on the CPU: " + reason));
  CHECK(lines_of(free.err).size() == 1);
  CHECK(contains(free.out, "threads: best"));
}

}  // namespace

TEST_CASE("a program takes the GPU, or the CPU where that is asked for") {
  WorkingFolder folder;
  for (const char* device : {"auto", "cuda"}) {
    const CommandResult result = bench({}, device);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    CHECK(result.err == "");
    CHECK(contains(result.out, "batch 1, cuda: best"));
  }
  const CommandResult cpu = bench({"NETC_EMULATOR_DEVICES=0"}, "cpu");
  CHECK(cpu.status == 0);
  CHECK(cpu.err == "");
}

TEST_CASE("a program runs without a driver, with an old one, without a GPU, and with an old one") {
  WorkingFolder folder;
  write_text("libcuda.so.1", "no library");
  check_without_cuda({"LD_LIBRARY_PATH=" + std::filesystem::current_path().string()}, "there is no CUDA driver (");
  check_without_cuda({"NETC_EMULATOR_DRIVER=10020"},
                     "the CUDA driver is too old: it is for CUDA 10.2, expected 11.0 or later");
  check_without_cuda({"NETC_EMULATOR_DEVICES=0"}, "cuInit: CUDA_ERROR_NO_DEVICE");
  check_without_cuda({"NETC_EMULATOR_CAPABILITY=75"}, "the GPU netc CUDA emulator has compute capability 7.5");
  check_without_cuda({"NETC_EMULATOR_MANAGED=0"},
                     "the GPU netc CUDA emulator cannot share memory with the CPU while it computes");
}

TEST_CASE("a batch that does not fit is refused before anything is computed") {
  WorkingFolder folder;
  const CommandResult result = run_with({"NETC_EMULATOR_MEMORY=1000000", "NETC_EMULATOR_LOG=log"}, RESIDUAL_PROGRAM,
                                        {"bench", "--mode", "infer", "--batch", "100", "--seconds", "0.01"});
  CHECK(result.status == 1);
  CHECK(contains(result.err, "a batch of 100 needs "));
  CHECK(contains(result.err, "MB of the GPU's memory, of which "));
  CHECK(contains(result.err, "take a smaller batch"));
  CHECK(contains(read_text("log"), " launches 0 "));
  // Parameters fit, but not what training adds to them.
  const CommandResult training = run_with({"NETC_EMULATOR_MEMORY=1000000"}, RESIDUAL_PROGRAM,
                                          {"bench", "--mode", "train", "--batch", "40", "--seconds", "0.01"});
  CHECK(training.status == 1);
  CHECK(contains(training.err, "a batch of 40 needs "));
  const CommandResult parameters = run_with({"NETC_EMULATOR_MEMORY=10000"}, RESIDUAL_PROGRAM,
                                            {"bench", "--mode", "infer", "--batch", "1", "--seconds", "0.01"});
  CHECK(parameters.status == 1);
  CHECK(contains(parameters.err, "bytes for parameters of residual on the GPU: 10000 are free"));
}

TEST_CASE("bench counts all memory that it takes of the GPU") {
  WorkingFolder folder;
  for (const char* mode : {"train", "infer"}) {
    CAPTURE(mode);
    const CommandResult result = run_with({"NETC_EMULATOR_LOG=log"}, RESIDUAL_PROGRAM,
                                          {"bench", "--mode", mode, "--batch", "1", "--seconds", "0.01", "--json"});
    REQUIRE_MESSAGE(result.status == 0, result.err);
    const nlohmann::json figures = nlohmann::json::parse(result.out);
    CHECK(figures["device"] == "cuda");
    CHECK(contains(read_text("log"), fmt::format(" peak_bytes {} ", figures["peak_bytes"].get<std::int64_t>())));
    if (mode == std::string("train")) CHECK(figures["scratch_bytes"] > 0);  // sums of parts
  }
}

TEST_CASE("a model that multiplies bf16 is compiled for GPUs, too") {
  WorkingFolder folder;
  write_text("small.net", R"(model small {
  input image: f32[N, 16, 4, 4];
  conv(20, 1) -> relu -> conv(20, 1) -> flatten -> linear(10);
}
)");
  const Strings build{"build", "--native", "--target", "cuda", "--precision", "bf16", "small.net", "-o", "out"};
  const CommandResult built = run_netc(build);
  REQUIRE_MESSAGE(built.status == 0, built.err);
  const CommandResult run =
      run_command({"out/small", "bench", "--mode", "infer", "--device", "cuda", "--batch", "5", "--seconds", "0.01"});
  CHECK_MESSAGE(run.status == 0, run.err);
}

TEST_CASE("profile times the kernels of a GPU") {
  WorkingFolder folder;
  const Strings command{"profile", "--device", "cuda", "--mode", "infer", "--batch", "1", "--seconds", "0.01"};
  const CommandResult profiled = run_with({"NETC_EMULATOR_LOG=log"}, RESIDUAL_PROGRAM, command);
  REQUIRE_MESSAGE(profiled.status == 0, profiled.err);
  const Strings lines = lines_of(profiled.out);
  CHECK(lines[lines.size() - 3].starts_with("residual: infer, batch 1, cuda: "));
  CHECK(contains(lines[lines.size() - 2], " ms where kernels are launched together; the machine is an H100"));
  CHECK(lines.back() == "machine: 495000.0 GFLOP/s, 3350.0 GB/s");
  CHECK(contains(read_text("log"), "graph "));
  Strings json = command;
  json.push_back("--json");
  const CommandResult figures = run_with({}, RESIDUAL_PROGRAM, json);
  REQUIRE_MESSAGE(figures.status == 0, figures.err);
  const nlohmann::json found = nlohmann::json::parse(figures.out);
  CHECK(found["place"] == "cuda");
  CHECK(found["free_ms"] > 0);
  CHECK(found["kernels"].size() + 4 == lines.size());
}

namespace {

/// LeNet on eight images, in batches of two.
CommandResult train(const Strings& settings, const Strings& more) {
  if (!std::filesystem::exists("data")) {
    std::filesystem::create_directory("data");
    write_small_data("data", 8, 2);
  }
  Strings arguments{"train", "--data", "data", "--set", "train.batch=2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_with(settings, LENET_PROGRAM, arguments);
}

}  // namespace

TEST_CASE("training takes the memory that the summary says, and is refused before a launch where that is not there") {
  const WorkingFolder folder;
  const Strings recipes[] = {{},
                             {"--set", "train.optimizer=sgd(lr = 0.1, momentum = 0.9)"},
                             {"--set", "train.optimizer=adam(lr = 0.001)", "--set", "train.clip_grad_norm=1"}};
  for (const Strings& recipe : recipes) {
    CAPTURE(recipe.size());
    Strings arguments{"summary", folder.before() / "models/lenet.net", "--target", "cuda", "--json", "--batch", "2"};
    arguments.insert(arguments.end(), recipe.begin(), recipe.end());
    const CommandResult summary = run_netc(arguments);
    REQUIRE_MESSAGE(summary.status == 0, summary.err);
    const std::int64_t bytes = nlohmann::json::parse(summary.out)["gpu"]["memory"]["training"];
    Strings options{"--epochs", "1", "--device", "cuda"};
    options.insert(options.end(), recipe.begin(), recipe.end());
    const auto train_within = [&](std::int64_t memory) {
      return train({fmt::format("NETC_EMULATOR_MEMORY={}", memory), "NETC_EMULATOR_EXECUTE=0", "NETC_EMULATOR_LOG=log"},
                   options);
    };
    const CommandResult fits = train_within(bytes);
    CHECK_MESSAGE(fits.status == 0, fits.err);
    CHECK(contains(read_text("log"), fmt::format(" peak_bytes {} ", bytes)));
    const CommandResult refused = train_within(bytes - 1);
    CHECK(refused.status == 1);
    CHECK(contains(refused.err, "a batch of 2 needs "));
    CHECK(contains(read_text("log"), " launches 0 "));
  }
}

TEST_CASE("what a step takes is planned for every batch: within a block of examples, beyond it, and of many") {
  const WorkingFolder folder;
  const std::pair<std::string, const char*> programs[] = {{"models/lenet.net", LENET_PROGRAM},
                                                          {"tests/gpu/residual.net", RESIDUAL_PROGRAM}};
  for (const auto& [model, program] : programs) {
    for (const char* batch : {"5", "33", "256"}) {
      CAPTURE(model);
      CAPTURE(batch);
      const CommandResult summary =
          run_netc({"summary", folder.before() / model, "--target", "cuda", "--json", "--batch", batch});
      const CommandResult bench =
          run_with({"NETC_EMULATOR_EXECUTE=0"}, program,
                   {"bench", "--device", "cuda", "--batch", batch, "--seconds", "0.01", "--json"});
      REQUIRE_MESSAGE(bench.status == 0, bench.err);
      const nlohmann::json planned = nlohmann::json::parse(summary.out)["gpu"]["memory"]["training"];
      CHECK(nlohmann::json::parse(bench.out)["peak_bytes"] == planned);
    }
  }
}

TEST_CASE("with a driver that has no graphs, kernels are launched one by one and compute the same") {
  const WorkingFolder folder;
  const Strings options{"--epochs", "1", "--device", "cuda", "--save"};
  const auto train_to = [&](Strings settings, const std::string& file) {
    settings.push_back("NETC_EMULATOR_LOG=" + file + ".log");
    Strings arguments = options;
    arguments.push_back(file);
    const CommandResult result = train(settings, arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
  };
  train_to({}, "graphs");
  train_to({"LD_LIBRARY_PATH=" OLDER_DRIVER}, "none");
  CHECK(!contains(read_text("graphs.log"), " graph_launches 0 "));
  CHECK(contains(read_text("none.log"), " graph_launches 0 "));
  CHECK(read_text("none") == read_text("graphs"));
}

TEST_CASE("a GPU that is lost in training ends it with the driver's error, and the run goes on from its checkpoint") {
  const WorkingFolder folder;
  const auto run = [](const Strings& settings, const std::string& name, const Strings& more) {
    Strings arguments{"--epochs", "2", "--checkpoint", name, "--checkpoint-seconds", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return train(settings, arguments);
  };
  REQUIRE(run({}, "whole", {"--save", "whole.safetensors"}).status == 0);
  const CommandResult lost = run({"NETC_EMULATOR_LOST_AFTER=100"}, "run", {});
  CHECK(lost.status == 1);
  CHECK(contains(lost.err, "CUDA_ERROR_LAUNCH_FAILED"));
  CHECK(
      contains(lost.err, "\nrun/checkpoint.safetensors is intact: the same command with --resume goes on from there"));
  std::filesystem::copy("run", "run_on_cpu");
  const CommandResult resumed = run({}, "run", {"--resume", "--save", "resumed.safetensors"});
  REQUIRE_MESSAGE(resumed.status == 0, resumed.err);
  CHECK(contains(resumed.err, "after 0 epochs and "));
  CHECK(!contains(resumed.err, "after 0 epochs and 0 batches"));
  CHECK(read_text("resumed.safetensors") == read_text("whole.safetensors"));
  CHECK(run({}, "run_on_cpu", {"--resume", "--device", "cpu"}).status == 0);
}
