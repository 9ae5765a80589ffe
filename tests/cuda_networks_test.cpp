// Whole networks on CUDA against the CPU: training steps with every optimizer, evaluation, views, files.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "command_support.h"
#include "emulator.h"
#include "lenet.hpp"
#include "netc/evaluate.h"
#include "netc/random.h"
#include "residual.hpp"
#include "runtime_support.h"

using namespace netc;
using namespace netc::test;

namespace {

double norm(const std::vector<float>& x) {
  double squares = 0;
  for (const float element : x) squares += static_cast<double>(element) * element;
  return std::sqrt(squares);
}

/// Relative to the norm of `y`, but for what is next to nothing: a bias that batchnorm undoes has a gradient of
/// rounding errors alone.
double difference(View<const float> x, View<const float> y) {
  std::vector<float> a = x.to_vector();
  const std::vector<float> b = y.to_vector();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a) / std::max(norm(b), 1e-3);
}

struct Examples {
  Tensor<float> images;
  Tensor<std::int32_t> labels;

  explicit Examples(const Extents& shape, std::uint64_t seed = 1) : images(shape), labels({shape[0]}) {
    RandomStream random(seed, "batch");
    std::generate_n(images.data(), images.size(), [&] { return random.uniform(-1, 1); });
    std::generate_n(labels.data(), labels.size(), [&] { return static_cast<std::int32_t>(random.below(10)); });
  }
};

/// The same network twice.
template <class Model>
struct Twins {
  Model cpu{1, Device::cpu};
  Model cuda{1, Device::cuda};

  void compare(double tolerance) {
    CHECK(difference(cuda.output(0), cpu.output(0)) <= tolerance);
    for (const ParameterSpec& spec : cpu.description().parameters) {
      CAPTURE(spec.path);
      CHECK(difference(cuda.gradient(spec.path), cpu.gradient(spec.path)) <= tolerance);
      CHECK(difference(cuda.parameter(spec.path), cpu.parameter(spec.path)) <= tolerance);
    }
    for (const ParameterSpec& spec : cpu.description().buffers) {
      CAPTURE(spec.path);
      CHECK(difference(cuda.buffer(spec.path), cpu.buffer(spec.path)) <= tolerance);
    }
  }
};

template <class Model>
void check_training(const Extents& shape, const OptimizerRecipe& recipe, const Clipping& clipping) {
  CAPTURE(recipe.name);
  Twins<Model> twins;
  const auto on_cpu = make_optimizer(recipe);
  const auto on_cuda = make_optimizer(recipe);
  on_cpu->clipping = on_cuda->clipping = clipping;
  for (std::uint64_t step = 0; step < 3; ++step) {
    const Examples batch(shape, step);
    on_cpu->lr = on_cuda->lr = recipe.lr / static_cast<double>(1 + step);  // the last two are launched as one
    const float expected = twins.cpu.train_step(batch.images.view(), batch.labels.view(), *on_cpu);
    const float loss = twins.cuda.train_step(batch.images.view(), batch.labels.view(), *on_cuda);
    CHECK(loss == doctest::Approx(expected).epsilon(1e-4));
  }
  twins.compare(1e-3);
}

/// Whether the driver counts what it does.
bool emulated() {
  if (emulator_counts()) return true;
  MESSAGE("passed over: only the emulator counts");
  return false;
}

emulator::Counts counts() {
  return emulator_counts().value();
}

/// Kernels that the GPU runs in a step, as netc says before the run.
std::int64_t foreseen_launches(const std::string& model, std::int64_t batch) {
  const WorkingFolder folder;
  const CommandResult summary =
      run_netc({"summary", folder.before() / model, "--target", "cuda", "--json", "--batch", std::to_string(batch)});
  REQUIRE_MESSAGE(summary.status == 0, summary.err);
  return nlohmann::json::parse(summary.out)["gpu"]["launches"];
}

const Extents lenet_batch{3, 1, 28, 28};
const Extents residual_batch{4, 3, 12, 12};

}  // namespace

TEST_CASE("LeNet takes the same training steps on CUDA as on the CPU") {
  check_training<lenet::Model>(lenet_batch, {.name = "sgd", .lr = 0.5}, {});
}

TEST_CASE("a residual network takes the same training steps with momentum") {
  check_training<residual::Model>(residual_batch, {.name = "sgd", .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3},
                                  {});
}

TEST_CASE("with Nesterov's momentum and gradients clipped by value") {
  const OptimizerRecipe recipe{.name = "sgd", .lr = 0.05, .momentum = 0.9, .nesterov = true};
  check_training<residual::Model>(residual_batch, recipe, {.value = 0.01});
}

TEST_CASE("with AdamW and gradients clipped by their norm") {
  // Adam moves parameters by the gradient's sign at first: eps keeps what is almost 0 from being decided by rounding.
  const OptimizerRecipe recipe{.name = "adamw", .lr = 1e-3, .weight_decay = 0.1, .eps = 1e-3};
  check_training<residual::Model>(residual_batch, recipe, {.norm = 0.5});
}

TEST_CASE("evaluation on CUDA, and views that write what the next pass reads") {
  Twins<residual::Model> twins;
  const Examples batch(residual_batch);
  const auto compare = [&] {
    const View<const float> expected = twins.cpu.forward(batch.images.view());
    CHECK(difference(twins.cuda.forward(batch.images.view()), expected) <= 1e-4);
  };
  compare();
  const std::string path = twins.cpu.description().parameters[0].path;
  const View<float> views[] = {twins.cpu.parameter(path), twins.cuda.parameter(path)};
  for (const float factor : {2.0f, -0.5f}) {
    for (const View<float>& view : views) view *= factor;
    compare();
  }
}

TEST_CASE("a training step copies its batch in and its losses out, and allocates nothing after the first") {
  residual::Model model(1, Device::cuda);
  if (!emulated()) return;
  Sgd optimizer(0.01, 0.9);
  const Examples batch(residual_batch);
  model.train_step(batch.images.view(), batch.labels.view(), optimizer);
  const emulator::Counts before = counts();
  model.train_step(batch.images.view(), batch.labels.view(), optimizer);
  const emulator::Counts after = counts();
  const std::int64_t floats = sizeof(float);
  const std::int64_t line = 256;  // the images fill whole lines; seed and step take one
  CHECK(after.copies_to_device - before.copies_to_device == 1);
  CHECK(after.bytes_to_device - before.bytes_to_device == line + (batch.images.size() + batch.labels.size()) * floats);
  CHECK(after.copies_to_host - before.copies_to_host == 1);
  CHECK(after.bytes_to_host - before.bytes_to_host == residual_batch[0] * floats);
  CHECK(after.copies_on_device == before.copies_on_device);
  CHECK(after.allocations == before.allocations);
  CHECK(after.pinned_allocations == before.pinned_allocations);
  CHECK(after.frees == before.frees);
  CHECK(after.modules == before.modules);
  CHECK(after.launches - before.launches == foreseen_launches("tests/gpu/residual.net", residual_batch[0]));
  CHECK(after.uninitialized_reads == 0);
  CHECK(after.register_cap == 255);  // Halide's own would have the driver spill what 64 do not hold

  // The output is copied when it is first read.
  model.output(0);
  model.output(0);
  CHECK(counts().copies_to_host - after.copies_to_host == 1);
}

TEST_CASE("a step that is started and finished copies its batch in, its losses and its output out, and no more") {
  residual::Model model(1, Device::cuda);
  if (!emulated()) return;
  Sgd optimizer(0.01, 0.9);
  const Examples batch(residual_batch);
  const AnyView images = batch.images.view();
  const AnyView labels = batch.labels.view();
  const emulator::Counts at_first = counts();
  const auto step = [&] {
    model.start_step({&images, 1}, {&labels, 1}, optimizer);
    model.finish_step();
    return counts();
  };
  const emulator::Counts first = step();
  CHECK(first.allocations - at_first.allocations == 3);  // arena, gradients, velocity: kernels find room in the arena
  CHECK(first.pinned_allocations - at_first.pinned_allocations == 4);  // for two batches, and what two steps leave
  const emulator::Counts second = step();
  CHECK(second.copies_to_device - first.copies_to_device == 1);
  CHECK(second.copies_to_host - first.copies_to_host == 2);
  CHECK(second.bytes_to_host - first.bytes_to_host ==
        (residual_batch[0] + model.output(0).size()) * static_cast<std::int64_t>(sizeof(float)));
  CHECK(second.copies_on_device == first.copies_on_device);
  CHECK(second.allocations == first.allocations);
  CHECK(second.pinned_allocations == first.pinned_allocations);
  CHECK(second.frees == first.frees);
}

TEST_CASE("a batch waits until the one before it that lay in its place has been copied") {
  lenet::Model together(1, Device::cuda);
  lenet::Model apart(1, Device::cuda);
  Sgd one(0.5);
  Sgd other(0.5);
  const Examples first(lenet_batch, 0);
  const Examples second(lenet_batch, 1);
  for (const Examples* batch : {&first, &second}) {
    const AnyView images = batch->images.view();
    const AnyView labels = batch->labels.view();
    together.start_step({&images, 1}, {&labels, 1}, one);
  }
  together.forward(Examples(lenet_batch, 2).images.view());
  for (const Examples* batch : {&first, &second}) {
    CHECK(together.finish_step().loss == apart.train_step(batch->images.view(), batch->labels.view(), other));
  }
}

TEST_CASE("steps are launched as one from the second on") {
  lenet::Model model(1, Device::cuda);
  if (!emulated()) return;
  Sgd optimizer(0.1);
  const Examples batch(lenet_batch);
  const auto launched_as_one = [&] {
    const std::int64_t before = counts().graph_launches;
    model.train_step(batch.images.view(), batch.labels.view(), optimizer);
    return counts().graph_launches - before;
  };
  CHECK(launched_as_one() == 0);  // loads the kernels
  CHECK(launched_as_one() == 1);
  const emulator::Counts before = counts();
  CHECK(launched_as_one() == 1);
  const std::int64_t of_a_step = counts().launches - before.launches;
  CHECK(counts().launches_in_graphs - before.launches_in_graphs == of_a_step);  // the update among them
  model.forward(Examples({7, 1, 28, 28}).images.view());
  CHECK(launched_as_one() == 1);  // an evaluation between is none of a step's business
  CHECK(of_a_step == foreseen_launches("models/lenet.net", lenet_batch[0]));
}

TEST_CASE("steps that are launched as one draw new random numbers each time, those of the CPU") {
  Twins<residual::Model> twins;
  Sgd optimizer(0.0);
  const Examples batch(residual_batch);
  std::set<float> losses;
  for (const std::uint32_t seed : {1U, 1U, 1U, 1U, 2U, 2U}) {
    twins.cpu.set_seed(seed);
    twins.cuda.set_seed(seed);
    const float expected = twins.cpu.train_step(batch.images.view(), batch.labels.view(), optimizer);
    const auto before = emulator_counts();
    const float loss = twins.cuda.train_step(batch.images.view(), batch.labels.view(), optimizer);
    CHECK(loss == doctest::Approx(expected).epsilon(1e-4));
    if (before && !losses.empty()) CHECK(counts().graph_launches == before->graph_launches + 1);
    losses.insert(loss);
  }
  CHECK(losses.size() == 6);
}

TEST_CASE("two steps under way leave what two steps one after the other leave") {
  lenet::Model together(1, Device::cuda);
  lenet::Model apart(1, Device::cuda);
  Sgd one(0.5, 0.9);
  Sgd other(0.5, 0.9);
  std::vector<Examples> batches;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    batches.emplace_back(seed < 3 ? lenet_batch : Extents{2, 1, 28, 28}, seed);
  const auto start = [&](const Examples& batch) {
    const AnyView images = batch.images.view();
    const AnyView labels = batch.labels.view();
    together.start_step({&images, 1}, {&labels, 1}, one);
  };
  start(batches[0]);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (i + 1 < batches.size()) start(batches[i + 1]);
    const auto [loss, output] = together.finish_step();
    CHECK(loss == apart.train_step(batches[i].images.view(), batches[i].labels.view(), other));
    CHECK(output.to_vector() == apart.output(0).to_vector());
  }
  CHECK(together.parameters_flat()[7] == apart.parameters_flat()[7]);
  CHECK_THROWS_WITH_AS(together.finish_step(), "lenet: no step is under way", Error);
}

TEST_CASE("another optimizer, or other clipping, is not taken for what was recorded") {
  Twins<lenet::Model> twins;
  const Examples batch(lenet_batch);
  const auto train = [&](Optimizer& on_cpu, Optimizer& on_cuda) {
    for (int step = 0; step < 3; ++step) {
      twins.cpu.train_step(batch.images.view(), batch.labels.view(), on_cpu);
      twins.cuda.train_step(batch.images.view(), batch.labels.view(), on_cuda);
    }
    twins.compare(1e-3);
  };
  Sgd on_cpu(0.1, 0.9);
  Sgd on_cuda(0.1, 0.9);
  train(on_cpu, on_cuda);
  on_cpu.clipping = on_cuda.clipping = {.norm = 0.01};
  train(on_cpu, on_cuda);
  Sgd plain_on_cpu(0.5);
  Sgd plain_on_cuda(0.5);
  train(plain_on_cpu, plain_on_cuda);
}

namespace {

/// An optimizer of the user's, without kernels for a GPU.
class PlainStep : public Optimizer {
 public:
  std::vector<std::pair<std::string, std::span<float>>> state(std::size_t) override { return {}; }

 private:
  void update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) override {
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const float g = std::clamp(gradients[i], -clip.limit, clip.limit) * clip.scale;
      parameters[i] -= static_cast<float>(lr) * g;
    }
  }
};

}  // namespace

TEST_CASE("an optimizer without kernels updates on the CPU what the GPU computes with") {
  Twins<lenet::Model> twins;
  PlainStep own;
  own.lr = 0.5;
  own.clipping = {.norm = 0.1};
  Sgd sgd(0.5);
  sgd.clipping = own.clipping;
  const Examples batch(lenet_batch);
  for (int step = 0; step < 3; ++step) {
    twins.cpu.train_step(batch.images.view(), batch.labels.view(), sgd);
    twins.cuda.train_step(batch.images.view(), batch.labels.view(), own);
  }
  twins.compare(1e-3);
}

TEST_CASE("two evaluations under way leave what two one after the other leave") {
  lenet::Model model(1, Device::cuda);
  std::vector<Examples> batches;
  for (std::uint64_t seed = 0; seed < 5; ++seed)
    batches.emplace_back(seed < 4 ? lenet_batch : Extents{2, 1, 28, 28}, seed);
  std::vector<float> losses;
  std::vector<std::vector<float>> outputs;
  for (const Examples& batch : batches) {
    const AnyView images = batch.images.view();
    const AnyView labels = batch.labels.view();
    losses.push_back(model.evaluate_loss({&images, 1}, {&labels, 1}));
    outputs.push_back(model.output(0).to_vector());
  }
  const auto start = [&](const Examples& batch) {
    const AnyView images = batch.images.view();
    const AnyView labels = batch.labels.view();
    model.start_evaluation({&images, 1}, {&labels, 1});
  };
  const auto before = emulator_counts();
  start(batches[0]);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (i + 1 < batches.size()) start(batches[i + 1]);
    const auto [loss, output] = model.finish_step();
    CHECK(loss == losses[i]);
    CHECK(output.to_vector() == outputs[i]);
  }
  CHECK_THROWS_WITH_AS(model.finish_step(), "lenet: no step is under way", Error);
  if (!before) return;
  CHECK(counts().graph_launches - before->graph_launches == 3);  // of the first four, which are alike
  CHECK(counts().copies_to_device - before->copies_to_device == 5);
  CHECK(counts().copies_to_host - before->copies_to_host == 2 * 5);
  CHECK(counts().allocations == before->allocations);
}

TEST_CASE("an evaluation that fails leaves nothing under way") {
  lenet::Model model(1, Device::cuda);
  ImageSet images{10, 28, 28, std::vector<std::uint8_t>(10 * 28 * 28, 100), std::vector<std::int32_t>(10, 3)};
  ImageSet wrong = images;
  wrong.labels[7] = 10;  // in the third batch, when another is under way
  Loader loader(images, {3, 0, DType::f32, std::nullopt});
  Loader wrong_loader(wrong, {3, 0, DType::f32, std::nullopt});
  const double loss = evaluate(model, loader).loss();
  CHECK_THROWS_AS(evaluate(model, wrong_loader), Error);
  CHECK(model.steps_under_way() == 0);
  CHECK(!model.frozen());
  CHECK(evaluate(model, loader).loss() == loss);
}

TEST_CASE("a batch that is refused leaves no memory of the arena's lent") {
  residual::Model model(1, Device::cuda);
  const std::int64_t before = model.memory_bytes();
  const Examples batch(residual_batch);
  const std::vector<float> expected = model.forward(batch.images.view()).to_vector();
  Extents many = residual_batch;
  many[0] = 1 << 30;
  CHECK_THROWS_AS(model.forward(View<const float>(batch.images.data(), many)), Error);
  CHECK(model.scratch_bytes() == 0);
  CHECK(model.memory_bytes() == before);
  CHECK(model.forward(batch.images.view()).to_vector() == expected);
}

TEST_CASE("what the emulator counted") {
  print_emulator_counts("networks");
}
