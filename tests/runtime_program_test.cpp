// The program of a model as a user types it: train, eval, bench, profile, run, and everything that can be wrong.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "netc/affinity.h"
#include "netc/metrics.h"
#include "netc/npy.h"
#include "netc/overrides.h"
#include "netc/plot.h"
#include "netc/program.h"
#include "netc/random.h"
#include "netc/safetensors.h"
#include "tests/runtime_support.h"

namespace {

/// The process ends at so many renames, by which every save ends; at none where it is 0.
int renames_left = 0;

/// The disk is full for saves to a file of this name from one number to another, counted from 0.
struct FullDisk {
  std::string_view name{};
  int from = 0;
  int until = 0;
  int saves = 0;

  bool refuses(std::string_view file) {
    if (name.empty() || !file.ends_with(name)) return false;
    const int save = saves++;
    return save >= from && save < until;
  }
};
FullDisk full_disk;

}  // namespace

// It takes the place of the C library's in this program.
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name)
extern "C" int rename(const char* from, const char* to) noexcept {
  if (renames_left > 0 && --renames_left == 0) _exit(9);
  if (full_disk.refuses(to)) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(syscall(SYS_rename, from, to));
}

namespace netc {
namespace {

using test::lines_of;
using test::ProgramResult;
using test::read_text;
using test::run_softmax;
using test::TemporaryFolder;
using test::write_small_data;
using test::write_text;
using Arguments = std::vector<std::string>;

/// The text with one 9 for each whole part of a number and one for each digit behind its point.
std::string form_of(const std::string& text) {
  std::string form;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!std::isdigit(static_cast<unsigned char>(text[i]))) {
      form += text[i];
      continue;
    }
    const bool behind_point = text.find_last_not_of("0123456789", i) == text.find_last_of('.', i);
    if (behind_point || form.empty() || form.back() != '9') form += '9';
  }
  return form;
}

void check_fails(const Arguments& arguments, int status, const std::vector<std::string>& texts,
                 const Description& description = test::softmax_description()) {
  const ProgramResult result = run_softmax(arguments, description);
  CAPTURE(result.err);
  CHECK(result.status == status);
  CHECK(result.err.starts_with("softmax: error: "));
  CHECK(lines_of(result.err).size() == 1);
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(result.err.find(text) != std::string::npos);
  }
}

void check_succeeds(const ProgramResult& result) {
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
}

TEST_CASE("train prints a line an epoch and the summary, and writes logs and weights") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 150, 40);
  const std::string log = folder / "log" / "deep";
  const std::string weights = folder / "w.safetensors";
  const ProgramResult result = run_softmax({"train", "--data", folder.path(), "--log", log, "--save", weights});
  check_succeeds(result);
  const std::vector<std::string> lines = lines_of(result.out);
  REQUIRE(lines.size() == 5);
  CHECK(form_of(lines[1]).starts_with(
      "epoch 9/9: loss 9.999, train acc 9.999, test acc 9.999, lr 9.99, 9.9 examples/s, 9.9 s"));
  CHECK(form_of(lines[3]).starts_with("best: epoch 9, loss 9.999, "));
  CHECK(form_of(lines[4]) == "softmax: 9 epochs, loss 9.999, train acc 9.999, test acc 9.999, 9.9 examples/s");
  const std::vector<std::string> metrics = lines_of(read_text(folder / "log/deep/metrics.jsonl"));
  REQUIRE(metrics.size() == 3);
  const auto last = nlohmann::json::parse(metrics[2]);
  CHECK(last["epoch"] == 3);
  CHECK(last["test_accuracy"] > 0.9);  // the data are easy
  CHECK(last["lr"] == 0.05);
  CHECK(!last.contains("validation_loss"));
  CHECK(lines_of(read_text(folder / "log/deep/curves.csv")).size() == 4);
  CHECK(lines_of(read_text(folder / "log/deep/progress.csv")).size() == 1 + 3 * 10);  // a line a batch
  CHECK(read_text(folder / "log/deep/curves.svg").find("</svg>") != std::string::npos);

  const ProgramResult eval = run_softmax({"eval", "--weights", weights, "--data", folder.path()});
  check_succeeds(eval);
  CHECK(eval.out == fmt::format("softmax: test loss {:.3f}, test acc {:.3f}, 40 examples\n",
                                last["test_loss"].get<double>(), last["test_accuracy"].get<double>()));
}

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The weights after a run with these further options.
std::string trained(const TemporaryFolder& folder, Arguments options) {
  const std::string weights = folder / "trained.safetensors";
  Arguments arguments{"train", "--data", folder.path(), "--save", weights};
  arguments.insert(arguments.end(), options.begin(), options.end());
  check_succeeds(run_softmax(arguments));
  return read_text(weights);
}

TEST_CASE("a run depends on its seed and recipe, not on threads") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 10);
  const std::string reference = trained(folder, {"--threads", "1"});
  CHECK(trained(folder, {"--threads", "2"}) == reference);
  CHECK(trained(folder, {"--threads", "1", "--pin"}) == reference);
  CHECK(trained(folder, {"--set", "train.seed=1"}) == reference);
  CHECK(trained(folder, {"--seed", "2"}) != reference);
  CHECK(trained(folder, {"--set", "train.lr=0.1"}) != reference);
  CHECK(trained(folder, {"--set", "train.batch=7", "--set", "train.epochs=1"}) != reference);
  CHECK(trained(folder, {"--epochs", "2"}) != reference);
  CHECK(trained(folder, {"--limit", "50"}) != reference);
}

TEST_CASE("a run is continued bit for bit") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 10);
  const std::string reference = trained(folder, {"--epochs", "4"});
  const std::string checkpoint = folder / "checkpoint";
  trained(folder, {"--epochs", "2", "--checkpoint", checkpoint});
  CHECK(trained(folder, {"--epochs", "4", "--checkpoint", checkpoint, "--resume"}) == reference);
  // Nothing is left to do, and the summary is the same again.
  CHECK(trained(folder, {"--epochs", "4", "--checkpoint", checkpoint, "--resume"}) == reference);
  check_fails({"train", "--data", folder.path(), "--checkpoint", checkpoint}, 2,
              {"checkpoint.safetensors", "--resume"});
  check_fails({"train", "--data", folder.path(), "--checkpoint", checkpoint, "--resume", "--seed", "9"}, 1,
              {"seed", "expected 9", "found 1"});
}

TEST_CASE("logs of a run stay when it is continued after its end, or refused") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 10);
  const Arguments run{"train", "--data", folder.path(), "--checkpoint", folder / "checkpoint", "--log", folder / "log"};
  check_succeeds(run_softmax(run));
  const std::string metrics = read_text(folder / "log/metrics.jsonl");
  CHECK(lines_of(metrics).size() == 3);
  check_succeeds(run_softmax(with(run, {"--resume"})));
  CHECK(read_text(folder / "log/metrics.jsonl") == metrics);
  check_fails(run, 2, {"--resume"});
  CHECK(read_text(folder / "log/metrics.jsonl") == metrics);
}

/// Trains until a save, which is not completed. Whether the run came that far.
bool ended_at(int save, const TemporaryFolder& folder, const Arguments& options) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("TMPDIR", folder.path().c_str(), 1);
    Arguments arguments{"train", "--data", folder.path()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    renames_left = save;
    run_softmax(arguments);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 9;
}

TEST_CASE("a run that ends at any save is continued bit for bit") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 400, 10);
  const Arguments recipe{"--epochs", "3", "--set", "train.batch=9"};
  const std::string reference = trained(folder, recipe);
  const std::string checkpoint = folder / "checkpoint";
  Arguments arguments{"--checkpoint", checkpoint, "--resume", "--checkpoint-seconds", "0"};
  arguments.insert(arguments.end(), recipe.begin(), recipe.end());
  for (const int save : {1, 2, 5, 20, 60}) CHECK(ended_at(save, folder, arguments));
  CHECK(trained(folder, arguments) == reference);
}

TEST_CASE("logs that can no longer be written end no run, are warned of once, and come back") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 10);
  const Arguments run{"train", "--data", folder.path(), "--log", folder / "log", "--epochs", "4"};
  full_disk = {"/metrics.jsonl", 1, 3};  // behind those of the start
  const ProgramResult result = run_softmax(run);
  full_disk = {};
  check_succeeds(result);
  const std::string log = folder / "log/metrics.jsonl";
  CHECK(result.err == fmt::format("softmax: warning: {}: cannot rename a temporary file to it: No space left on "
                                  "device; training goes on without logs until they can be written again\n",
                                  log));
  CHECK(lines_of(read_text(log)).size() == 4);
  full_disk = {"/metrics.jsonl", 0, 1};
  check_fails(run, 1, {"metrics.jsonl", "No space left"});
  full_disk = {};
}

TEST_CASE("a run that fails says how to go on from its checkpoint, where there is one") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 10);
  const std::string reference = trained(folder, {});
  const std::string checkpoint = folder / "checkpoint";
  const Arguments run{"train", "--data", folder.path(), "--checkpoint", checkpoint};
  full_disk = {"/checkpoint.safetensors", 0, 1};
  check_fails(run, 1, {"checkpoint.safetensors", "No space left"});
  full_disk = {"/checkpoint.safetensors", 1, 2};
  const ProgramResult failed = run_softmax(run);
  full_disk = {};
  CHECK(failed.status == 1);
  const std::string way_on = "/checkpoint.safetensors is intact: the same command with --resume goes on from there\n";
  CHECK(failed.err.ends_with("No space left on device\n" + checkpoint + way_on));
  CHECK(trained(folder, {"--checkpoint", checkpoint, "--resume"}) == reference);
}

/// A recipe with everything that has a state or draws random numbers.
const Arguments rich{"--set", "train.optimizer=adamw(lr = 0.01)",
                     "--set", "train.schedule=cosine",
                     "--set", "train.warmup=0.5",
                     "--set", "train.clip_grad_norm=1",
                     "--set", "train.augment=(flip, crop(pad = 2), color(brightness = 0.2, contrast = 0.2))",
                     "--set", "train.validation=0.25",
                     "--set", "train.early_stop=50"};

TEST_CASE("a run with Adam, a schedule, augmentation and validation is continued bit for bit") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 400, 10);
  const Arguments recipe = with(rich, {"--epochs", "3", "--set", "train.batch=9"});
  const std::string checkpoint = folder / "checkpoint";
  const Arguments saved{"--checkpoint", checkpoint, "--resume", "--checkpoint-seconds", "0"};
  const std::string reference = trained(folder, with(recipe, {"--log", folder / "log", "--threads", "1"}));
  const std::string best = read_text(folder / "log/best.safetensors");
  CHECK(trained(folder, with(recipe, {"--threads", "2"})) == reference);
  for (const int save : {1, 2, 5, 20, 60}) CHECK(ended_at(save, folder, with(recipe, saved)));
  CHECK(trained(folder, with(recipe, saved)) == reference);
  CHECK(read_text(folder / "checkpoint/best.safetensors") == best);
  // The schedule would change with the number of epochs, augmentation with its settings.
  const Arguments run = with({"train", "--data", folder.path()}, saved);
  check_fails(with(run, with(rich, {"--epochs", "4", "--set", "train.batch=9"})), 1,
              {"schedule.t_max", "expected 4", "found 3"});
  check_fails(with(run, with(recipe, {"--set", "train.augment=flip"})), 1, {"augment.crop.pad", "expected nothing"});
  check_fails(with(run, with(recipe, {"--set", "train.optimizer=adam"})), 1, {"optimizer", "adam", "adamw"});
}

TEST_CASE("checkpoints of another version are refused") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 40, 10);
  const std::string checkpoint = folder / "checkpoint";
  trained(folder, {"--epochs", "1", "--checkpoint", checkpoint});
  std::string text = read_text(folder / "checkpoint/checkpoint.safetensors");
  const std::string now = R"(\"version\":3)";
  REQUIRE(text.find(now) != std::string::npos);
  write_text(folder / "checkpoint/checkpoint.safetensors",
             text.replace(text.find(now), now.size(), R"(\"version\":1)"));
  check_fails({"train", "--data", folder.path(), "--checkpoint", checkpoint, "--resume"}, 1,
              {"checkpoint.safetensors", "version", "expected 3", "found 1", "begin the run anew"});
}

TEST_CASE("a checkpoint with impossible counters is refused") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 40, 10);
  const std::string checkpoint = folder / "checkpoint";
  trained(folder, {"--epochs", "1", "--checkpoint", checkpoint});
  const std::string file = folder / "checkpoint/checkpoint.safetensors";
  const std::string text = read_text(file);
  // Of the same length, so that the header still fits.
  const std::pair<std::string, std::string> changes[] = {{R"("next_batch\":0)", R"("next_batch\":7)"},
                                                         {R"("correct\":0)", R"("correct\":1)"},
                                                         {R"("epoch\":1)", R"("epoch\":3)"}};
  for (const auto& change : changes) {
    const auto& from = change.first;
    CAPTURE(from);
    std::string changed = text;
    REQUIRE(text.find(from) != std::string::npos);
    write_text(file, changed.replace(text.find(from), from.size(), change.second));
    check_fails({"train", "--data", folder.path(), "--checkpoint", checkpoint, "--resume"}, 1,
                {"checkpoint.safetensors", "not a checkpoint", "counters"});
  }
}

TEST_CASE("validation is printed, logged and plotted, and chooses the best weights") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 200, 20);
  const std::string log = folder / "log";
  const ProgramResult result = run_softmax({"train", "--data", folder.path(), "--log", log, "--set",
                                            "train.validation=40", "--set", "train.lr=0.002", "--epochs", "4"});
  check_succeeds(result);
  const std::vector<std::string> lines = lines_of(result.out);
  REQUIRE(lines.size() == 6);
  CHECK(form_of(lines[0]).starts_with("epoch 9/9: loss 9.999, train acc 9.999, val loss 9.999, val acc 9.999, "));
  CHECK(form_of(lines[4]).starts_with("best: epoch 9, val acc 9.999, "));
  CHECK(lines[4].ends_with("log/best.safetensors"));
  std::vector<nlohmann::json> epochs;
  for (const std::string& line : lines_of(read_text(folder / "log/metrics.jsonl"))) {
    epochs.push_back(nlohmann::json::parse(line));
  }
  REQUIRE(epochs.size() == 4);
  const auto better = [](const auto& a, const auto& b) { return a["validation_accuracy"] < b["validation_accuracy"]; };
  const auto best = *std::max_element(epochs.begin(), epochs.end(), better);
  CHECK(lines[4].starts_with(fmt::format("best: epoch {},", best["epoch"].get<int>())));
  CHECK(epochs[3]["validation_loss"] < epochs[0]["validation_loss"]);
  CHECK(lines_of(read_text(folder / "log/curves.csv"))[0].find("validation_loss") != std::string::npos);
  CHECK(read_text(folder / "log/curves.svg").find(">validation ") != std::string::npos);
  const ProgramResult eval =
      run_softmax({"eval", "--weights", folder / "log/best.safetensors", "--data", folder.path()});
  CHECK(eval.out.find(fmt::format("test loss {:.3f}", best["test_loss"].get<double>())) != std::string::npos);
}

TEST_CASE("a run stops early when the validation loss no longer falls") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 100, 20);
  // At so high a rate the loss goes up and down.
  const ProgramResult result =
      run_softmax({"train", "--data", folder.path(), "--set", "train.validation=0.3", "--set", "train.lr=50", "--set",
                   "train.early_stop=2", "--epochs", "60", "--log", folder / "log"});
  check_succeeds(result);
  const std::vector<std::string> lines = lines_of(result.out);
  REQUIRE(lines.size() > 3);
  REQUIRE(lines.size() < 60);
  CHECK(lines[lines.size() - 3] == "stopped early: the validation loss has not fallen for 2 epochs");
  std::vector<double> losses;
  for (const std::string& line : lines_of(read_text(folder / "log/metrics.jsonl"))) {
    losses.push_back(nlohmann::json::parse(line)["validation_loss"]);
  }
  REQUIRE(losses.size() >= 3);
  CHECK(losses.end() - std::min_element(losses.begin(), losses.end()) == 3);
}

TEST_CASE("models of larger images get them resized") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 40, 10);
  const ProgramResult result = run_softmax({"train", "--data", folder.path(), "--epochs", "1"}, 32);
  check_succeeds(result);
}

TEST_CASE("bench prints its figures") {
  for (const std::string mode : {"train", "infer"}) {
    const Arguments arguments{"bench", "--mode", mode, "--batch", "4", "--threads", "2", "--seconds", "0.05"};
    Arguments json = arguments;
    json.push_back("--json");
    const ProgramResult result = run_softmax(json);
    check_succeeds(result);
    const auto figures = nlohmann::json::parse(result.out);
    CHECK(figures["model"] == "softmax");
    CHECK(figures["mode"] == mode);
    CHECK(figures["batch"] == 4);
    CHECK(figures["threads"] == 2);
    CHECK(figures["best_ms"] <= figures["median_ms"]);
    CHECK(figures["examples_per_second"].get<double>() ==
          doctest::Approx(4000 / figures["median_ms"].get<double>()).epsilon(1e-6));
    CHECK(figures["peak_bytes"] > 7850 * 4 * (mode == "train" ? 3 : 1));
    CHECK(figures["process_peak_bytes"] > 1'000'000);
    check_succeeds(run_softmax(arguments));
  }
}

/// The softmax model without `loss` and `train`.
Description without_loss() {
  Description description = test::softmax_description();
  description.labels.clear();
  description.recipe = {};
  return description;
}

TEST_CASE("a model without a loss is timed as it infers, and says why it cannot be trained") {
  const Description description = without_loss();
  const ProgramResult result = run_softmax({"bench", "--batch", "4", "--seconds", "0.01"}, description);
  check_succeeds(result);
  CHECK(result.out.starts_with("softmax: infer, batch 4, "));
  for (const char* command : {"bench", "profile"}) {
    check_fails({command, "--mode", "train"}, 2, {"it has no `loss`: --mode infer"}, description);
  }
  check_fails({"train"}, 2, {"softmax has no `train` clause with data"}, description);
  check_fails({"eval", "--weights", "/nowhere/w"}, 2, {"softmax has no `train` clause with data"}, description);
}

/// Weights, an image and labels on disk, and the network that they belong to.
struct RunFiles {
  TemporaryFolder folder;
  std::unique_ptr<Network> network = test::make_softmax(test::softmax_description());
  Tensor<float> images{Extents{2, 1, 28, 28}};
  Tensor<std::int32_t> labels{Extents{2}, {3, 7}};
  std::string weights = folder / "w.safetensors";
  std::string x = folder / "x.npy";
  std::string y = folder / "y.npy";

  RunFiles() {
    RandomStream random(1, "x");
    std::generate_n(images.data(), images.size(), [&] { return random.uniform(0, 1); });
    network->initialize(3);
    network->save(weights);
    write_npy(x, images.view());
    // What NumPy writes for np.array([3, 7]).
    std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
    header.resize(117, ' ');
    write_text(y, "\x93NUMPY" + std::string("\x01\0\x76\0", 4) + header + "\n" +
                      std::string("\3\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0", 16));
  }
  float backward() {
    const AnyView image = images.view();
    const AnyView label = labels.view();
    return network->backward({&image, 1}, {&label, 1});
  }
};

TEST_CASE("run computes outputs and losses in evaluation mode") {
  const RunFiles files;
  const std::string output = files.folder / "o.npy";
  const ProgramResult result =
      run_softmax({"run", "--weights", files.weights, "--input", "image=" + files.x, "--output", output});
  check_succeeds(result);
  CHECK(result.out.empty());
  const AnyView image = files.images.view();
  CHECK(read_npy(output).view<float>().to_vector() == files.network->forward({&image, 1}).to_vector());
  const AnyView label = files.labels.view();
  const float loss = files.network->evaluate_loss({&image, 1}, {&label, 1});
  const ProgramResult with_label = run_softmax(
      {"run", "--weights", files.weights, "--input", files.x, "--label", files.y, "--output", "logits=" + output});
  CHECK(with_label.out == fmt::format("loss: {:.9g}\n", loss));
}

TEST_CASE("run computes gradients without an update") {
  RunFiles files;
  const std::string gradients = files.folder / "g.safetensors";
  const std::string after = files.folder / "after.safetensors";
  const ProgramResult result = run_softmax({"run", "--weights", files.weights, "--input", files.x, "--label", files.y,
                                            "--mode", "train", "--gradients", gradients, "--save", after});
  check_succeeds(result);
  files.network->set_seed(1);
  CHECK(result.out == fmt::format("loss: {:.9g}\n", files.backward()));
  const SafetensorsReader file(gradients);
  CHECK(file.tensors().size() == 3);
  Tensor<float> weight({10, 784});
  file.copy_to(weight.view(), "out.weight");
  CHECK(weight.view().to_vector() == files.network->gradient("out.weight").to_vector());
  Tensor<float> input({2, 1, 28, 28});
  file.copy_to(input.view(), "input.image");
  CHECK(input.view().to_vector() == files.network->input_gradient(0).to_vector());
  SafetensorsReader(after).copy_to(weight.view(), "out.weight");
  CHECK(weight.view().to_vector() == files.network->parameter("out.weight").to_vector());
}

TEST_CASE("run makes optimizer steps and saves what comes out") {
  RunFiles files;
  const std::string after = files.folder / "after.safetensors";
  const std::string gradients = files.folder / "g.safetensors";
  const ProgramResult result =
      run_softmax({"run", "--weights", files.weights, "--input", files.x, "--label", files.y, "--steps", "3", "--set",
                   "train.lr=0.01", "--save", after, "--gradients", gradients});
  check_succeeds(result);
  Recipe recipe = test::softmax_description().recipe;
  recipe.optimizer.lr = 0.01;
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe);
  files.network->set_seed(1);
  std::string expected;
  std::vector<float> last_input_gradient;
  for (int step = 0; step < 3; ++step) {
    expected += fmt::format("loss: {:.9g}\n", files.backward());
    last_input_gradient = files.network->input_gradient(0).to_vector();
    optimizer->step(files.network->parameters_flat(), files.network->gradients_flat());
  }
  CHECK(result.out == expected);
  Tensor<float> weight({10, 784});
  SafetensorsReader(after).copy_to(weight.view(), "out.weight");
  CHECK(weight.view().to_vector() == files.network->parameter("out.weight").to_vector());
  Tensor<float> input({2, 1, 28, 28});
  SafetensorsReader(gradients).copy_to(input.view(), "input.image");
  CHECK(input.view().to_vector() == last_input_gradient);
}

TEST_CASE("help is to be had everywhere") {
  const ProgramResult all = run_softmax({"--help"});
  CHECK(all.status == 0);
  for (const std::string command : {"train", "eval", "bench", "profile", "run"}) {
    CHECK(all.out.find(command) != std::string::npos);
    const ProgramResult help = run_softmax({command, "--help"});
    CHECK(help.status == 0);
    CHECK(help.out.find("--threads") != std::string::npos);
    CHECK(help.out.find("--pin") != std::string::npos);
  }
  CHECK(run_softmax({"profile", "--help"}).out.find("may exceed 100 %") != std::string::npos);
}

TEST_CASE("wrong usage is one line and status 2") {
  check_fails({}, 2, {"subcommand"});
  check_fails({"trian"}, 2, {"no command 'trian'", "did you mean 'train'?"});
  check_fails({"train", "--frobnicate"}, 2, {"--frobnicate"});
  check_fails({"train", "--epochs", "many"}, 2, {"--epochs", "many"});
  check_fails({"train", "--epochs", "0"}, 2, {"epochs must be from 1", "found 0"});
  check_fails({"train", "--limit", "-3"}, 2, {"--limit: must be above 0, found -3 ("});
  check_fails({"train", "--limit", "many"}, 2, {"--limit", "many"});
  check_fails({"train", "--checkpoint-seconds", "-1"}, 2, {"--checkpoint-seconds: must be at least 0, found -1 ("});
  check_fails({"bench", "--seconds", "-1"}, 2, {"--seconds: must be above 0, found -1 ("});
  check_fails({"bench", "--seconds", "nan"}, 2, {"--seconds: must be above 0, found nan ("});
  check_fails({"bench", "--seconds", "inf"}, 2, {"--seconds: must be finite, found inf ("});
  check_fails({"run", "--steps", "0"}, 2, {"--steps: must be above 0, found 0 ("});
  check_fails({"eval", "--limit", "0"}, 2, {"--limit: must be above 0, found 0 ("});
  check_fails({"train", "--device", "tpu"}, 2, {"--device", "tpu"});
  check_fails({"train", "--resume"}, 2, {"--resume", "--checkpoint"});
  check_fails({"train", "--set", "train.momentun=0.9"}, 2, {"train.momentun", "did you mean `momentum`?"});
  check_fails({"train", "--set", "train.batch=1.5"}, 2, {"train.batch=1.5", "batch must be an int", "1.5"});
  check_fails({"train", "--set", "train.nesterov=yes"}, 2, {"true or false"});
  check_fails({"train", "--set", "train.lr"}, 2, {"train.SETTING=VALUE"});
  check_fails({"train", "--set", "train.lr=-1"}, 2, {"sgd: lr must be at least 0, found -1"});
  check_fails({"train", "--set", "train.lr=nan"}, 2, {"sgd: lr must be a number, found `nan`"});
  check_fails({"bench", "--mode", "fast"}, 2, {"--mode", "fast"});
  check_fails({"bench", "--batch", "0"}, 2, {"--batch"});
  check_fails({"eval"}, 2, {"--weights"});
}

TEST_CASE("more threads than processors: a warning, and an error where each is to have its own") {
  const std::string available = std::to_string(processors());
  const std::string wanted = std::to_string(processors() + 1);
  const Arguments bench{"bench", "--batch", "4", "--seconds", "0.01", "--threads"};
  CHECK(run_softmax(with(bench, {available})).err.empty());
  const ProgramResult warned = run_softmax(with(bench, {wanted}));
  CHECK(warned.status == 0);
  CHECK(warned.out.find(wanted + " threads") != std::string::npos);
  CHECK(warned.err ==
        fmt::format("softmax: warning: --threads {0}: this process may use {1} processors, so that threads "
                    "take turns; --threads {1} is faster\n",
                    wanted, available));
  check_fails(with(bench, {wanted, "--pin"}), 2, {wanted + " threads cannot be pinned to " + available});
  check_fails(with(bench, {"1025"}), 2, {"--threads", "1025", "1024"});
  CHECK(run_softmax(with(bench, {available, "--pin"})).err.empty());
  CHECK(run_softmax(with(bench, {"0"})).err.empty());
}

TEST_CASE("every mistake in a setting has its own line") {
  const auto fails = [](const std::string& assignment, const std::vector<std::string>& texts) {
    CAPTURE(assignment);
    check_fails({"train", "--set", assignment}, 2, texts);
  };
  fails("seed=1", {"expected train.SETTING=VALUE"});
  fails("train.schedul=step(3)", {"no setting `schedul`", "did you mean `schedule`?"});
  fails("train.optimizer=adm", {"`adm` is no optimizer", "did you mean `adam`?"});
  fails("train.optimizer=3", {"takes a name such as `adamw`", "the int 3"});
  fails("train.optimizer.betas=(0.9, 0.99)", {"sgd has no argument `betas`", "sgd takes lr, momentum"});
  fails("train.optimizer=adam(betas = 0.9)", {"a pair of numbers", "the float 0.9"});
  fails("train.optimizer=adam(betas = (0.9, 1))", {"adam: betas must be at least 0 and below 1, found 1"});
  fails("train.optimizer=adam(0.1, lr = 0.1)", {"`lr` is given twice"});
  fails("train.optimizer=sgd(1, 0, 0, true, 3)", {"at most 4 arguments, 5 given"});
  fails("train.optimizer=sgd(lr = 1, 3)", {"positional argument after a named one"});
  fails("train.optimizer=sgd(lr = 0.1", {"expected ',' or ')', found the end"});
  fails("train.optimizer=sgd)", {"expected the end, found ')'"});
  fails("train.optimizer=", {"expected a value"});
  fails("train.optimizer=((((((((((1))))))))))", {"nests too deep"});
  fails("train.schedule=step", {"missing argument `step_size`"});
  fails("train.schedule=step(step_size = 0)", {"step: step_size must be from 1"});
  fails("train.schedule=cosine(eta_min = 1)", {"the lowest rate, 1, is above the learning rate, 0.05"});
  fails("train.warmup=4", {"the warm-up of 4 epochs is longer than the training of 3"});
  fails("train.warmup_start_factor=0", {"above 0 and at most 1"});
  fails("train.clip_grad_norm=true", {"must be a number, found the bool true"});
  fails("train.augment=(flip, flp)", {"`flp` is no augment", "did you mean `flip`?"});
  fails("train.augment=(flip, flip)", {"`flip` is given twice"});
  fails("train.augment=crop(pad = 28)", {"as large as the image of 28 x 28"});
  fails("train.augment.pad=3", {"`augment` is set as a whole"});
  fails("train.validation=0.5.5", {"`0.5.5`"});
  fails("train.validation=2.5", {"neither a share below 1 nor a whole number"});
  fails("train.validation=60000", {"none is left"});
  fails("train.early_stop=3", {"early_stop", "validation = 0.1"});
  fails("train.optimizer=sgd(nesterov = true)", {"nesterov needs a momentum", "momentum = 0.9"});
}

TEST_CASE("wrong input is one line and status 1") {
  const RunFiles files;
  const auto with_input = [&](const Arguments& more) {
    return with({"run", "--weights", files.weights, "--input", files.x}, more);
  };
  check_fails({"train", "--device", "cuda"}, 1, {"--device cuda", "--device cpu"});
  check_fails({"train", "--data", "/nowhere"}, 1, {"/nowhere/train-images", "apt-get install dataset-fashion-mnist"});
  check_fails({"eval", "--weights", "/nowhere/w"}, 1, {"/nowhere/w", "No such file"});
  check_fails({"eval", "--weights", files.x}, 1, {"x.npy", "not a safetensors file"});
  check_fails({"run", "--weights", files.weights, "--input", files.y}, 1, {"y.npy", "expected float32", "found int64"});
  check_fails({"run", "--weights", files.weights, "--input", "imgae=" + files.x}, 2, {"did you mean 'image'?"});
  check_fails(with_input({"--input", files.x}), 2, {"image", "twice"});
  check_fails(with_input({"--label", files.x}), 1, {"x.npy", "int64", "found float32"});
  check_fails(with_input({"--steps", "2"}), 2, {"--label"});
  check_fails(with_input({"--label", files.y, "--mode", "eval", "--gradients", "g"}), 2, {"--gradients", "train"});
  check_fails(with_input({"--output", "/nowhere/o.npy"}), 1, {"/nowhere/o.npy", "No such file"});
  check_fails(with_input({"--save", "/dev/full"}), 1, {"/dev/full", "No space left"});
  check_fails(with_input({"--output", "/proc/o.npy"}), 1, {"/proc/o.npy"});
}

TEST_CASE("what cannot be written is found out before training") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 20, 5);
  for (const char* option : {"--log", "--checkpoint", "--save"}) {
    const ProgramResult result = run_softmax({"train", "--data", folder.path(), option, "/proc/nowhere"});
    CHECK(result.status == 1);
    CHECK(result.err.find("/proc/nowhere") != std::string::npos);
    CHECK(result.out.empty());
  }
}

TEST_CASE("a checkpoint folder that cannot be searched is wrong input") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 20, 5);
  // The folder's path is just short enough, its file's is too long.
  std::string longest = folder.path();
  while (longest.size() < 4080) longest += "/.";
  check_fails({"train", "--data", folder.path(), "--checkpoint", longest}, 1,
              {"checkpoint.safetensors: cannot look for it: File name too long"});
}

/// The status of the softmax program where standard output and standard error are these files.
int status_of(Arguments texts, const char* out, const char* err) {
  const pid_t child = fork();
  if (child == 0) {
    texts.insert(texts.begin(), "softmax");
    std::vector<char*> argv;
    for (std::string& text : texts) argv.push_back(text.data());
    const Description& description = test::softmax_description();
    std::freopen(out, "w", stdout);
    std::freopen(err, "w", stderr);
    _exit(program(static_cast<int>(argv.size()), argv.data(), description,
                  [&] { return test::make_softmax(description); }));
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("a full standard output is an error, a full standard error is none") {
  const TemporaryFolder folder;
  write_small_data(folder.path(), 20, 5);
  const RunFiles files;
  const Arguments train{"train", "--data", folder.path(), "--checkpoint", folder / "checkpoint", "--resume"};
  const Arguments run{"run", "--weights", files.weights, "--input", files.x, "--label", files.y};
  CHECK(status_of({"bench", "--seconds", "0.01"}, "/dev/full", "/dev/null") == 1);
  CHECK(status_of(run, "/dev/full", "/dev/null") == 1);
  CHECK(status_of(train, "/dev/null", "/dev/full") == 0);
  CHECK(status_of({"trian"}, "/dev/null", "/dev/full") == 2);
}

TEST_CASE("the picture draws every case") {
  std::vector<EpochMetrics> epochs;
  CHECK(plot_curves("m", epochs, {}).find("no epoch") != std::string::npos);
  epochs.push_back({1, 2.3, 0.1, 2.3, 0.1, 100, 1});
  CHECK(plot_curves("m", epochs, {}).find("1 epoch,") != std::string::npos);
  for (int i = 2; i <= 200; ++i) epochs.push_back({i, 2.0 / i, 0.9, 2.1 / i, 0.9, 100, 1});
  epochs[50].loss = std::nan("");
  CHECK(plot_curves("m", epochs, {}).find("validation") == std::string::npos);
  for (EpochMetrics& epoch : epochs) epoch.validation = Scores{1.5, 0.8};
  epochs[60].validation.reset();
  const std::vector<CurvePoint> points{{0.5, {2.3, 0.1}}, {1, {std::nan(""), 0.2}}, {200, {0.01, 0.9}}};
  const std::string svg = plot_curves("m", epochs, points);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  CHECK(svg.find("test 0.900") != std::string::npos);
  CHECK(svg.find("validation 0.800") != std::string::npos);
}

TEST_CASE("the best epoch and the patience of an early stop") {
  const double none = std::nan("");
  std::vector<EpochMetrics> epochs{{.loss = none}};
  CHECK(!best_epoch(epochs));
  for (double loss : {3.0, 2.0, 2.0, none, 2.5}) epochs.push_back({.loss = loss});
  CHECK(best_epoch(epochs) == 2);
  CHECK(epochs_since_lowest(epochs) == 6);  // there is no validation
  const double losses[] = {none, 1, 0.5, 0.5, 0.7, none};
  for (std::size_t i = 0; i < epochs.size(); ++i) epochs[i].validation = Scores{losses[i], i == 4 ? 0.9 : 0.8};
  CHECK(best_epoch(epochs) == 4);
  CHECK(epochs_since_lowest(epochs) == 3);
  const std::vector<EpochMetrics> read = epochs_from_json(to_json(epochs));
  CHECK(best_epoch(read) == 4);
  CHECK(epochs_since_lowest(read) == 3);
}

TEST_CASE("accuracy counts the first of equal largest outputs") {
  const Tensor<float> output({3, 2}, {1, 1, 0, 2, 3, 0});
  const std::vector<std::int32_t> labels{0, 1, 1};
  CHECK(count_correct(output.view(), labels) == 2);
}

TEST_CASE("accuracy takes a row of outputs a label") {
  const Tensor<float> output({3, 2});
  const std::vector<std::int32_t> labels{0, 1};
  test::check_error(ErrorKind::mismatch, {"2 labels", "outputs [3,2]"}, [&] { count_correct(output.view(), labels); });
}

}  // namespace
}  // namespace netc
