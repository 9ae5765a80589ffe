// Whole networks against PyTorch, through the commands a user would type: tests/parity/NAME.safetensors holds weights,
// a batch, and what PyTorch makes of them in double precision (see tests/parity/networks.py).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "command_support.h"
#include "netc/npy.h"
#include "netc/safetensors.h"

namespace netc {
namespace {

namespace fs = std::filesystem;

std::vector<float> floats(const StoredTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

/// The norm of a - b.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

/// A .npy file of integers, as the runtime writes only floats.
void write_labels(const fs::path& file, const std::vector<float>& labels) {
  std::string header = fmt::format("{{'descr': '<i4', 'fortran_order': False, 'shape': ({},), }}", labels.size());
  header.resize(118 - 1, ' ');
  header += '\n';
  std::ofstream out(file, std::ios::binary);
  out.write("\x93NUMPY\x01\x00", 8);
  const char length[2] = {118, 0};
  out.write(length, 2);
  out << header;
  for (float label : labels) {
    const auto integer = static_cast<std::int32_t>(label);
    out.write(reinterpret_cast<const char*>(&integer), sizeof integer);
  }
}

/// The numbers behind "loss: ".
std::vector<float> losses(const std::string& text) {
  std::vector<float> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("loss: ")) values.push_back(std::stof(line.substr(6)));
  }
  return values;
}

class Parity {
 public:
  Parity(const std::string& name, std::string model)
      : model_(fs::absolute(model)), oracle_(fs::path("tests/parity") / (name + ".safetensors")) {
    std::vector<NamedTensor> weights;
    for (const auto& [key, tensor] : oracle_.tensors()) {
      if (key.starts_with("weight.")) weights.push_back({key.substr(7), view(tensor)});
    }
    write_safetensors("weights.safetensors", weights);
    for (const auto& [key, tensor] : oracle_.tensors()) {
      if (!key.starts_with("input.")) continue;
      const std::string file = key + ".npy";
      write_npy(file, view(tensor));
      inputs_.insert(inputs_.end(), {"--input", key.substr(6) + "=" + file});
    }
    const auto classes = oracle_.tensors().find("class");
    if (classes == oracle_.tensors().end()) {
      write_npy("label.npy", view(oracle_.tensors().at("target")));
    } else {
      write_labels("label.npy", floats(classes->second));
    }
  }

  void evaluation() {
    run({"--mode", "eval"});
    compare("eval.output", npy("output.npy"));
    compare("eval.loss", losses(printed_));
  }

  void training_step() {
    run({"--mode", "train", "--gradients", "gradients.safetensors"});
    compare("output", npy("output.npy"));
    compare("loss", losses(printed_));
    const SafetensorsReader gradients("gradients.safetensors");
    for (const auto& [key, tensor] : gradients.tensors()) {
      const std::string oracle = "gradient." + key;
      REQUIRE_MESSAGE(oracle_.tensors().contains(oracle), key);
      compare(oracle, floats(tensor));
    }
    CHECK(gradients.tensors().size() == count("gradient."));
  }

  void running_statistics() {
    run({"--mode", "train", "--save", "after.safetensors"});
    const SafetensorsReader after("after.safetensors");
    for (const auto& [key, tensor] : oracle_.tensors()) {
      if (key.starts_with("buffer.")) compare(key, floats(after.tensors().at(key.substr(7))));
    }
  }

  void three_steps() {
    run({"--mode", "train", "--steps", "3", "--save", "after.safetensors"});
    compare("losses", losses(printed_));
    const SafetensorsReader after("after.safetensors");
    for (const auto& [key, tensor] : after.tensors()) compare("after." + key, floats(tensor));
    CHECK(after.tensors().size() == count("after."));
  }

 private:
  static View<const float> view(const StoredTensor& tensor) {
    return {reinterpret_cast<const float*>(tensor.bytes.data()), Extents(tensor.shape)};
  }

  static std::vector<float> npy(const std::string& file) { return read_npy(file).view<float>().to_vector(); }

  std::size_t count(const std::string& prefix) const {
    return static_cast<std::size_t>(std::count_if(oracle_.tensors().begin(), oracle_.tensors().end(),
                                                  [&](const auto& entry) { return entry.first.starts_with(prefix); }));
  }

  void run(const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"run",     model_.string(), "--weights", "weights.safetensors",
                                       "--label", "label.npy",     "--output",  "output.npy"};
    arguments.insert(arguments.end(), inputs_.begin(), inputs_.end());
    arguments.insert(arguments.end(), options.begin(), options.end());
    const test::CommandResult result = test::run_netc(arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    printed_ = result.out;
  }

  /// The parity rule: a relative error of at most 1e-5, or twice that of PyTorch's own single precision. Where the
  /// figure is 0 but for rounding (the gradient of a bias in front of batchnorm), no digit means anything: it must be
  /// as small.
  void compare(const std::string& key, const std::vector<float>& values) {
    INFO(key);
    REQUIRE(oracle_.tensors().contains(key));
    const std::vector<float> oracle = floats(oracle_.tensors().at(key));
    const double norm = distance(oracle, std::vector<float>(oracle.size()));
    const double peer = floats(oracle_.tensors().at("error." + key))[0];
    CHECK(distance(values, oracle) <= (norm < 1e-12 ? 1e-6 : std::max(1e-5, 2 * peer) * norm));
  }

  fs::path model_;
  SafetensorsReader oracle_;
  std::vector<std::string> inputs_;  // --input NAME=FILE …
  std::string printed_;
};

/// Runs in a folder of its own, with the oracle's file read before.
void check(const std::string& name, const std::string& model) {
  const fs::path root = fs::current_path();
  test::WorkingFolder folder;
  fs::create_directory_symlink(root / "tests", "tests");
  fs::create_directory_symlink(root / "models", "models");
  Parity parity(name, model);
  SUBCASE("evaluation: output and loss") {
    parity.evaluation();
  }
  SUBCASE("a training step: output, loss, every gradient") {
    parity.training_step();
  }
  SUBCASE("running statistics after a step") {
    parity.running_statistics();
  }
  SUBCASE("three steps of the optimizer: losses, parameters, buffers") {
    parity.three_steps();
  }
}

TEST_CASE("LeNet computes what PyTorch computes") {
  check("lenet", "models/lenet.net");
}

TEST_CASE("a residual network with batchnorm, add and concat computes what PyTorch computes") {
  check("residual", "tests/parity/residual.net");
}

TEST_CASE("a graph with two inputs, a shared layer and mse computes what PyTorch computes") {
  check("graph", "tests/parity/graph.net");
}

}  // namespace
}  // namespace netc
