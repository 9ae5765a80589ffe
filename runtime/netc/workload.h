// A model with random data, to be timed.
#pragma once

#include <memory>
#include <vector>

#include "netc/any_tensor.h"
#include "netc/commands.h"

namespace netc {

/// One model with one batch; each step is a training step, or a forward pass.
class Workload {
 public:
  Workload(const Model& model, bool training, std::int64_t batch);

  /// Returns the time that the step took, in seconds.
  double step();

  /// What netc allocated: arenas, optimizer, scratch of kernels.
  std::int64_t bytes();

 private:
  bool training_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<AnyTensor> inputs_;
  std::vector<AnyTensor> labels_;
  std::vector<AnyView> input_views_;
  std::vector<AnyView> label_views_;
};

/// The options `--mode`, `--batch`, `--threads` and `--seconds` of a command that times a model.
struct WorkloadOptions {
  std::string mode = "train";
  std::int64_t batch = 0;  // 0: the recipe's
  int threads = 0;
  double seconds = 3;

  bool training() const { return mode == "train"; }
};
void add_workload_options(CLI::App& command, WorkloadOptions& options);

}  // namespace netc
