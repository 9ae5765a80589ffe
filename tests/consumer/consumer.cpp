// Trains the generated LeNet on synthetic data, and reaches its parameters by member, by path and by file; writes a
// shared layer while training.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "lenet.hpp"
#include "netc/tensor.h"
#include "tensors_functions.hpp"
#include "tied.hpp"

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

/// One bright row an image, its class: [count, 1, 28, 28].
netc::Tensor<float> make_images(std::int64_t count) {
  netc::Tensor<float> images({count, 1, 28, 28});
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t x = 0; x < 28; ++x) images.view()(n, 0, 2 * (n % 10) + 4, x) = 1;
  }
  return images;
}

netc::Tensor<std::int32_t> make_labels(std::int64_t count) {
  netc::Tensor<std::int32_t> labels({count});
  for (std::int64_t n = 0; n < count; ++n) labels.view()(n) = static_cast<std::int32_t>(n % 10);
  return labels;
}

void check_training(lenet::Model& model) {
  const netc::Tensor<float> images = make_images(40);
  const netc::Tensor<std::int32_t> labels = make_labels(40);
  netc::Sgd optimizer(0.9);
  const float first = model.train_step(images.view(), labels.view(), optimizer);
  float last = first;
  for (int step = 0; step < 2000; ++step) last = model.train_step(images.view(), labels.view(), optimizer);
  std::printf("loss: %g, then %g\n", static_cast<double>(first), static_cast<double>(last));
  require(std::isfinite(first) && last < 0.5F * first, "the loss halves");
}

void check_parameters(lenet::Model& model) {
  model.parameters.conv1.weight(0, 0, 0, 0) = 42;
  require(model.parameter("conv1.weight")(0, 0, 0, 0) == 42, "a write by member is read by path");
  model.parameter("fc3.bias")(9) = -7;
  require(model.parameters.fc3.bias(9) == -7, "a write by path is read by member");
}

void check_file(lenet::Model& model, const std::filesystem::path& file) {
  model.save(file);
  lenet::Model other(file);
  require(other.parameters.conv1.weight(0, 0, 0, 0) == 42, "a parameter comes back from a file");
  const netc::Tensor<float> images = make_images(3);
  const auto logits = model.forward(images.view()).to_vector();
  require(logits.size() == 30 && logits == other.forward(images.view()).to_vector(), "equal models, equal outputs");
}

/// Two layers share one weight: it is listed once, and written between steps.
void check_tying() {
  tied::Model model;
  std::int64_t elements = 0;
  for (const auto& [path, values] : model.named_parameters()) elements += values.size();
  require(elements == 32 + 8 + 64 + 8 + 8 + 1, "a shared layer is counted once");
  const netc::Tensor<float> x({1, 4}, {1, 2, 3, 4});
  const netc::Tensor<float> y({1, 1});
  netc::Sgd optimizer(0.01, 0.9);
  for (int step = 0; step < 3; ++step) {
    model.parameters.h.weight.fill(0);
    model.parameters.h.bias.fill(0);
    model.parameters.out.bias(0) = 3;
    require(model.train_step(x.view(), y.view(), optimizer) == 9, "a step computes with what was written");
  }
}

/// Functions over tensors of any size, their gradients, and what they refuse.
void check_functions() {
  const netc::Tensor<float> a({2, 3}, {0, 1, 2, 3, 4, 5});
  const netc::Tensor<float> x({3}, {1, 2, 3});
  require(tensors::mv::value(a.view(), x.view()).view().to_vector() == std::vector<float>{8, 26}, "matrix-vector");
  const netc::Tensor<float> dy({2}, {1, 10});
  const tensors::mv::Gradient gradient = tensors::mv::value_and_gradient(a.view(), x.view(), dy.view());
  require(gradient.value.view()(1) == 26, "the value comes with the gradient");
  require(gradient.x.view().to_vector() == std::vector<float>{30, 41, 52}, "the gradient of the vector");
  require(gradient.a.view().to_vector() == std::vector<float>{1, 2, 3, 10, 20, 30}, "the gradient of the matrix");
  const netc::View<const float> transposed(a.data(), {3, 2}, {1, 3});
  require(tensors::sum0::value(transposed).view().to_vector() == std::vector<float>{3, 12}, "any strides will do");
  require(tensors::squares::value_and_gradient(x.view()).x.view()(2) == 12, "the gradient of a scalar function");
  const netc::Tensor<float> number({}, {0.5F});
  require(tensors::squares::value_and_gradient(x.view(), number.view()).x.view()(2) == 6, "and of what depends on it");
  try {
    tensors::mv::value(a.view(), dy.view());
    require(false, "arguments that do not fit are refused");
  } catch (const netc::Error& error) {
    require(std::string(error.what()) == "mv: `x` must have the shape [n = 3], found [2]", error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  lenet::Model model;
  check_training(model);
  check_parameters(model);
  check_tying();
  check_functions();
  check_file(model, std::filesystem::path(argc > 1 ? argv[1] : ".") / "consumer.safetensors");
}
