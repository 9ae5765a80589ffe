// Whole networks against PyTorch, through the commands a user would type: tests/parity/NAME.safetensors says how to
// make a network and what PyTorch makes of it in double precision (see tests/parity/networks.py). Where the environment
// has NETC_PARITY=NAME, only that one; NETC_PARITY_DEVICE=cuda: on a GPU.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "command_support.h"
#include "counter_formula.h"
#include "netc/npy.h"
#include "netc/safetensors.h"

namespace netc {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Shape = std::vector<std::int64_t>;

std::vector<float> floats(const StoredTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::size_t elements(const Shape& shape) {
  std::size_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  return count;
}

/// A .npy file of integers, as the runtime writes only floats.
void write_labels(const fs::path& file, const std::vector<std::uint32_t>& labels) {
  std::string header = fmt::format("{{'descr': '<i4', 'fortran_order': False, 'shape': ({},), }}", labels.size());
  header.resize(118 - 1, ' ');
  header += '\n';
  std::ofstream out(file, std::ios::binary);
  out.write("\x93NUMPY\x01\x00", 8);
  const char length[2] = {118, 0};
  out.write(length, 2);
  out << header;
  for (const std::uint32_t label : labels) out.write(reinterpret_cast<const char*>(&label), sizeof label);
}

void write_floats(const std::string& file, const Shape& shape, const std::vector<float>& values) {
  write_npy(file, {values.data(), Extents(shape)});
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
  explicit Parity(const fs::path& oracle) : oracle_(oracle), network_(json::parse(oracle_.metadata().at("network"))) {}

  /// Writes the files that `netc run` reads; `root` is the root of the source tree.
  void prepare(const fs::path& root) {
    command_ = {"run", (root / network_.at("model").get<std::string>()).string(), "--weights", "weights.safetensors"};
    for (const std::string setting : network_.at("set")) command_.insert(command_.end(), {"--set", setting});
    if (const char* device = std::getenv("NETC_PARITY_DEVICE")) command_.insert(command_.end(), {"--device", device});
    write_state();
    for (const auto& [name, shape] : network_.at("inputs").items()) {
      write_floats(name + ".npy", shape,
                   test::uniform(name + network_.at("batch").get<std::string>(), elements(shape), 1));
      command_.insert(command_.end(), {"--input", fmt::format("{0}={0}.npy", name)});
      batch_ = shape.at(0);
    }
    write_label(static_cast<std::size_t>(batch_));
    command_.insert(command_.end(), {"--label", "label.npy", "--output", "output.npy"});
  }

  void evaluation() {
    run({"--mode", "eval"});
    compare("eval.output", npy("output.npy"));
    compare("eval.loss", losses(printed_));
  }

  /// Outputs, loss, every gradient, running statistics.
  void training_pass() {
    run({"--mode", "train", "--gradients", "gradients.safetensors", "--save", "after.safetensors"});
    compare("output", npy("output.npy"));
    compare("loss", losses(printed_));
    compare_file("gradient.", "gradients.safetensors");
    const SafetensorsReader after("after.safetensors");
    for (const auto& [key, tensor] : oracle_.tensors()) {
      if (key.starts_with("buffer.")) compare(key, floats(after.tensors().at(key.substr(7))));
    }
  }

  /// The same bits when all that can be is computed again.
  void within_least_memory() {
    const std::string gradients = test::read_text("gradients.safetensors");
    const std::string after = test::read_text("after.safetensors");
    run({"--mode", "train", "--gradients", "gradients.safetensors", "--save", "after.safetensors", "--batch",
         std::to_string(batch_), "--max-memory", least_memory()});
    CHECK(test::read_text("gradients.safetensors") == gradients);
    CHECK(test::read_text("after.safetensors") == after);
  }

  void three_steps() {
    run({"--mode", "train", "--steps", "3", "--save", "after.safetensors"});
    compare("losses", losses(printed_));
    compare_file("after.", "after.safetensors");
  }

  void check_complete() const {
    for (const auto& [key, tensor] : oracle_.tensors()) {
      CHECK_MESSAGE((key.starts_with("error.") || compared_.contains(key)), key);
    }
  }

 private:
  static std::vector<float> npy(const std::string& file) { return read_npy(file).view<float>().to_vector(); }

  /// A parameter or buffer before the first step. Batchnorm is known by its statistics; where decisions are held apart,
  /// its bias keeps what it hands to relu far from 0.
  std::vector<float> initial(const std::string& path, const Shape& shape) const {
    const std::string layer = path.substr(0, path.rfind('.') + 1);
    const std::string leaf = path.substr(layer.size());
    const std::size_t count = elements(shape);
    if (leaf == "weight" && shape.size() > 1) {
      const std::size_t fan_in = count / static_cast<std::size_t>(shape[0]);
      return test::uniform(path, count, 2 / std::sqrt(static_cast<double>(fan_in)));
    }
    if (leaf == "weight" || leaf == "running_var") return test::uniform(path, count, 0.5, 1);
    const bool normalises = network_.at("state").contains(layer + "running_mean");
    const bool shifted = normalises && leaf == "bias" && apart();
    return test::uniform(path, count, normalises ? 0.5 : 0.1, shifted ? 8 : 0);
  }

  void write_state() const {
    std::vector<std::vector<float>> values;
    std::vector<NamedTensor> tensors;
    for (const auto& [path, shape] : network_.at("state").items()) {
      values.push_back(initial(path, shape));
      tensors.push_back({path, {values.back().data(), Extents(shape.get<Shape>())}});
    }
    write_safetensors("weights.safetensors", tensors);
  }

  void write_label(std::size_t batch) const {
    const json& label = network_.at("label");
    if (label.contains("shape")) {
      const Shape shape = label.at("shape");
      return write_floats("label.npy", shape, test::uniform("label", elements(shape), 1));
    }
    std::vector<std::uint32_t> classes = test::words("label", batch);
    for (std::uint32_t& c : classes) c %= label.at("classes").get<std::uint32_t>();
    write_labels("label.npy", classes);
  }

  void run(const std::vector<std::string>& options) {
    std::vector<std::string> arguments = command_;
    arguments.insert(arguments.end(), options.begin(), options.end());
    const test::CommandResult result = test::run_netc(arguments);
    REQUIRE_MESSAGE(result.status == 0, result.err);
    printed_ = result.out;
  }

  void compare_file(const std::string& prefix, const std::string& file) {
    const SafetensorsReader reader(file);
    for (const auto& [key, tensor] : reader.tensors()) compare(prefix + key, floats(tensor));
  }

  /// "12.4MiB": what `netc summary` says that a step takes at least, with what rounding may have hidden.
  std::string least_memory() const {
    std::vector<std::string> arguments{"summary", command_[1], "--batch", std::to_string(batch_), "--max-memory", "1"};
    for (const std::string setting : network_.at("set")) arguments.insert(arguments.end(), {"--set", setting});
    const test::CommandResult refused = test::run_netc(arguments);
    const std::string before = " takes at least ";
    const std::size_t found = refused.err.find(before);
    REQUIRE_MESSAGE(found != std::string::npos, refused.err);
    std::istringstream words(refused.err.substr(found + before.size()));
    double size = 0;
    std::string unit;
    words >> size >> unit;
    return fmt::format("{:.1f}{}", size + 0.1, unit.substr(0, unit.find(',')));
  }

  bool apart() const { return network_.at("apart"); }

  /// The parity rule: a relative error of at most 1e-5 (1e-4 where decisions are held apart), or twice that of
  /// PyTorch's own single precision. Where the figure is 0 but for rounding (the gradient of a bias in front of
  /// batchnorm), no digit means anything: it must be as small.
  double allowed(double norm, double peer) const {
    if (norm <= 1e-12) return std::max(1e-6, 2 * peer);
    return norm * std::max(apart() ? 1e-4 : 1e-5, 2 * peer);
  }

  /// By digests. A projection of an error, and the norm of some of its elements, vary around what the norm of the whole
  /// says: they may be 4 times that.
  void compare(const std::string& key, const std::vector<float>& values) {
    INFO(key);
    compared_.insert(key);
    REQUIRE(oracle_.tensors().contains(key));
    const std::vector<float> oracle = floats(oracle_.tensors().at(key));
    const double error = allowed(oracle[0], floats(oracle_.tensors().at("error." + key))[0]);
    const test::Digest ours = test::digest(key, values);
    CHECK(std::abs(ours.norm - oracle[0]) <= error);
    CHECK(std::abs(ours.projections[0] - oracle[1]) <= 4 * error);
    CHECK(std::abs(ours.projections[1] - oracle[2]) <= 4 * error);
    REQUIRE(ours.elements.size() == oracle.size() - 3);
    double squares = 0;
    for (std::size_t i = 0; i < ours.elements.size(); ++i) {
      squares += std::pow(static_cast<double>(ours.elements[i]) - oracle[i + 3], 2);
    }
    const double part = static_cast<double>(ours.elements.size()) / static_cast<double>(values.size());
    CHECK(std::sqrt(squares) <= error * (part < 1 ? 4 * std::sqrt(part) : 1));
  }

  SafetensorsReader oracle_;
  json network_;  // see `describe` in networks.py
  std::int64_t batch_ = 0;
  std::vector<std::string> command_;
  std::string printed_;
  std::set<std::string> compared_;
};

std::vector<fs::path> oracles() {
  const fs::path folder = fs::absolute("tests/parity");
  if (const char* name = std::getenv("NETC_PARITY")) return {folder / fmt::format("{}.safetensors", name)};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Networks whose training passes are run within the least memory, too.
const std::set<std::string> compute_again{"googlenet", "graph", "mixed", "residual", "resnet18"};

TEST_CASE("whole networks compute what PyTorch computes") {
  for (const fs::path& file : oracles()) {
    INFO(file.stem().string());
    Parity parity(file);
    const test::WorkingFolder folder;
    parity.prepare(folder.before());
    parity.evaluation();
    parity.training_pass();
    if (compute_again.contains(file.stem().string())) parity.within_least_memory();
    parity.three_steps();
    parity.check_complete();
  }
}

}  // namespace
}  // namespace netc
