// A model with random data, to be timed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "netc/any_tensor.h"
#include "netc/commands.h"

namespace netc {

/// The options `--mode`, `--batch`, `--threads`, `--pin` and `--seconds` of a command that times a model.
struct WorkloadOptions {
  std::string mode = "train";
  std::int64_t batch = 0;
  std::string device = "cpu";
  ThreadOptions threads;
  double seconds = 3;
};

/// Adds them; where they are not given, the batch is that of the model's recipe.
void add_workload_options(CLI::App& command, const Model& model, WorkloadOptions& options);

/// One model with one batch; each step is a training step, or a forward pass. Sets the number of threads.
class Workload {
 public:
  Workload(const Model& model, const WorkloadOptions& options);

  /// Returns the time that the step took, in seconds.
  double step();

  Device device() const { return network_->device(); }

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

}  // namespace netc
