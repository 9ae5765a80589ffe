// Parameters of generated models, read and written from C++ and from C, by member, by path and by element.
#include <doctest/doctest.h>
#include <filesystem>

#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "frozen.h"
#include "frozen.hpp"
#include "netc/safetensors.h"
#include "netc/thread_pool.h"
#include "tests/command_support.h"
#include "tests/runtime_support.h"
#include "tied.h"
#include "tied.hpp"
#include "twice.h"
#include "twice.hpp"

namespace netc {
namespace {

using test::check_error;
using test::contains;
using test::TemporaryFolder;

/// 0, 1, 2, … in a tensor's row-major order.
Tensor<float> counting(const Extents& shape) {
  Tensor<float> tensor(shape);
  std::iota(tensor.data(), tensor.data() + tensor.size(), 0.0F);
  return tensor;
}

// ---- C++ ------------------------------------------------------------------------------------------------------------

TEST_CASE("every parameter is listed with path, shape and values") {
  twice::Model model;
  std::vector<std::string> found;
  for (const auto& [path, view] : model.named_parameters()) {
    found.push_back(path + " " + to_string(view.shape()));
    CHECK(view.to_vector() == model.parameter(path).to_vector());
  }
  CHECK(found == std::vector<std::string>{"stem.weight [6,3,3,3]", "stem.bias [6]", "c.conv.weight [6,6,3,3]",
                                          "c.batchnorm.weight [6]", "c.batchnorm.bias [6]", "head.weight [5,6]",
                                          "head.bias [5]"});
  REQUIRE(model.named_buffers().size() == 2);
  CHECK(model.named_buffers()[1].first == "c.batchnorm.running_var");
}

TEST_CASE("members, paths and the list are the same memory") {
  tied::Model model;
  model.parameters.h.weight(0, 0) = 42;
  CHECK(model.parameter("h.weight")(0, 0) == 42);
  model.parameter("h.weight") += 1;
  CHECK(model.parameters.h.weight(0, 0) == 43);
  model.parameters.h.bias.copy_from(counting({8}).view());
  model.parameters.h.bias *= 2;
  CHECK(model.parameter("h.bias").to_vector() == std::vector<float>{0, 2, 4, 6, 8, 10, 12, 14});
  for (const auto& [path, view] : model.named_parameters()) view.fill(0.5F);
  CHECK(model.parameters.out.weight.to_vector() == std::vector<float>(8, 0.5F));
}

TEST_CASE("indices are PyTorch's although kernels store convolutions in another order") {
  twice::Model model;
  const View<float> weight = model.parameters.c.conv.weight;
  REQUIRE_FALSE(weight.contiguous());
  weight.copy_from(counting({6, 6, 3, 3}).view());
  CHECK(weight(0, 0, 0, 1) == 1);
  CHECK(weight(0, 0, 1, 0) == 3);
  CHECK(weight(0, 1, 0, 0) == 9);
  CHECK(weight(1, 0, 0, 0) == 54);
  CHECK(weight(5, 4, 2, 1) == 5 * 54 + 4 * 9 + 2 * 3 + 1);
  const TemporaryFolder folder;
  model.save(folder / "w.safetensors");
  Tensor<float> saved({6, 6, 3, 3});
  SafetensorsReader(folder / "w.safetensors").copy_to(saved.view(), "c.conv.weight");
  CHECK(saved.view().to_vector() == counting({6, 6, 3, 3}).view().to_vector());
}

TEST_CASE("views outlive passes, steps and files") {
  tied::Model model;
  const View<float> weight = model.parameters.h.weight;
  const Tensor<float> x = counting({3, 4});
  const Tensor<float> y({3, 1});
  Sgd optimizer(0.001, 0.9);
  for (int step = 0; step < 3; ++step) model.train_step(x.view(), y.view(), optimizer);
  model.forward(counting({50, 4}).view());
  const TemporaryFolder folder;
  model.save(folder / "w.safetensors");
  const std::vector<float> before = weight.to_vector();
  weight.fill(7);
  CHECK(model.parameter("h.weight")(7, 7) == 7);
  model.load(folder / "w.safetensors");
  CHECK(weight.to_vector() == before);
}

TEST_CASE("a step starts from what was written") {
  tied::Model model;
  const Tensor<float> x = counting({2, 4});
  const Tensor<float> y({2, 1}, {1, -1});
  Sgd optimizer(0.25);
  model.train_step(x.view(), y.view(), optimizer);
  for (const auto& [path, view] : model.named_parameters()) view.fill(0);
  model.parameters.out.bias(0) = 3;
  // Every hidden value is 0, so the loss is the mean of (3 - y)^2, and only out.bias has a gradient: 2 (3 - 0).
  CHECK(model.train_step(x.view(), y.view(), optimizer) == doctest::Approx((4 + 16) / 2.0));
  CHECK(model.parameters.out.bias(0) == doctest::Approx(3 - 0.25 * 6));
  CHECK(model.gradient("out.bias")(0) == doctest::Approx(6));
  CHECK(model.parameters.h.weight.to_vector() == std::vector<float>(64, 0.0F));
  CHECK(model.forward(x.view()).to_vector() == std::vector<float>(2, model.parameters.out.bias(0)));
}

TEST_CASE("a write to a convolution moves the next forward pass by just that much") {
  twice::Model model;
  // Without weights behind it, the head's bias alone is the output.
  model.parameters.head.weight.fill(0);
  const Tensor<float> image = counting({2, 3, 12, 10});
  model.parameters.head.bias.copy_from(counting({5}).view());
  CHECK(model.forward(image.view()).to_vector() == std::vector<float>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4});
  // One element of the shared convolution carries a constant image through: stem = 2, then 2 w, then 2 w^2.
  model.parameters.stem.weight.fill(0);
  model.parameters.stem.bias.fill(2);
  model.parameters.c.conv.weight.fill(0);
  model.buffer("c.batchnorm.running_mean").fill(0);
  model.buffer("c.batchnorm.running_var").fill(1 - 1e-5F);
  model.parameters.c.batchnorm.weight.fill(1);
  model.parameters.c.batchnorm.bias.fill(0);
  model.parameters.head.weight(4, 3) = 1;
  for (const float w : {1.0F, 3.0F, 0.5F}) {
    model.parameters.c.conv.weight(3, 3, 1, 1) = w;
    CHECK(model.forward(image.view())(1, 4) == doctest::Approx(4 + 2 * w * w));
  }
}

TEST_CASE("wrong names, indices and shapes are refused, and nothing is written") {
  tied::Model model;
  const std::vector<float> before = model.parameters.h.weight.to_vector();
  check_error(ErrorKind::usage, {"no parameter 'h.wieght'", "did you mean 'h.weight'?"},
              [&] { model.parameter("h.wieght"); });
  check_error(ErrorKind::usage, {"no parameter ''"}, [&] { model.parameter(""); });
  check_error(ErrorKind::usage, {"no buffer 'h.weight'"}, [&] { model.buffer("h.weight"); });
  check_error(ErrorKind::usage, {"[8,0]", "[8,8]"}, [&] { model.parameters.h.weight(8, 0) = 1; });
  check_error(ErrorKind::usage, {"[-1,0]", "[8,8]"}, [&] { model.parameters.h.weight(-1, 0) = 1; });
  check_error(ErrorKind::usage, {"[0]", "[8,8]"}, [&] { model.parameters.h.weight(0) = 1; });
  check_error(ErrorKind::mismatch, {"expected shape [8,8]", "found [8]"},
              [&] { model.parameters.h.weight.copy_from(counting({8}).view()); });
  check_error(ErrorKind::mismatch, {"[8,8] has 64 elements, 2 are given"}, [] { Tensor<float>({8, 8}, {1, 2}); });
  CHECK(model.parameters.h.weight.to_vector() == before);
}

// ---- Parameters that do not change ----------------------------------------------------------------------------------

/// What a frozen model makes of a batch of images.
std::vector<float> forward(frozen::Model& model, std::int64_t batch) {
  Tensor<float> images({batch, 16, 12, 12});
  for (std::int64_t i = 0; i < images.size(); ++i) images.data()[i] = static_cast<float>(i % 17) / 17;
  return model.forward(images.view()).to_vector();
}

TEST_CASE("frozen or not, models compute the same bits, from memory that was planned") {
  for (const std::int64_t batch : {1, 7}) {
    CAPTURE(batch);
    frozen::Model changing(3);
    frozen::Model fixed(3);
    fixed.freeze();
    const std::vector<float> expected = forward(changing, batch);
    CHECK(forward(fixed, batch) == expected);
    CHECK(forward(fixed, batch) == expected);
    const Description& description = frozen::description();
    const MemoryPlan& plan = batch == 1 ? description.few : description.evaluation;
    CHECK(plan.prepared >= 16 * 32 * 9 + 32 * 48 + 48 * 36 * 32);
    CHECK(fixed.memory_bytes() == plan.bytes(batch) + plan.prepared + description.parameter_floats * 4);
  }
}

TEST_CASE("what is prepared and what a training step takes are not held at one time") {
  constexpr std::int64_t batch = 7;
  frozen::Model model(3);
  const Tensor<float> images({batch, 16, 12, 12}, std::vector<float>(batch * 16 * 12 * 12, 0.5F));
  const Tensor<float> labels({batch, 32}, std::vector<float>(batch * 32, 1.0F));
  const Description& description = frozen::description();
  const std::int64_t standing = 2 * description.parameter_floats * 4;
  const std::vector<float> expected = forward(model, batch);
  for (int epoch = 0; epoch < 2; ++epoch) {
    model.backward(images.view(), labels.view());
    CHECK(model.memory_bytes() == description.training.bytes(batch) + standing);
    model.freeze();
    CHECK(forward(model, batch) == expected);
    CHECK(model.memory_bytes() == description.evaluation.bytes(batch) + description.evaluation.prepared + standing);
    model.unfreeze();
  }
}

TEST_CASE("what was written counts from the next pass on, in a frozen model where it could be known") {
  const TemporaryFolder folder;
  for (const std::int64_t batch : {1, 7}) {
    CAPTURE(batch);
    frozen::Model model(3);
    const View<float> weight = model.parameters.c.weight;
    const std::vector<float> before = forward(model, batch);
    model.save(folder / "w.safetensors");
    weight *= 2;
    const std::vector<float> twice = forward(model, batch);
    CHECK(twice != before);
    model.freeze();
    CHECK(forward(model, batch) == twice);
    weight *= 0.5F;
    CHECK(forward(model, batch) == twice);
    model.save(folder / "half.safetensors");  // neither this nor reading it ends what a constant model keeps
    const frozen::Model& constant = model;
    CHECK(constant.named_parameters().size() == model.description().parameters.size());
    CHECK(constant.parameter("c.weight").size() == weight.size());
    CHECK(forward(model, batch) == twice);
    model.unfreeze();
    CHECK(forward(model, batch) == before);
    model.freeze();
    CHECK(forward(model, batch) == before);
    model.parameter("c.weight") *= 2;
    CHECK(forward(model, batch) == twice);
    model.load(folder / "w.safetensors");
    CHECK(forward(model, batch) == before);
    for (const auto& [path, view] : model.named_parameters()) {
      if (path == "c.weight") view *= 2;
    }
    CHECK(forward(model, batch) == twice);
    model.initialize(3);
    CHECK(forward(model, batch) == before);
    for (float& element : model.parameters_flat()) element = 0;
    CHECK(forward(model, batch) == std::vector<float>(before.size(), 0.0F));
  }
}

// ---- C --------------------------------------------------------------------------------------------------------------

/// A model of the C interface.
struct CModel {
  twice_model* model = twice_create(1);
  CModel() { REQUIRE(model != nullptr); }
  ~CModel() { twice_destroy(model); }
  CModel(const CModel&) = delete;
  CModel& operator=(const CModel&) = delete;
};

TEST_CASE("a model begins with a file's weights, or with zeros") {
  const TemporaryFolder folder;
  const std::string file = folder / "w.safetensors";
  twice::Model saved(7);
  saved.save(file);
  twice::Model model{std::filesystem::path(file)};
  CHECK(model.parameters.c.conv.weight.to_vector() == saved.parameters.c.conv.weight.to_vector());
  check_error(ErrorKind::io, {"nowhere"}, [] { twice::Model lost{std::filesystem::path("/nowhere/w")}; });
  twice::Model blank(zeros);
  CHECK(blank.parameters.c.conv.weight.to_vector() == std::vector<float>(324, 0.0F));

  twice_model* from_file = twice_create_from(file.c_str());
  REQUIRE(from_file != nullptr);
  std::vector<float> weight(324);
  REQUIRE(twice_get(from_file, "c.conv.weight", weight.data(), 324) == 0);
  CHECK(weight == saved.parameters.c.conv.weight.to_vector());
  twice_destroy(from_file);
  CHECK(twice_create_from("/nowhere/w") == nullptr);
  CHECK(std::string(twice_error()).find("/nowhere/w") != std::string::npos);
}

TEST_CASE("C: parameters are listed with their shapes") {
  const CModel c;
  std::vector<std::string> found;
  for (std::int64_t i = 0; twice_parameter(i) != nullptr; ++i) {
    std::array<std::int64_t, 6> extents{};
    int dimensions = 0;
    REQUIRE(twice_shape(c.model, twice_parameter(i), extents.data(), &dimensions) == 0);
    const std::vector<std::int64_t> shape(extents.begin(), extents.begin() + dimensions);
    found.push_back(std::string(twice_parameter(i)) + " " + to_string(Extents(shape)));
  }
  std::vector<std::string> expected;
  twice::Model model;
  for (const auto& [path, view] : model.named_parameters()) expected.push_back(path + " " + to_string(view.shape()));
  CHECK(found == expected);
  CHECK(twice_parameter(-1) == nullptr);
}

TEST_CASE("C: whole parameters and elements are read and written between steps") {
  const CModel c;
  const char* path = "c.conv.weight";
  const std::vector<float> in = counting({324}).view().to_vector();
  REQUIRE(twice_set(c.model, path, in.data(), 324) == 0);
  const std::int64_t index[] = {1, 2, 0, 1};
  float element = 0;
  REQUIRE(twice_get_element(c.model, path, index, 4, &element) == 0);
  CHECK(element == 54 + 2 * 9 + 1);
  REQUIRE(twice_set_element(c.model, path, index, 4, 42) == 0);
  std::vector<float> out(324);
  REQUIRE(twice_get(c.model, path, out.data(), 324) == 0);
  std::vector<float> expected = in;
  expected[73] = 42;
  CHECK(out == expected);

  const Tensor<float> image = counting({2, 3, 12, 10});
  const std::int32_t label[] = {0, 4};
  float loss = 0;
  std::vector<float> bias(5, 0.0F);
  std::vector<float> weight(30, 0.0F);
  twice_optimizer* optimizer = twice_optimizer_create();
  REQUIRE(optimizer != nullptr);
  for (int step = 0; step < 2; ++step) {
    REQUIRE(twice_set(c.model, "head.weight", weight.data(), 30) == 0);
    REQUIRE(twice_set(c.model, "head.bias", bias.data(), 5) == 0);
    REQUIRE(twice_evaluate_loss(c.model, image.data(), label, 2, &loss) == 0);
    CHECK(loss == doctest::Approx(std::log(5.0)));  // equal scores, as if there had been no step
    REQUIRE(twice_train_step(c.model, optimizer, image.data(), label, 2, 0.5, &loss) == 0);
    CHECK(loss == doctest::Approx(std::log(5.0)));
  }
  twice_optimizer_destroy(optimizer);
  // The gradient of the bias is softmax less the share of each class; the recipe's momentum adds .9 of the first
  // step's.
  REQUIRE(twice_get(c.model, "head.bias", bias.data(), 5) == 0);
  CHECK(bias[0] == doctest::Approx(-0.5 * 1.9 * (0.2 - 0.5)));
  CHECK(bias[1] == doctest::Approx(-0.5 * 1.9 * 0.2));
  std::vector<float> gradient(5);
  REQUIRE(twice_gradient(c.model, "head.bias", gradient.data(), 5) == 0);
  CHECK(gradient[0] == doctest::Approx(0.2 - 0.5));
  CHECK(gradient[1] == doctest::Approx(0.2));
}

TEST_CASE("C: what is set counts in a frozen model, too") {
  frozen_model* model = frozen_create(3);
  REQUIRE(model != nullptr);
  REQUIRE(frozen_freeze(model) == 0);
  const std::vector<float> image(16 * 12 * 12, 1.0F);
  std::vector<float> before(32), zero(32);
  REQUIRE(frozen_forward(model, image.data(), 1, before.data(), 32) == 0);
  const std::vector<float> weight(32 * 48 * 36, 0.0F);
  REQUIRE(frozen_set(model, "c.weight", weight.data(), static_cast<std::int64_t>(weight.size())) == 0);
  REQUIRE(frozen_set(model, "c.bias", zero.data(), 32) == 0);
  REQUIRE(frozen_forward(model, image.data(), 1, before.data(), 32) == 0);
  CHECK(before == zero);
  frozen_destroy(model);
}

TEST_CASE("C: the number of threads can be set") {
  const int before = threads();
  CHECK(frozen_set_threads(1) == 0);
  CHECK(threads() == 1);
  CHECK(frozen_set_threads(-1) == 1);
  CHECK(contains(frozen_error(), "expected 0 to 1024 threads, found -1"));
  CHECK(frozen_set_threads(before) == 0);
}

TEST_CASE("C: mistakes return 1 and say what is wrong") {
  const CModel c;
  std::vector<float> elements(324);
  std::array<std::int64_t, 7> index{};
  float element = 5;
  CHECK(twice_get(c.model, "c.conv.wieght", elements.data(), 324) == 1);
  CHECK(contains(twice_error(), "did you mean 'c.conv.weight'?"));
  CHECK(twice_set(c.model, "c.conv.weight", elements.data(), 323) == 1);
  CHECK(contains(twice_error(), "c.conv.weight has 324 elements, not 323"));
  CHECK(twice_get_element(c.model, "c.conv.weight", index.data(), 3, &element) == 1);
  CHECK(contains(twice_error(), "index [0,0,0] is not inside a tensor of shape [6,6,3,3]"));
  index[0] = 6;
  CHECK(twice_set_element(c.model, "c.conv.weight", index.data(), 4, 1) == 1);
  CHECK(contains(twice_error(), "index [6,0,0,0]"));
  CHECK(twice_set_element(c.model, "c.conv.weight", index.data(), 7, 1) == 1);
  CHECK(contains(twice_error(), "at most 6 dimensions"));
  CHECK(element == 5);
  CHECK(twice_forward(c.model, elements.data(), 0, elements.data(), 9) == 1);
}

TEST_CASE("C: null pointers are mistakes") {
  const CModel c;
  std::array<float, 324> elements{};
  std::array<std::int64_t, 6> extents{};
  int dimensions = 0;
  CHECK(twice_get(nullptr, "c.conv.weight", elements.data(), 324) == 1);
  CHECK(contains(twice_error(), "the model is a null pointer"));
  CHECK(twice_get(c.model, nullptr, elements.data(), 324) == 1);
  CHECK(contains(twice_error(), "the path is a null pointer"));
  CHECK(twice_get(c.model, "c.conv.weight", nullptr, 324) == 1);
  CHECK(twice_shape(c.model, "c.conv.weight", nullptr, &dimensions) == 1);
  CHECK(twice_shape(c.model, "c.conv.weight", extents.data(), nullptr) == 1);
  CHECK(twice_load(c.model, nullptr) == 1);
  CHECK(twice_create_from(nullptr) == nullptr);
  CHECK(twice_get_element(c.model, "c.conv.weight", nullptr, 4, elements.data()) == 1);
  const std::int32_t label = 0;
  CHECK(twice_train_step(c.model, nullptr, elements.data(), &label, 1, 0.5, elements.data()) == 1);
  CHECK(contains(twice_error(), "the optimizer is a null pointer"));
  CHECK(twice_forward(c.model, nullptr, 1, elements.data(), 5) == 1);
  twice_destroy(nullptr);
  twice_optimizer_destroy(nullptr);
}

TEST_CASE("C: buffers are read and written as parameters are") {
  const CModel c;
  REQUIRE(twice_buffer(1) == std::string("c.batchnorm.running_var"));
  CHECK(twice_buffer(2) == nullptr);
  const std::vector<float> in = counting({6}).view().to_vector();
  REQUIRE(twice_set(c.model, twice_buffer(1), in.data(), 6) == 0);
  std::vector<float> out(6);
  REQUIRE(twice_get(c.model, twice_buffer(1), out.data(), 6) == 0);
  CHECK(out == in);
}

TEST_CASE("C: a shared layer is there once") {
  tied_model* model = tied_create(3);
  REQUIRE(model != nullptr);
  int count = 0;
  for (std::int64_t i = 0; tied_parameter(i) != nullptr; ++i) count += std::string(tied_parameter(i)).starts_with("h.");
  CHECK(count == 2);
  tied_destroy(model);
}

}  // namespace
}  // namespace netc
