#include "netc/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "netc/random.h"

namespace netc {

namespace {

using Clock = std::chrono::steady_clock;

AnyTensor random_tensor(const TensorSpec& spec, std::int64_t batch) {
  std::vector<std::int64_t> extents = spec.shape;
  std::replace_if(
      extents.begin(), extents.end(), [](std::int64_t extent) { return extent < 0; }, batch);
  const Extents shape(extents);
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

void add(std::vector<AnyTensor>& tensors, std::vector<AnyView>& views, const TensorSpec& spec, std::int64_t batch) {
  tensors.push_back(random_tensor(spec, batch));
  views.push_back(tensors.back().view());
}

/// Labels are random: at the model's own rate the weights could leave all bounds during a long measurement.
OptimizerRecipe slow(const Model& model) {
  OptimizerRecipe recipe = model.description.recipe.optimizer;
  recipe.lr = std::min(recipe.lr, 1e-3);
  return recipe;
}

/// Whether steps are to be training steps. Throws Error (usage) where the model cannot be trained.
bool trains(const Model& model, const WorkloadOptions& options) {
  if (options.mode != "train") return false;
  if (!model.description.labels.empty()) return true;
  throw Error(ErrorKind::usage,
              fmt::format("--mode train: {} cannot be trained, it has no `loss`: --mode infer times its forward passes",
                          model.description.name));
}

}  // namespace

Workload::Workload(const Model& model, const WorkloadOptions& options)
    : training_(trains(model, options)),
      network_(model.make(choose_device(options.device, model.description))),
      optimizer_(make_optimizer(slow(model))) {
  use_threads(model, options.threads);
  network_->initialize(model.description.recipe.seed);
  network_->freeze();
  for (const TensorSpec& spec : model.description.inputs) add(inputs_, input_views_, spec, options.batch);
  for (const TensorSpec& spec : model.description.labels) add(labels_, label_views_, spec, options.batch);
}

void Workload::step() {
  if (!training_) {
    network_->forward(input_views_);
    return;
  }
  network_->start_step(input_views_, label_views_, *optimizer_);
  if (network_->steps_under_way() == network_->steps_at_once()) network_->finish_step();
}

double Workload::time(int steps) {
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < steps; ++i) step();
  while (network_->steps_under_way() > 0) network_->finish_step();
  return std::chrono::duration<double>(Clock::now() - start).count() / steps;
}

int Workload::steps_of_block(double seconds) {
  constexpr double share = 0.1, most = 1000;
  if (device() == Device::cpu) return 1;
  return static_cast<int>(std::clamp(share * seconds / time(1), 1.0, most));
}

std::string Workload::place() const {
  return device() == Device::cuda ? "cuda" : fmt::format("{} threads", threads());
}

std::int64_t Workload::bytes() {
  std::int64_t floats = 0;
  if (training_) {
    for (const auto& [name, values] : optimizer_->state(network_->parameters_flat().size())) {
      floats += static_cast<std::int64_t>(values.size());
    }
  }
  return network_->memory_bytes() + scratch_bytes() + floats * static_cast<std::int64_t>(sizeof(float));
}

void add_workload_options(CLI::App& command, const Model& model, WorkloadOptions& options) {
  options.mode = model.description.labels.empty() ? "infer" : "train";
  options.batch = model.description.recipe.batch;
  command.add_option("--mode", options.mode, "what to time")
      ->check(CLI::IsMember({"train", "infer"}))
      ->capture_default_str();
  command.add_option("--batch", options.batch, "examples a step; the recipe's where it is not given")
      ->check(CLI::Range(1, 1 << 24))
      ->type_name("B");
  add_device_option(command, options.device);
  add_thread_options(command, options.threads);
  command.add_option("--seconds", options.seconds, "how long to measure")
      ->check(above_zero())
      ->type_name("S")
      ->capture_default_str();
}

}  // namespace netc
