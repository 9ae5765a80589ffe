// Shared layers and writes between training steps, in generated code, against PyTorch in double precision: see
// tests/parity/tying.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "netc/safetensors.h"
#include "tests/runtime_support.h"
#include "tied.hpp"
#include "twice.hpp"

namespace netc {
namespace {

using test::TemporaryFolder;

/// The norm of a - b.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

/// PyTorch's figures for one network.
class Oracle {
 public:
  explicit Oracle(const std::string& name) : file_("tests/parity/tying/" + name + ".safetensors") {}

  Tensor<float> tensor(const std::string& key) const {
    const StoredTensor& stored = file_.tensors().at(key);
    std::vector<float> values(stored.bytes.size() / sizeof(float));
    std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
    return {Extents(stored.shape), std::move(values)};
  }

  std::vector<float> values(const std::string& key) const { return tensor(key).view().to_vector(); }

  /// At most 1e-5 off, or twice as far as PyTorch's own single precision.
  void compare(const std::string& key, const std::vector<float>& found) const {
    INFO(key);
    REQUIRE(file_.tensors().contains(key));
    const std::vector<float> oracle = values(key);
    const double norm = distance(oracle, std::vector<float>(oracle.size()));
    CHECK(distance(found, oracle) <= std::max(1e-5, 2.0 * values("error." + key)[0]) * norm);
  }

  std::size_t count(const std::string& prefix) const {
    const auto starts = [&](const auto& entry) { return entry.first.starts_with(prefix); };
    return static_cast<std::size_t>(std::count_if(file_.tensors().begin(), file_.tensors().end(), starts));
  }

  void load_start(Network& network) const {
    for (const auto& [path, view] : network.named_parameters()) view.copy_from(tensor("start." + path).view());
    for (const auto& [path, view] : network.named_buffers()) view.copy_from(tensor("start." + path).view());
    CHECK(count("start.") == network.named_parameters().size() + network.named_buffers().size());
  }

 private:
  SafetensorsReader file_;
};

/// The momentum of each parameter lies where the parameter lies.
void compare_momenta(Network& network, Optimizer& optimizer, const Oracle& oracle) {
  const auto state = optimizer.state(network.parameters_flat().size());
  REQUIRE(state.size() == 1);
  REQUIRE(state[0].second.size() == network.parameters_flat().size());
  for (const ParameterSpec& spec : network.description().parameters) {
    const View<float> slot(state[0].second.data() + spec.offset, Extents(spec.shape), Extents(spec.strides));
    oracle.compare("momentum." + spec.path, slot.to_vector());
  }
  CHECK(oracle.count("momentum.") == network.description().parameters.size());
}

/// Six steps of training as tying.py takes them; `write` changes parameters between the third and the fourth.
template <class Model, class Label, class Write>
void check_training(Model& model, const Oracle& oracle, View<const Label> label, Write write) {
  oracle.load_start(model);
  const Tensor<float> input = oracle.tensor("input");
  Sgd optimizer(0.05, 0.9, 0.001);
  std::vector<float> losses;
  for (int step = 0; step < 6; ++step) {
    if (step == 3) {
      write(model);
      oracle.compare("output", model.forward(input.view()).to_vector());
    }
    losses.push_back(model.train_step(input.view(), label, optimizer));
    if (step > 0) continue;
    for (const ParameterSpec& spec : model.description().parameters) {
      oracle.compare("gradient." + spec.path, model.gradient(spec.path).to_vector());
    }
  }
  oracle.compare("losses", losses);
  for (const auto& [path, view] : model.named_parameters()) oracle.compare("after." + path, view.to_vector());
  for (const auto& [path, view] : model.named_buffers()) oracle.compare("after." + path, view.to_vector());
  compare_momenta(model, optimizer, oracle);
}

TEST_CASE("the tied network trains as PyTorch's does, through writes between its steps") {
  const Oracle oracle("tied");
  const Tensor<float> target = oracle.tensor("target");
  tied::Model model;
  check_training(model, oracle, target.view(), [](tied::Model& m) {
    m.parameters.h.weight(0, 0) = 1.5F;
    m.parameter("h.bias").copy_from(Tensor<float>({8}, {-0.5, -0.375, -0.25, -0.125, 0, 0.125, 0.25, 0.375}).view());
    m.parameters.out.weight += 1;
  });
}

TEST_CASE("a convolution shared at two sizes trains as PyTorch's does, through writes between its steps") {
  const Oracle oracle("twice");
  const std::vector<float> classes = oracle.values("class");
  const Tensor<std::int32_t> label({7}, {classes.begin(), classes.end()});
  twice::Model model;
  check_training(model, oracle, label.view(), [](twice::Model& m) {
    m.parameters.c.conv.weight(1, 2, 0, 1) = -0.75F;
    m.parameters.stem.weight += 0.125F;
    m.parameter("c.batchnorm.weight") *= 2;
    m.parameters.head.bias.fill(0.25F);
  });
}

TEST_CASE("a shared layer is one parameter: listed once, stored once, saved once") {
  tied::Model model;
  std::vector<std::string> paths;
  for (const auto& [path, view] : model.named_parameters()) paths.push_back(path);
  CHECK(paths ==
        std::vector<std::string>{"first.weight", "first.bias", "h.weight", "h.bias", "out.weight", "out.bias"});
  const TemporaryFolder folder;
  model.save(folder / "w.safetensors");
  const SafetensorsReader file(folder / "w.safetensors");
  CHECK(file.tensors().size() == 6);
  CHECK(file.tensors().at("h.weight").bytes.size() == 64 * sizeof(float));
}

/// What `tied` computes for one example, in plain C++.
double by_hand(tied::Model& model, const std::vector<double>& x) {
  const auto layer = [](View<float> weight, View<float> bias, const std::vector<double>& in, bool is_last = false) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < weight.shape()[0]; ++i) {
      double sum = bias(i);
      for (std::int64_t j = 0; j < weight.shape()[1]; ++j) sum += weight(i, j) * in[static_cast<std::size_t>(j)];
      out.push_back(is_last ? sum : std::max(sum, 0.0));
    }
    return out;
  };
  const auto& [first, h, out] = model.parameters;
  std::vector<double> value = layer(first.weight, first.bias, x);
  for (int use = 0; use < 2; ++use) value = layer(h.weight, h.bias, value);
  return layer(out.weight, out.bias, value, true)[0];
}

TEST_CASE("writing a shared layer changes both of its uses") {
  tied::Model model;
  const Tensor<float> x({1, 4}, {1, -2, 3, 0.5});
  const auto check_forward = [&] {
    CHECK(model.forward(x.view())(0, 0) == doctest::Approx(by_hand(model, {1, -2, 3, 0.5})).epsilon(1e-5));
  };
  check_forward();
  model.parameters.h.weight(0, 0) = 100;
  check_forward();
  model.parameters.h.weight *= 0.5F;
  check_forward();
  model.parameters.h.bias.fill(2);
  check_forward();
}

}  // namespace
}  // namespace netc
