// Optimizers, clipping and learning rates against PyTorch's figures.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "netc/cuda_steps.h"
#include "netc/optimizer.h"
#include "netc/random.h"
#include "netc/safetensors.h"
#include "netc/schedule.h"
#include "netc/thread_pool.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;

constexpr int elements = 9;

std::vector<float> read(const SafetensorsReader& file, const char* name, Extents shape) {
  Tensor<float> tensor(shape);
  file.copy_to(tensor.view(), name);
  return tensor.view().to_vector();
}

/// After as many steps as there are gradients.
void check_steps(const char* vectors, const char* name, const Recipe& recipe) {
  const SafetensorsReader file(test::vectors() / vectors);
  const std::int64_t steps = file.tensors().at("gradients").shape[0];
  std::vector<float> parameters = read(file, "start", {elements});
  const std::vector<float> gradients = read(file, "gradients", {steps, elements});
  const std::vector<float> expected = read(file, name, {elements});
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe);
  for (std::int64_t step = 0; step < steps; ++step) {
    optimizer->step(parameters, std::span(gradients).subspan(static_cast<std::size_t>(step * elements), elements));
  }
  CAPTURE(name);
  for (std::size_t i = 0; i < elements; ++i) CHECK(parameters[i] == doctest::Approx(expected[i]).epsilon(2e-6));
}

void check_sgd(const char* name, const OptimizerRecipe& recipe) {
  check_steps("sgd.safetensors", name, {.optimizer = recipe});
}

void check_adam(const char* name, const OptimizerRecipe& recipe) {
  check_steps("adam.safetensors", name, {.optimizer = recipe});
}

TEST_CASE("sgd: three steps give PyTorch's parameters") {
  check_sgd("plain", {"sgd", 0.1, 0, 0, false});
  check_sgd("decay", {"sgd", 0.1, 0, 0.01, false});
  check_sgd("momentum", {"sgd", 0.05, 0.9, 0.001, false});
  check_sgd("nesterov", {"sgd", 0.05, 0.9, 0, true});
}

TEST_CASE("adam and adamw: six steps give PyTorch's parameters") {
  check_adam("adam", {.name = "adam", .lr = 0.01});
  check_adam("adam_decay", {.name = "adam", .lr = 0.01, .weight_decay = 0.1, .betas = {0.8, 0.99}, .eps = 1e-3});
  check_adam("adamw", {.name = "adamw", .lr = 0.02, .weight_decay = 0.01});
  check_adam("adamw_decay", {.name = "adamw", .lr = 0.02, .weight_decay = 0.3, .betas = {0.5, 0.9}});
}

TEST_CASE("clipped gradients give PyTorch's parameters") {
  const OptimizerRecipe momentum{.lr = 0.1, .momentum = 0.9};
  check_steps("adam.safetensors", "clip_norm", {.optimizer = momentum, .clip_grad_norm = 1.5});
  check_steps("adam.safetensors", "clip_value", {.optimizer = {.lr = 0.1}, .clip_grad_value = 0.5});
  const OptimizerRecipe adam{.name = "adam", .lr = 0.1, .eps = 0.1};
  check_steps("adam.safetensors", "clip_both", {.optimizer = adam, .clip_grad_norm = 0.8, .clip_grad_value = 0.5});
}

TEST_CASE("the norm of many gradients, and its clipping, are the same bits for any number of threads") {
  RandomStream random(1, "gradients");
  std::vector<float> gradients(300'001);
  for (float& g : gradients) g = static_cast<float>(random.normal());
  const auto parameters_after = [&](int threads) {
    set_threads(threads);
    std::vector<float> parameters(gradients.size(), 1);
    const auto optimizer = make_optimizer(Recipe{.optimizer = {.name = "adamw", .eps = 1}, .clip_grad_norm = 2});
    for (int step = 0; step < 3; ++step) optimizer->step(parameters, gradients);
    return parameters;
  };
  const std::vector<float> reference = parameters_after(1);
  CHECK(parameters_after(2) == reference);
  CHECK(parameters_after(7) == reference);
  set_threads(0);
}

TEST_CASE("a gradient that is no number is not hidden by clipping") {
  std::vector<float> parameters{1, 1};
  const std::vector<float> gradients{0, std::numeric_limits<float>::quiet_NaN()};
  const auto optimizer = make_optimizer(Recipe{.optimizer = {.lr = 1}, .clip_grad_norm = 1});
  optimizer->step(parameters, gradients);
  CHECK(std::isnan(parameters[0]));
  CHECK(std::isnan(parameters[1]));
}

/// `count` rates of `recipe` against PyTorch's, one a step.
void check_rates(const char* name, const Recipe& recipe, std::int64_t count, std::int64_t steps_per_epoch) {
  const std::vector<float> expected = read(SafetensorsReader(test::vectors() / "schedule.safetensors"), name, {count});
  CAPTURE(name);
  for (std::int64_t i = 0; i < count; ++i) {
    CHECK(learning_rate(recipe, i, steps_per_epoch) ==
          doctest::Approx(expected[static_cast<std::size_t>(i)]).epsilon(1e-6));
  }
}

TEST_CASE("schedules give PyTorch's learning rates") {
  const OptimizerRecipe sgd{.lr = 0.4};
  check_rates("step", {.optimizer = sgd, .schedule = {.name = "step", .step_size = 3, .gamma = 0.5}}, 12, 1);
  check_rates("cosine", {.optimizer = sgd, .schedule = {.name = "cosine", .t_max = 10, .eta_min = 0.05}}, 12, 1);
  check_rates("warmup", {.optimizer = sgd, .warmup = 1}, 12, 7);
  // All epochs behind the warm-up: 7.
  const ScheduleRecipe cosine{.name = "cosine", .eta_min = 0.01};
  check_rates("warmup_cosine",
              {.epochs = 10, .optimizer = sgd, .schedule = cosine, .warmup = 3, .warmup_start_factor = 0.25}, 10, 1);
}

TEST_CASE("a schedule stays for an epoch, a warm-up moves every step") {
  const Recipe recipe{.epochs = 4, .optimizer = {.lr = 1}, .schedule = {.name = "step", .step_size = 1}, .warmup = 0.5};
  CHECK(learning_rate(recipe, 0, 10) == doctest::Approx(1.0 / 3));
  CHECK(learning_rate(recipe, 4, 10) == doctest::Approx(1 - 2.0 / 15));
  for (std::int64_t step = 5; step < 15; ++step) CHECK(learning_rate(recipe, step, 10) == 1);
  CHECK(learning_rate(recipe, 15, 10) == doctest::Approx(0.1));
  CHECK(cosine_epochs({.epochs = 10, .warmup = 2.5}) == 8);
  CHECK(cosine_epochs({.epochs = 10, .warmup = 10}) == 1);
  CHECK(learning_rate({.optimizer = {.lr = 3}}, 1000, 10) == 3);
}

TEST_CASE("long arrays are updated everywhere") {
  std::vector<float> parameters(100'001, 1.0f);
  const std::vector<float> gradients(100'001, 2.0f);
  Sgd(0.25).step(parameters, gradients);
  CHECK(parameters == std::vector<float>(100'001, 0.5f));
}

/// A step, then another of the same optimizer and of a new one that takes over its state.
void check_continued(const OptimizerRecipe& recipe, const std::vector<std::string>& names) {
  const std::vector<float> gradients{1, -2, 3};
  std::vector<float> a{1, 2, 3};
  const auto first = make_optimizer(recipe);
  first->step(a, gradients);
  std::vector<float> b = a;
  const auto second = make_optimizer(recipe);
  const auto from = first->state(3);
  const auto to = second->state(3);
  REQUIRE(from.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(from[i].first == names[i]);
    std::copy(from[i].second.begin(), from[i].second.end(), to[i].second.begin());
  }
  first->step(a, gradients);
  second->step(b, gradients);
  CHECK(a == b);
}

TEST_CASE("the state continues a run bit for bit") {
  check_continued({.name = "sgd", .lr = 0.1, .momentum = 0.9}, {"velocity"});
  check_continued({.name = "adam"}, {"exp_avg", "exp_avg_sq", "step"});
  check_continued({.name = "adamw", .weight_decay = 0.1}, {"exp_avg", "exp_avg_sq", "step"});
  CHECK(Sgd(0.1).state(3).empty());
  CHECK(state_arrays({.name = "sgd"}) == 0);
  CHECK(state_arrays({.name = "sgd", .momentum = 0.9}) == 1);
  CHECK(state_arrays({.name = "adam"}) == 2);
}

TEST_CASE("a step counts when it is taken, not when its calls are made") {
  std::vector<float> parameters{1, 2, 3};
  const std::vector<float> gradients{1, -2, 3};
  Adam adam(0.1);
  adam.prepare(3, Device::cpu);
  const auto next = [&] { return adam.next_calls(parameters, gradients).at(0).numbers; };
  const auto first = next();
  CHECK(next() == first);
  CHECK(adam.state(3)[2].second[0] == 0);
  adam.count_step();
  CHECK(next() != first);
  adam.step(parameters, gradients);
  CHECK(adam.state(3)[2].second[0] == 2);
}

TEST_CASE("wrong calls are refused") {
  std::vector<float> parameters(3);
  const std::vector<float> gradients(2);
  check_error(ErrorKind::usage, {"expected 3", "found 2"}, [&] { Sgd(0.1).step(parameters, gradients); });
  check_error(ErrorKind::usage, {"nesterov", "momentum"}, [] { Sgd(0.1, 0, 0, true); });
  check_error(ErrorKind::usage, {"adagrad", "sgd"}, [] { make_optimizer(OptimizerRecipe{.name = "adagrad"}); });
}

}  // namespace
}  // namespace netc
