// The command `bench`: times training steps or forward passes on random data.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "netc/any_tensor.h"
#include "netc/commands.h"
#include "netc/halide_hooks.h"
#include "netc/random.h"

namespace netc {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct BenchOptions {
  std::string mode = "train";
  std::int64_t batch = 0;
  int threads = 0;
  double seconds = 3;
  bool json = false;
};

AnyTensor random_tensor(const TensorSpec& spec, std::int64_t batch) {
  Extents shape(spec.shape);
  for (int i = 0; i < shape.size(); ++i) shape[i] = shape[i] < 0 ? batch : shape[i];
  RandomStream random(0, "bench/" + spec.name);
  const auto fill = [&](auto tensor, auto draw) {
    std::generate_n(tensor.data(), tensor.size(), draw);
    return AnyTensor(std::move(tensor));
  };
  if (spec.type == DType::u8) {
    return fill(Tensor<std::uint8_t>(shape), [&] { return static_cast<std::uint8_t>(random.below(256)); });
  }
  if (spec.type == DType::i32) {
    const auto classes = static_cast<std::uint32_t>(std::max<std::int64_t>(spec.classes, 1));
    return fill(Tensor<std::int32_t>(shape), [&] { return static_cast<std::int32_t>(random.below(classes)); });
  }
  return fill(Tensor<float>(shape), [&] { return random.uniform(0, 1); });
}

/// One model with its data; a call is one step.
class Bench {
 public:
  Bench(const Model& model, const BenchOptions& options)
      : training_(options.mode == "train"), network_(model.make()), optimizer_(make_optimizer(slow(model))) {
    for (const TensorSpec& spec : model.description.inputs) add(inputs_, input_views_, spec, options.batch);
    for (const TensorSpec& spec : model.description.labels) add(labels_, label_views_, spec, options.batch);
  }

  double step_ms() {
    const Clock::time_point start = Clock::now();
    if (training_) {
      network_->train_step(input_views_, label_views_, *optimizer_);
    } else {
      network_->forward(input_views_);
    }
    return Milliseconds(Clock::now() - start).count();
  }

  /// What netc allocated: arenas, optimizer, scratch of kernels.
  std::int64_t bytes() {
    std::int64_t floats = 0;
    if (training_) {
      for (const auto& [name, values] : optimizer_->state(network_->parameters_flat().size())) {
        floats += static_cast<std::int64_t>(values.size());
      }
    }
    return network_->memory_bytes() + halide::scratch_bytes() + floats * static_cast<std::int64_t>(sizeof(float));
  }

 private:
  /// Labels are random: at the model's own rate the weights could leave all bounds during a long measurement.
  static OptimizerRecipe slow(const Model& model) {
    OptimizerRecipe recipe = model.description.recipe.optimizer;
    recipe.lr = std::min(recipe.lr, 1e-3);
    return recipe;
  }

  static void add(std::vector<AnyTensor>& tensors, std::vector<AnyView>& views, const TensorSpec& spec,
                  std::int64_t batch) {
    tensors.push_back(random_tensor(spec, batch));
    views.push_back(tensors.back().view());
  }

  bool training_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<AnyTensor> inputs_;
  std::vector<AnyTensor> labels_;
  std::vector<AnyView> input_views_;
  std::vector<AnyView> label_views_;
};

std::vector<double> measure(Bench& bench, double seconds) {
  constexpr int warm_up = 3;
  constexpr std::size_t least = 5;
  for (int i = 0; i < warm_up; ++i) bench.step_ms();
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  while (times.size() < least || Milliseconds(Clock::now() - start).count() < seconds * 1e3) {
    times.push_back(bench.step_ms());
  }
  std::sort(times.begin(), times.end());
  return times;
}

std::int64_t process_peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

void bench(const Model& model, BenchOptions options) {
  if (options.batch == 0) options.batch = model.description.recipe.batch;
  set_threads(options.threads);
  Bench bench(model, options);
  const std::vector<double> times = measure(bench, options.seconds);
  const double median = times[times.size() / 2];
  const double rate = static_cast<double>(options.batch) / median * 1e3;
  if (!options.json) {
    fmt::print("{}: {}, batch {}, {} threads: best {:.3f} ms, median {:.3f} ms, {:.1f} examples/s, {:.1f} MB\n",
               model.description.name, options.mode, options.batch, threads(), times.front(), median, rate,
               static_cast<double>(bench.bytes()) / 1e6);
    return;
  }
  const nlohmann::ordered_json json{{"model", model.description.name},
                                    {"mode", options.mode},
                                    {"batch", options.batch},
                                    {"threads", threads()},
                                    {"best_ms", times.front()},
                                    {"median_ms", median},
                                    {"examples_per_second", rate},
                                    {"peak_bytes", bench.bytes()},
                                    {"process_peak_bytes", process_peak_bytes()}};
  fmt::print("{}\n", json.dump());
}

}  // namespace

void add_bench_command(CLI::App& app, const Model& model) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand("bench", "Time training steps or forward passes on random data");
  command->add_option("--mode", options->mode, "what to time")
      ->check(CLI::IsMember({"train", "infer"}))
      ->capture_default_str();
  command->add_option("--batch", options->batch, "examples a step; the recipe's where it is not given")
      ->check(CLI::Range(1, 1 << 24))
      ->type_name("B");
  add_threads_option(*command, options->threads);
  command->add_option("--seconds", options->seconds, "how long to measure")
      ->check(CLI::PositiveNumber)
      ->type_name("S")
      ->capture_default_str();
  command->add_flag("--json", options->json, "one JSON object instead of a line of text");
  command->callback([&model, options] { bench(model, *options); });
}

}  // namespace netc
