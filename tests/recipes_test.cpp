// The recipes of the networks in models/, and what training must do. Shapes and numbers of parameters are in
// models_test.cpp.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/graph/operator.h"
#include "netc/evaluate.h"
#include "netc/loader.h"
#include "netc/metrics.h"
#include "netc/npy.h"
#include "netc/resize.h"
#include "netc/safetensors.h"
#include "tests/command_support.h"
#include "tests/elaboration.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::contains;
using test::Elaboration;
using test::TemporaryFolder;
using Settings = std::vector<std::pair<std::string, std::string>>;

// ---- Models ---------------------------------------------------------------------------------------------------------

/// A model on Fashion-MNIST, 10 classes, plain SGD, mean cross-entropy, 10 epochs.
void check_recipe(const std::string& name, double lr, int batch, std::int64_t pixels, const Settings& set = {}) {
  CAPTURE(name);
  const Elaboration model = Elaboration::of_file("models/" + name + ".net", name, set);
  const Graph& graph = model.graph();
  const Recipe& recipe = model.recipe();
  CHECK(recipe.optimizer.name == "sgd");
  CHECK(recipe.optimizer.lr == lr);
  CHECK(recipe.optimizer.momentum == 0);
  CHECK(recipe.optimizer.weight_decay == 0);
  CHECK(recipe.batch == batch);
  CHECK(recipe.epochs == 10);
  CHECK(recipe.data.name == "fashion_mnist");
  CHECK(recipe.data.resize == (pixels == 28 ? 0 : pixels));
  CHECK(graph[graph.inputs[0]].shape == Shape{Shape::batch, 1, pixels, pixels});
  CHECK(graph[graph.outputs[0]].shape == Shape{Shape::batch, 10});
  const auto is_cross_entropy = [](const Node& node) { return node.op->name == "cross_entropy"; };
  CHECK(std::count_if(graph.nodes.begin(), graph.nodes.end(), is_cross_entropy) == 1);
}

TEST_CASE("LeNet (the ancestor, named): .9 / 256 / 28") {
  check_recipe("lenet", 0.9, 256, 28);
  CHECK(Elaboration::of_file("models/lenet.net").graph().name == "lenet");
}

TEST_CASE("AlexNet: .01 / 128 / 224") {
  check_recipe("alexnet", 0.01, 128, 224);
}

TEST_CASE("VGG-11: .05 / 128 / 224; trained with channels / 4") {
  check_recipe("vgg11", 0.05, 128, 224);
  check_recipe("vgg11", 0.05, 128, 224, {{"ratio", "4"}});
}

TEST_CASE("NiN: .1 / 128 / 224") {
  check_recipe("nin", 0.1, 128, 224);
}

TEST_CASE("GoogLeNet: .1 / 128 / 96") {
  check_recipe("googlenet", 0.1, 128, 96);
}

TEST_CASE("ResNet-18: .05 / 256 / 96; 1x1 path has a bias and no batchnorm") {
  check_recipe("resnet18", 0.05, 256, 96);
  const Elaboration model = Elaboration::of_file("models/resnet18.net");
  const std::vector<std::string> paths = model.parameters();
  int projections = 0;
  for (const std::string& path : paths) {
    if (!path.ends_with("conv3.weight")) continue;
    ++projections;
    const std::string block = path.substr(0, path.find("conv3"));
    CHECK(model.value(path).shape[2] == 1);
    CHECK(std::count(paths.begin(), paths.end(), block + "conv3.bias") == 1);
    CHECK(std::count(paths.begin(), paths.end(), block + "bn3.weight") == 0);
  }
  CHECK(projections == 3);
}

/// How many blocks a residual network has in each of its four stages.
std::vector<int> blocks_of_stages(const Settings& set) {
  const Elaboration model = Elaboration::of_file("models/resnet152.net", "", set);
  std::vector<std::set<std::string>> blocks(4);
  for (const std::string& path : model.parameters()) {
    if (!path.starts_with("layer")) continue;
    blocks[static_cast<std::size_t>(path[5] - '1')].insert(path.substr(0, path.find('.', path.find('.') + 1)));
  }
  std::vector<int> counts;
  for (const std::set<std::string>& names : blocks) counts.push_back(static_cast<int>(names.size()));
  return counts;
}

TEST_CASE("ResNet-152 by configuration: bottleneck blocks 3, 8, 36, 3: a change of a few lines in the `.net` text") {
  CHECK(blocks_of_stages({}) == std::vector<int>{3, 8, 36, 3});
  CHECK(blocks_of_stages({{"depth", "101"}}) == std::vector<int>{3, 4, 23, 3});
  CHECK(blocks_of_stages({{"depth", "50"}}) == std::vector<int>{3, 4, 6, 3});
  const Elaboration model = Elaboration::of_file("models/resnet152.net");
  CHECK(model.value("layer3.35.conv3.weight").shape == Shape{1024, 256, 1, 1});
  CHECK(contains(test::read_text("models/resnet152.net"), "(3, 8, 36, 3)"));
}

/// The first values of all parameters and buffers.
void write_weights(const Elaboration& model, const std::filesystem::path& file) {
  std::vector<std::pair<std::string, Tensor<float>>> values;
  for (const Value& value : model.graph().values) {
    if (value.role != Role::parameter && value.role != Role::buffer) continue;
    values.emplace_back(value.name, Tensor<float>(Extents(value.shape.extents()), model.initial(value.name)));
  }
  std::vector<NamedTensor> tensors;
  for (const auto& [path, tensor] : values) tensors.push_back({path, tensor.view()});
  write_safetensors(file, tensors);
}

TEST_CASE("residual checks: input (4,3,6,6) keeps its shape; residual(6, 1x1, stride 2) gives (4,6,3,3)") {
  test::WorkingFolder folder;
  std::filesystem::create_directory_symlink(folder.before() / "models", "models");
  test::write_text("same.net", R"(import "std/blocks.net";
model same { input x: f32[N, 3, 6, 6]; residual(3); }
model half { input x: f32[N, 3, 6, 6]; residual(6, stride = 2, project = true); }
)");
  const Tensor<float> x({4, 3, 6, 6});
  write_npy("x.npy", x.view());
  const auto shape = [](const std::string& model) {
    write_weights(Elaboration::of_file("same.net", model), "w.safetensors");
    const test::CommandResult result = test::run_netc(
        {"run", "same.net", "--model", model, "--weights", "w.safetensors", "--input", "x=x.npy", "--output", "y.npy"});
    REQUIRE_MESSAGE(result.status == 0, result.err);
    return read_npy("y.npy").shape;
  };
  CHECK(shape("same") == Extents{4, 3, 6, 6});
  CHECK(shape("half") == Extents{4, 6, 3, 3});
}

TEST_CASE("prose only, still wanted: weight decay, flip / crop / colour augmentation, sigmoid against ReLU") {
  const auto with = [](const Settings& set) { return Elaboration::of_file("models/lenet.net", "", set); };
  CHECK(with({{"train.optimizer.weight_decay", "5e-4"}}).recipe().optimizer.weight_decay == 5e-4);
  const AugmentRecipe augment =
      with({{"train.augment", "(flip, crop(pad = 4), color(brightness = 0.2, contrast = 0.1))"}}).recipe().augment;
  CHECK(augment.flip.p == 0.5);
  CHECK(augment.crop.pad == 4);
  CHECK(augment.color.brightness == 0.2);
  CHECK(augment.color.contrast == 0.1);

  const std::string text = R"(
block cbr(channels, act: layer) { conv(channels, 3) -> batchnorm -> act }
model m { let act = relu; input x: f32[N, 1, 9, 9]; cbr(4, act) -> cbr(8, act); })";
  const auto activations = [&](const Settings& set) {
    const Elaboration model(text, {.set = set, .std_folder = "", .model = ""});
    std::multiset<std::string> names;
    for (const Node& node : model.graph().nodes) names.insert(std::string(node.op->name));
    return std::pair(names.count("relu"), names.count("sigmoid"));
  };
  CHECK(activations({}) == std::pair<std::size_t, std::size_t>(2, 0));
  CHECK(activations({{"act", "sigmoid"}}) == std::pair<std::size_t, std::size_t>(0, 2));
}

// ---- Training -------------------------------------------------------------------------------------------------------

TEST_CASE("while training: loss, training and test accuracy per epoch, examples per second, curves as a picture") {
  const TemporaryFolder folder;
  test::write_small_data(folder.path(), 96, 32);
  const test::ProgramResult result =
      test::run_softmax({"train", "--data", folder.path(), "--log", folder / "log", "--epochs", "2"});
  REQUIRE_MESSAGE(result.status == 0, result.err);
  std::istringstream lines(result.out);
  std::vector<std::string> epochs;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("epoch ")) epochs.push_back(line);
  }
  REQUIRE(epochs.size() == 2);
  for (const char* figure : {"loss ", "train acc ", "test acc ", " examples/s"}) CHECK(contains(epochs[1], figure));
  const std::string picture = test::read_text(folder / "log/curves.svg");
  CHECK(picture.starts_with("<svg"));
  CHECK(contains(picture, "test acc"));
}

TEST_CASE("the recipe exactly: xavier_uniform on conv and linear weights only, biases uniform(+-1/sqrt(fan_in))") {
  using Rule = Initializer::Rule;
  for (const std::string name : {"lenet", "alexnet", "vgg11", "nin", "googlenet", "resnet18"}) {
    CAPTURE(name);
    const Elaboration model = Elaboration::of_file("models/" + name + ".net");
    for (const std::string& path : model.parameters()) {
      CAPTURE(path);
      const Value& value = model.value(path);
      const bool is_weight = value.shape.rank() > 1;
      const bool is_normalised = contains(path, "batchnorm") || contains(path, "bn");
      CHECK(value.initializer.rule == (is_weight       ? Rule::xavier_uniform
                                       : is_normalised ? Rule::constant
                                                       : Rule::fan_in_uniform));
      if (is_weight) CHECK(value.initializer.a == 1);
    }
  }
}

/// So many images of one pixel, whose label is their number.
ImageSet pixels(int count) {
  ImageSet images{count, 1, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(count)), {}};
  for (int i = 0; i < count; ++i) images.pixels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i % 256);
  images.labels.resize(static_cast<std::size_t>(count));
  std::iota(images.labels.begin(), images.labels.end(), 0);
  return images;
}

/// The sizes of the batches of an epoch, and their labels in order.
std::pair<std::vector<std::int64_t>, std::vector<std::int32_t>> epoch(Loader& loader, std::uint32_t number) {
  std::pair<std::vector<std::int64_t>, std::vector<std::int32_t>> result;
  loader.start(number);
  while (const Batch* batch = loader.next()) {
    result.first.push_back(batch->size);
    result.second.insert(result.second.end(), batch->label_values.begin(), batch->label_values.begin() + batch->size);
  }
  return result;
}

TEST_CASE("the recipe exactly: shuffled, the last partial batch kept (60000 mod 128 = 60000 mod 256 = 96; test 16)") {
  const ImageSet train = pixels(60000);
  const ImageSet test = pixels(10000);
  for (const std::int64_t batch : {128, 256}) {
    Loader shuffled(train, {.batch = batch, .side = 0, .type = DType::f32, .shuffle_seed = 1});
    auto [sizes, labels] = epoch(shuffled, 0);
    CHECK(sizes.size() == static_cast<std::size_t>(60000 / batch + 1));
    CHECK(sizes.front() == batch);
    CHECK(sizes.back() == 96);
    CHECK(labels != train.labels);
    CHECK(epoch(shuffled, 1).second != labels);
    std::sort(labels.begin(), labels.end());
    CHECK(labels == train.labels);
    Loader ordered(test, {.batch = batch, .side = 0, .type = DType::f32, .shuffle_seed = {}});
    CHECK(epoch(ordered, 0).first.back() == 16);
  }
}

TEST_CASE("the recipe exactly: pixels / 255 and no other normalisation") {
  const ImageSet images = pixels(256);
  Loader loader(images, {.batch = 256, .side = 0, .type = DType::f32, .shuffle_seed = {}});
  loader.start(0);
  const Batch* batch = loader.next();
  for (std::size_t i = 0; i < 256; ++i) CHECK(batch->floats[i] == static_cast<float>(i) / 255.0F);
}

TEST_CASE("the recipe exactly: loss and training accuracy are the example-weighted running mean") {
  RunningMetrics running;
  const Tensor<float> large({3, 2}, {0, 1, 1, 0, 0, 1});
  const Tensor<float> small({1, 2}, {5, 4});
  running.add(2.0F, large.view(), std::vector<std::int32_t>{1, 1, 1});
  running.add(6.0F, small.view(), std::vector<std::int32_t>{0});
  CHECK(running.loss() == doctest::Approx((3 * 2.0 + 1 * 6.0) / 4));
  CHECK(running.accuracy() == doctest::Approx(3.0 / 4));
}

TEST_CASE("the recipe exactly: the test figures are taken in evaluation mode") {
  const TemporaryFolder folder;
  test::write_small_data(folder.path(), 32, 40);
  const ImageSet images = load_data({"fashion_mnist", 0}, Split::test, folder.path());
  const auto network = test::make_softmax(test::softmax_description());
  network->initialize(1);
  // The test network adds noise in training: were it in that mode, the loss would follow the seed.
  const auto loss = [&](std::uint32_t seed) {
    network->set_seed(seed);
    Loader loader(images, {.batch = 16, .side = 0, .type = DType::f32, .shuffle_seed = {}});
    return evaluate(*network, loader).loss();
  };
  CHECK(loss(1) == loss(2));
}

TEST_CASE("resize is Pillow's bilinear on uint8: 0 pixels differ at 224 and 96") {
  const SafetensorsReader file("tests/parity/runtime/resize.safetensors");
  std::vector<int> sides;
  for (int i = 0; file.tensors().contains(fmt::format("{}.in", i)); ++i) {
    const StoredTensor& in = file.tensors().at(fmt::format("{}.in", i));
    const StoredTensor& expected = file.tensors().at(fmt::format("{}.out", i));
    const auto side = static_cast<int>(expected.shape[0]);
    if (side != 224 && side != 96) continue;
    sides.push_back(side);
    Resizer resizer(28, 28, side, side);
    std::vector<std::uint8_t> out(expected.bytes.size());
    resizer({reinterpret_cast<const std::uint8_t*>(in.bytes.data()), in.bytes.size()}, out);
    const auto* pillow = reinterpret_cast<const std::uint8_t*>(expected.bytes.data());
    CHECK(std::equal(out.begin(), out.end(), pillow));
  }
  CHECK(sides == std::vector<int>{96, 224});
}

}  // namespace
}  // namespace netc
