// LeNet on the real data with everything that a `train` clause offers, set from outside.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "command_support.h"

namespace netc {
namespace {

using test::CommandResult;
using test::read_text;
using test::run_command;
using test::run_netc;
using test::WorkingFolder;
using Strings = std::vector<std::string>;

const Strings settings{"train.optimizer=adam(lr = 0.006)",
                       "train.schedule=cosine(eta_min = 0.0001)",
                       "train.warmup=1",
                       "train.clip_grad_norm=5",
                       "train.augment=(flip, crop(pad = 1), color(brightness = 0.1, contrast = 0.1))",
                       "train.validation=0.1",
                       "train.batch=50",
                       "train.epochs=6"};

/// `command` with the settings behind it.
Strings with_settings(Strings command) {
  for (const std::string& setting : settings) {
    command.emplace_back("--set");
    command.push_back(setting);
  }
  return command;
}

void run(const Strings& command) {
  const CommandResult result = run_command(command);
  REQUIRE_MESSAGE(result.status == 0, result.err);
}

std::vector<nlohmann::json> epochs_of(const std::string& log) {
  std::vector<nlohmann::json> epochs;
  std::istringstream lines(read_text(log + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) epochs.push_back(nlohmann::json::parse(line));
  return epochs;
}

TEST_CASE("prose only, still wanted: flips, crops and colour; with Adam, a cosine and clipping LeNet's loss falls") {
  REQUIRE_MESSAGE(std::filesystem::exists("/usr/share/datasets/fashion-mnist"),
                  "apt-get install dataset-fashion-mnist");
  WorkingFolder folder;
  const std::string model = (folder.before() / "models/lenet.net").string();
  CommandResult built = run_netc({"build", model, "-o", "plain"});
  REQUIRE_MESSAGE(built.status == 0, built.err);
  const Strings train{"train", "--limit", "4000", "--threads", "2"};
  Strings command{"plain/lenet"};
  command.insert(command.end(), train.begin(), train.end());
  command.insert(command.end(), {"--log", "log", "--save", "a.safetensors"});
  run(with_settings(command));

  const auto epochs = epochs_of("log");
  REQUIRE(epochs.size() == 6);
  CHECK(epochs[5]["loss"] < 0.5 * epochs[0]["loss"].get<double>());
  CHECK(epochs[5]["validation_loss"] < epochs[0]["validation_loss"]);
  CHECK(epochs[5]["validation_accuracy"] > 0.6);
  CHECK(epochs[5]["test_accuracy"] > 0.6);
  CHECK(epochs[5]["lr"] < epochs[1]["lr"]);

  // The same recipe at compile time, and other threads: the same bits.
  built = run_netc(with_settings({"build", model, "-o", "set"}));
  REQUIRE_MESSAGE(built.status == 0, built.err);
  run({"set/lenet", "train", "--limit", "4000", "--threads", "1", "--save", "b.safetensors"});
  CHECK(read_text("a.safetensors") == read_text("b.safetensors"));
}

TEST_CASE("in bf16 LeNet learns as in f32") {
  REQUIRE_MESSAGE(std::filesystem::exists("/usr/share/datasets/fashion-mnist"),
                  "apt-get install dataset-fashion-mnist");
  WorkingFolder folder;
  const std::string model = (folder.before() / "models/lenet.net").string();
  const auto last_epoch = [&](const std::string& precision) {
    const CommandResult built = run_netc({"build", model, "--native", "--precision", precision, "-o", precision});
    REQUIRE_MESSAGE(built.status == 0, built.err);
    run({precision + "/lenet", "train", "--limit", "10000", "--epochs", "3", "--set",
         "train.optimizer=adam(lr = 0.006)", "--log", precision + "/log"});
    return epochs_of(precision + "/log").back();
  };
  const nlohmann::json f32 = last_epoch("f32");
  const nlohmann::json bf16 = last_epoch("bf16");
  CHECK(bf16["loss"] != f32["loss"]);
  CHECK(bf16["loss"].get<double>() == doctest::Approx(f32["loss"].get<double>()).epsilon(0.02));
  CHECK(bf16["test_accuracy"] > f32["test_accuracy"].get<double>() - 0.02);
  CHECK(bf16["test_accuracy"] > 0.55);
}

}  // namespace
}  // namespace netc
