// A model with random data, to be timed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "netc/any_tensor.h"
#include "netc/commands.h"

namespace netc {

/// The options `--mode`, `--batch`, `--device`, `--threads`, `--pin` and `--seconds` of a command that times a model.
struct WorkloadOptions {
  std::string mode = "train";
  std::int64_t batch = 0;
  std::string device = "auto";
  ThreadOptions threads;
  double seconds = 3;
};

/// Adds them; where they are not given, the batch is that of the model's recipe, and models without a loss infer.
void add_workload_options(CLI::App& command, const Model& model, WorkloadOptions& options);

/// One model with one batch; each step is a training step, or a forward pass. Sets the number of threads. Throws Error
/// (usage) where a model without a loss is to be trained.
class Workload {
 public:
  Workload(const Model& model, const WorkloadOptions& options);

  /// Takes so many steps and returns the time of one, in seconds. Training steps of a GPU overlap, and the CPU is
  /// ahead of them: the clock runs until the last is done.
  double time(int steps);
  /// So many steps to time together when all may take `seconds`: one on the CPU. Choice: a tenth of the time on a GPU,
  /// with one wait at its end. Alternative: from one step's return to the next one's, of which the fastest comes too
  /// early, behind one that the host was late to start (2026-11).
  int steps_of_block(double seconds);

  Device device() const { return network_->device(); }
  /// "cuda", or "2 threads".
  std::string place() const;

  /// What netc allocated on the device: arenas, optimizer, scratch of kernels.
  std::int64_t bytes();
  std::int64_t scratch_bytes() const { return network_->scratch_bytes(); }

 private:
  void step();

  bool training_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<AnyTensor> inputs_;
  std::vector<AnyTensor> labels_;
  std::vector<AnyView> input_views_;
  std::vector<AnyView> label_views_;
};

}  // namespace netc
