// What every generated model inherits: checks of its inputs, names, memory, files; on a network without a compiler.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "netc/checkpoint.h"
#include "netc/evaluate.h"
#include "netc/network.h"
#include "netc/random.h"
#include "netc/safetensors.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;
using test::make_softmax;
using test::softmax_description;
using test::TemporaryFolder;

struct Examples {
  explicit Examples(std::int64_t batch) : images({batch, 1, 28, 28}), labels({batch}) {
    RandomStream random(4, "examples");
    std::generate_n(images.data(), images.size(), [&] { return random.uniform(0, 1); });
    std::generate_n(labels.data(), labels.size(), [&] { return static_cast<std::int32_t>(random.below(10)); });
  }
  std::vector<AnyView> inputs() const { return {images.view()}; }
  std::vector<AnyView> targets() const { return {labels.view()}; }

  Tensor<float> images;
  Tensor<std::int32_t> labels;
};

std::unique_ptr<Network> make() {
  return make_softmax(softmax_description());
}

TEST_CASE("forward, loss and gradients of the test network are right") {
  const auto network = make();
  network->initialize(5);
  const Examples examples(3);
  const View<const float> output = network->forward(examples.inputs());
  CHECK(output.shape() == Extents{3, 10});
  check_error(ErrorKind::usage, {"softmax", "no loss"}, [&] { network->losses(); });
  const float loss = network->evaluate_loss(examples.inputs(), examples.targets());
  CHECK(network->losses().shape() == Extents{3});
  CHECK(loss == doctest::Approx((network->losses()(0) + network->losses()(1) + network->losses()(2)) / 3));

  const View<float> weight = network->parameter("out.weight");
  network->backward(examples.inputs(), examples.targets());
  const float derivative = network->gradient("out.weight")(2, 100);
  const auto loss_at = [&](float value) {
    weight(2, 100) = value;
    network->set_step(0);  // the same noise
    return network->backward(examples.inputs(), examples.targets());
  };
  const float here = weight(2, 100);
  const float difference = (loss_at(here + 0.05f) - loss_at(here - 0.05f)) / 0.1f;
  CHECK(derivative == doctest::Approx(difference).epsilon(0.01));
}

TEST_CASE("wrong inputs are refused, naming input, expected and found") {
  const auto network = make();
  const Examples three(3);
  const Examples four(4);
  const Tensor<float> wide({3, 3, 28, 28});
  const Tensor<std::uint8_t> bytes({3, 1, 28, 28});
  const Tensor<float> none({0, 1, 28, 28});
  const auto forward = [&](const AnyView& view) { network->forward({&view, 1}); };
  check_error(ErrorKind::mismatch, {"softmax: input image: expected f32 [N,1,28,28], found f32 [3,3,28,28]"},
              [&] { forward(wide.view()); });
  check_error(ErrorKind::mismatch, {"found u8 [3,1,28,28]"}, [&] { forward(bytes.view()); });
  check_error(ErrorKind::mismatch, {"found f32 [0,1,28,28]"}, [&] { forward(none.view()); });
  check_error(ErrorKind::mismatch, {"expected 1 input, found 0"}, [&] { network->forward({}); });
  check_error(ErrorKind::mismatch, {"expected 1 label, found 0"}, [&] { network->backward(three.inputs(), {}); });
  check_error(ErrorKind::mismatch, {"label label", "batch of 3", "found 4"},
              [&] { network->backward(three.inputs(), four.targets()); });
  Examples wrong(3);
  for (std::int32_t label : {10, -1}) {
    wrong.labels.data()[1] = label;
    check_error(ErrorKind::mismatch, {"classes below 10", std::to_string(label)},
                [&] { network->evaluate_loss(wrong.inputs(), wrong.targets()); });
  }
  check_error(ErrorKind::usage, {"no output"}, [&] { network->output(0); });
  const float pixel = 0;
  check_error(ErrorKind::mismatch, {"input image: a batch of 3000000000: at most 2147483647 examples are possible"},
              [&] {
                forward(View<const float>(&pixel, {3'000'000'000, 1, 28, 28}));
              });
}

/// Sixteen images; the class of the last is one that the network does not have, where it is `wrong`.
ImageSet image_set(bool wrong) {
  ImageSet images{16, 28, 28, std::vector<std::uint8_t>(16 * 28 * 28, 100), std::vector<std::int32_t>(16, 3)};
  if (wrong) images.labels.back() = 10;
  return images;
}

TEST_CASE("an evaluation leaves the network as it was, also when it fails") {
  const ImageSet good_images = image_set(false);
  const ImageSet bad_images = image_set(true);
  Loader good(good_images, {4, 0, DType::f32, std::nullopt});
  Loader bad(bad_images, {4, 0, DType::f32, std::nullopt});
  const auto network = make();
  for (const bool frozen : {false, true}) {
    if (frozen) network->freeze();
    check_error(ErrorKind::mismatch, {"classes below 10, found 10"}, [&] { evaluate(*network, bad); });
    CHECK(network->frozen() == frozen);
    CHECK(network->steps_under_way() == 0);
    CHECK(evaluate(*network, good).examples == 16);
    CHECK(network->frozen() == frozen);
  }
  network->unfreeze();
  Sgd optimizer(0.1);
  const Examples examples(4);
  network->start_step(examples.inputs(), examples.targets(), optimizer);
  check_error(ErrorKind::usage, {"softmax: finish the steps under way"}, [&] { evaluate(*network, good); });
  CHECK(network->steps_under_way() == 1);
  network->finish_step();
}

TEST_CASE("parameters, gradients and buffers are reached by name") {
  const auto network = make();
  const View<float> weight = network->parameter("out.weight");
  CHECK(weight.shape() == Extents{10, 784});
  weight(0, 0) = 42;
  CHECK(network->parameter("out.weight")(0, 0) == 42);
  CHECK(network->parameters_flat()[0] == 42);
  network->parameter("out.bias") += 1;
  CHECK(network->gradient("out.bias").shape() == Extents{10});
  CHECK(network->buffer("stats.mean")(0) == 1);
  check_error(ErrorKind::usage, {"no parameter 'out.wieght'", "did you mean 'out.weight'?"},
              [&] { network->parameter("out.wieght"); });
  check_error(ErrorKind::usage, {"no buffer 'zzz'"}, [&] { network->buffer("zzz"); });
}

TEST_CASE("all parameters and buffers are listed with path, shape and values") {
  const auto network = make();
  const auto parameters = network->named_parameters();
  REQUIRE(parameters.size() == 2);
  CHECK(parameters[0].first == "out.weight");
  CHECK(parameters[0].second.shape() == Extents{10, 784});
  CHECK(parameters[1].first == "out.bias");
  parameters[1].second(9) = 3;
  CHECK(network->parameter("out.bias")(9) == 3);
  const auto buffers = network->named_buffers();
  REQUIRE(buffers.size() == 1);
  CHECK(buffers[0].first == "stats.mean");
  CHECK(buffers[0].second.to_vector() == std::vector<float>{1});
}

TEST_CASE("padding of the arenas is zero and stays so") {
  const auto network = make();
  const Examples examples(2);
  Sgd optimizer(0.1, 0.9, 0.1);
  for (int i = 0; i < 3; ++i) network->train_step(examples.inputs(), examples.targets(), optimizer);
  const std::span<float> padding = network->parameters_flat().subspan(7850);
  CHECK(std::all_of(padding.begin(), padding.end(), [](float x) { return x == 0; }));
}

TEST_CASE("initialisation is a function of the seed") {
  const auto a = make();
  const auto b = make();
  a->initialize(7);
  b->initialize(7);
  CHECK(a->parameter("out.weight").to_vector() == b->parameter("out.weight").to_vector());
  b->initialize(8);
  CHECK(a->parameter("out.weight").to_vector() != b->parameter("out.weight").to_vector());
  a->buffer("stats.mean").fill(3);
  a->initialize(7);
  CHECK(a->buffer("stats.mean")(0) == 1);
}

TEST_CASE("the arena grows with the batch and is kept") {
  const auto network = make();
  const std::int64_t base = network->memory_bytes();
  network->forward(Examples(5).inputs());
  const std::int64_t small = network->memory_bytes();
  CHECK(small == base + 44 * 8 + 64);  // five examples are two blocks of four
  network->forward(Examples(50).inputs());
  const std::int64_t large = network->memory_bytes();
  CHECK(large > small);
  network->forward(Examples(1).inputs());
  CHECK(network->memory_bytes() == large);
}

TEST_CASE("results do not depend on the batches before") {
  const auto fresh = make();
  const auto used = make();
  const Examples examples(3);
  used->forward(Examples(40).inputs());
  used->evaluate_loss(Examples(7).inputs(), Examples(7).targets());
  CHECK(fresh->forward(examples.inputs()).to_vector() == used->forward(examples.inputs()).to_vector());
}

TEST_CASE("gradients of inputs are to be had right after backward") {
  const auto network = make();
  const Examples examples(2);
  check_error(ErrorKind::usage, {"after `backward`"}, [&] { network->input_gradient(0); });
  network->backward(examples.inputs(), examples.targets());
  CHECK(network->input_gradient(0).shape() == Extents{2, 1, 28, 28});
  CHECK(network->input_gradient(0)(1, 0, 3, 3) != 0);
  check_error(ErrorKind::usage, {"no input 1"}, [&] { network->input_gradient(1); });
  Sgd optimizer(0.1);
  network->train_step(examples.inputs(), examples.targets(), optimizer);
  check_error(ErrorKind::usage, {"after `backward`"}, [&] { network->input_gradient(0); });
}

/// Its input cannot change the loss.
class Indifferent : public Network {
 public:
  Indifferent() : Network(softmax_description()) {}

 private:
  void infer() override {}
  void infer_few() override {}
  void forward_pass() override {
    set_output(0, at(0));
    set_losses(at(0));
  }
};

TEST_CASE("the gradient of an input that cannot change the loss is 0") {
  Indifferent network;
  const Examples examples(2);
  network.backward(examples.inputs(), examples.targets());
  CHECK(network.input_gradient(0).to_vector() == std::vector<float>(2 * 28 * 28, 0.0F));
}

TEST_CASE("a step that was started is finished with its own results, whatever is computed between") {
  const auto network = make();
  const auto twin = make();
  const Examples first(4);
  const Examples second(7);
  Sgd optimizer(0.1);
  const float loss = twin->train_step(first.inputs(), first.targets(), optimizer);
  const std::vector<float> output = twin->output().to_vector();
  network->start_step(first.inputs(), first.targets(), optimizer);
  network->evaluate_loss(second.inputs(), second.targets());
  const Network::StepResults results = network->finish_step();
  CHECK(results.loss == loss);
  CHECK(results.output.to_vector() == output);
}

TEST_CASE("random numbers follow seed and step") {
  const Examples examples(4);
  const auto loss = [&](std::uint32_t seed, std::uint32_t step) {
    const auto network = make();
    network->set_seed(seed);
    network->set_step(step);
    const float value = network->backward(examples.inputs(), examples.targets());
    CHECK(network->step() == step + 1);
    return value;
  };
  CHECK(loss(1, 0) == loss(1, 0));
  CHECK(loss(1, 0) != loss(1, 1));
  CHECK(loss(1, 0) != loss(2, 0));
}

TEST_CASE("weights are saved and loaded, parameters and buffers") {
  const TemporaryFolder folder;
  const auto a = make();
  const auto b = make();
  a->initialize(9);
  a->buffer("stats.mean").fill(5);
  a->save(folder / "w.safetensors");
  b->load(folder / "w.safetensors");
  CHECK(a->parameter("out.weight").to_vector() == b->parameter("out.weight").to_vector());
  CHECK(b->buffer("stats.mean")(0) == 5);
}

TEST_CASE("weights of another model change nothing") {
  const TemporaryFolder folder;
  const auto network = make();
  const std::vector<float> before = network->parameter("out.weight").to_vector();
  const Tensor<float> weight({10, 784}, std::vector<float>(7840, 1.0f));
  const Tensor<float> bias({10});
  const Tensor<float> short_bias({9});
  const Tensor<float> one({1});
  const auto file = folder / "w.safetensors";
  const auto check = [&](const std::vector<NamedTensor>& tensors, const std::vector<std::string>& texts) {
    write_safetensors(file, tensors);
    check_error(ErrorKind::mismatch, texts, [&] { network->load(file); });
    CHECK(network->parameter("out.weight").to_vector() == before);
  };
  const NamedTensor w{"out.weight", weight.view()};
  const NamedTensor b{"out.bias", bias.view()};
  const NamedTensor m{"stats.mean", one.view()};
  check({w, m}, {"w.safetensors", "no tensor 'out.bias'"});
  check({w, b}, {"no tensor 'stats.mean'"});
  check({w, m, {"out.bias", short_bias.view()}}, {"'out.bias'", "expected F32 [10]", "found F32 [9]"});
  check({w, b, m, {"conv.weight", one.view()}}, {"'conv.weight' is no parameter of softmax"});
  check({w, b, m, {"x\n\x1b[31m", one.view()}}, {"'x??[31m' is no parameter of softmax"});
  check({w, b, m, {std::string(400'000, 'x'), one.view()}}, {"xxx…' is no parameter of softmax"});
  write_safetensors(file, std::vector<NamedTensor>{w, b, m, {"bn.num_batches_tracked", one.view()}});
  network->load(file);
  CHECK(network->parameter("out.weight")(9, 783) == 1);
}

TEST_CASE("several networks compute at once") {
  const Examples examples(6);
  const auto reference = make();
  const std::vector<float> expected = reference->forward(examples.inputs()).to_vector();
  std::array<std::vector<float>, 4> found;
  std::vector<std::thread> threads;
  threads.reserve(found.size());
  for (std::vector<float>& result : found) {
    threads.emplace_back([&] { result = make()->forward(examples.inputs()).to_vector(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& result : found) CHECK(result == expected);
}

struct Run {
  std::unique_ptr<Network> network = make();
  Sgd optimizer{0.1, 0.9};
  Examples examples{4};

  void steps(int count) {
    for (int i = 0; i < count; ++i) network->train_step(examples.inputs(), examples.targets(), optimizer);
  }
};

TEST_CASE("a checkpoint continues a run bit for bit") {
  const TemporaryFolder folder;
  const RunIdentity identity{softmax_description().recipe, 100};
  Run a;
  Run b;
  a.steps(3);
  TrainingState state;
  state.finished = {{1, 0.1, 0.2, 0.3, 1.0 / 3, 5, 6}};
  state.next_batch = 17;
  state.running = {272, 1.0 / 7, 99};
  state.compute_seconds = 2.5;
  save_checkpoint(folder / "c", *a.network, a.optimizer, identity, state);
  const TrainingState back = load_checkpoint(folder / "c", *b.network, b.optimizer, identity);
  CHECK(back.next_batch == 17);
  CHECK(back.running.loss_sum == 1.0 / 7);
  CHECK(back.running.correct == 99);
  CHECK(back.compute_seconds == 2.5);
  REQUIRE(back.finished.size() == 1);
  CHECK(back.finished[0].test_accuracy == 1.0 / 3);
  CHECK(b.network->step() == 3);
  a.steps(2);
  b.steps(2);
  CHECK(a.network->parameter("out.weight").to_vector() == b.network->parameter("out.weight").to_vector());
  CHECK(a.network->buffer("stats.mean")(0) == b.network->buffer("stats.mean")(0));
}

TEST_CASE("checkpoints of other runs are refused") {
  const TemporaryFolder folder;
  const RunIdentity identity{softmax_description().recipe, 100};
  Run run;
  save_checkpoint(folder / "c", *run.network, run.optimizer, identity, {});
  const auto load = [&](const char* file, const RunIdentity& wanted) {
    load_checkpoint(folder / file, *run.network, run.optimizer, wanted);
  };
  RunIdentity longer = identity;
  longer.recipe.epochs = 99;
  load("c", longer);
  RunIdentity other = identity;
  other.recipe.optimizer.lr = 0.5;
  check_error(ErrorKind::mismatch, {"lr", "expected 0.5", "found 0.05"}, [&] { load("c", other); });
  other = identity;
  other.examples = 7;
  check_error(ErrorKind::mismatch, {"examples", "expected 7", "found 100"}, [&] { load("c", other); });
  write_safetensors(folder / "hostile", {}, {{"model", "x\n\x1b[31m" + std::string(400'000, 'x')}});
  check_error(ErrorKind::mismatch, {"hostile: model: expected softmax, found x??[31mxxx", "…"},
              [&] { load("hostile", identity); });
  run.network->save(folder / "weights");
  check_error(ErrorKind::format, {"weights", "not a checkpoint"}, [&] { load("weights", identity); });
}

TEST_CASE("a diverged run is saved and continued, too") {
  const TemporaryFolder folder;
  const RunIdentity identity{softmax_description().recipe, 100};
  Run run;
  TrainingState state;
  state.finished = {{1, std::nan(""), 0.1, std::nan(""), 0.1, 5, 6}};
  state.next_batch = 1;
  state.running = {4, std::nan(""), 0};
  state.points = {{0.5, {0.25, 0.75}}, {1, {std::nan(""), 0.1}}};
  state.since_point = {3, 1.5, 2};
  save_checkpoint(folder / "c", *run.network, run.optimizer, identity, state);
  const TrainingState back = load_checkpoint(folder / "c", *run.network, run.optimizer, identity);
  CHECK(std::isnan(back.running.loss_sum));
  CHECK(std::isnan(back.finished[0].loss));
  REQUIRE(back.points.size() == 2);
  CHECK(back.points[0].epoch == 0.5);
  CHECK(back.points[0].train.accuracy == 0.75);
  CHECK(std::isnan(back.points[1].train.loss));
  CHECK(back.since_point.loss_sum == 1.5);
  CHECK(back.since_point.correct == 2);
}

}  // namespace
}  // namespace netc
