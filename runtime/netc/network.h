// The base of every generated model: parameters by name, memory, files, and the passes that the generated class fills
// in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netc/device.h"
#include "netc/gpu_session.h"
#include "netc/kernel.h"
#include "netc/optimizer.h"
#include "netc/recipe.h"
#include "netc/round_up.h"
#include "netc/tensor.h"
#include "netc/thread_pool.h"

namespace netc {

/// An input, label or output; extent -1 is the batch.
struct TensorSpec {
  std::string name;
  DType type = DType::f32;
  std::vector<std::int64_t> shape;
  std::int64_t classes = 0;  // of a label of classes: its values lie in [0, classes); 0 where it holds no classes
};

/// A parameter in the parameter arena (its gradient lies at the same place of the gradient arena), or a buffer
/// (a running statistic) in the buffer arena.
struct ParameterSpec {
  std::string path;                   // "conv.weight"
  std::vector<std::int64_t> shape;    // PyTorch's
  std::vector<std::int64_t> strides;  // as stored, in floats
  std::int64_t offset = 0;            // in floats from the arena's start
  std::int64_t fan_in = 1;
  std::int64_t fan_out = 1;
  Initializer initializer;
};

/// Memory that a kernel for a GPU uses between its own launches, in bytes.
struct ScratchPlan {
  std::int64_t per_example = 0;
  std::int64_t fixed = 0;
};

/// Memory that a pass needs: `per_example` bytes for each example (their number rounded up to `multiple`) and `fixed`
/// bytes; and for what depends on parameters alone `prepared` bytes, which a frozen network keeps between passes, or
/// `prepared_once` of one that is not, for one kernel after the other. On a GPU, too, what the neediest of its kernels
/// uses.
struct MemoryPlan {
  std::int64_t per_example = 0;
  std::int64_t fixed = 0;
  std::int64_t multiple = 1;
  std::int64_t prepared = 0;
  std::int64_t prepared_once = 0;
  std::vector<ScratchPlan> scratch{};  // of kernels that are the neediest for some batch

  /// The number of examples rounded up.
  std::int64_t capacity(std::int64_t batch) const { return round_up(batch, multiple); }
  std::int64_t bytes(std::int64_t batch) const { return per_example * capacity(batch) + fixed; }
  std::int64_t scratch_bytes(std::int64_t batch) const;
};

/// Bytes that a GPU's memory holds behind a plan's for a batch's tensors, of so many bytes each: they lie there one
/// after the other, behind what kernels are told.
std::int64_t staged_bytes(std::span<const std::int64_t> tensors);

/// Evaluation passes of at most so many examples have kernels of their own.
constexpr std::int64_t few_examples = 4;

/// What generated code takes for granted: it refuses to be compiled with the headers of another version. To be raised
/// with every change of what generated code uses.
constexpr int generated_code_version = 1;

/// Everything about a model that is known before it runs.
struct Description {
  std::string name;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> labels;  // what the loss compares with; empty without a `loss`
  std::vector<TensorSpec> outputs;
  std::vector<ParameterSpec> parameters;
  std::vector<ParameterSpec> buffers;
  std::int64_t parameter_floats = 0;  // the arenas' lengths
  std::int64_t buffer_floats = 0;
  MemoryPlan evaluation;
  MemoryPlan few;  // the same, of batches of at most few_examples
  MemoryPlan training;
  Recipe recipe;
  bool cuda = false;  // whether the kernels were compiled for CUDA, too
};

/// Any input or label of a call: a contiguous tensor in PyTorch's order.
struct AnyView {
  const void* data = nullptr;
  DType type = DType::f32;
  Extents shape;

  AnyView(View<const float> view);         // NOLINT(google-explicit-constructor)
  AnyView(View<float> view);               // NOLINT(google-explicit-constructor)
  AnyView(View<const std::int32_t> view);  // NOLINT(google-explicit-constructor)
  AnyView(View<std::int32_t> view);        // NOLINT(google-explicit-constructor)
  AnyView(View<const std::uint8_t> view);  // NOLINT(google-explicit-constructor)
};

/// What a pass takes, of tensors of any types: `forward(any_views(image))`.
template <class... T>
std::array<AnyView, sizeof...(T)> any_views(const View<T>&... views) {
  return {views...};
}

/// Asks a model for parameters and buffers that are all zero until `initialize` or `load`: `Model model(netc::zeros)`.
struct Zeros {};
constexpr Zeros zeros;

class Network {
 public:
  virtual ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  const Description& description() const { return description_; }
  Device device() const { return device_; }

  /// Parameters, their gradients and buffers by path; throw Error (usage) with "did you mean" for an unknown path.
  View<float> parameter(std::string_view path);
  View<const float> parameter(std::string_view path) const;
  View<float> gradient(std::string_view path);
  View<float> buffer(std::string_view path);
  View<const float> buffer(std::string_view path) const;
  /// All of them, with path, shape and values, in the order of the description. Views stay valid, and writing through
  /// them at any time changes the next pass, on a GPU too; a parameter that layers share is there once.
  std::vector<std::pair<std::string, View<float>>> named_parameters();
  std::vector<std::pair<std::string, View<const float>>> named_parameters() const;
  std::vector<std::pair<std::string, View<float>>> named_buffers();
  std::vector<std::pair<std::string, View<const float>>> named_buffers() const;
  /// The arenas as they are stored, for optimizers.
  std::span<float> parameters_flat();
  std::span<float> gradients_flat();

  /// Draws every parameter and buffer from its rule; equal seeds give equal bits.
  void initialize(std::uint64_t seed);
  /// Parameters and buffers from a safetensors file; all or nothing. The counters that PyTorch keeps beside running
  /// statistics (`num_batches_tracked`) are passed over. Throws Error (io, format, mismatch).
  void load(const std::filesystem::path& file);
  /// Atomic: the old file or the new one, never a torn one. Throws Error (io).
  void save(const std::filesystem::path& file) const;

  /// Promises that until `unfreeze` parameters are not written through views that were there before the last pass:
  /// evaluation passes then compute what depends on parameters alone, such as weights in the order that kernels read,
  /// once instead of each time. Loading, initialising, training and the views handed out from then on count as ever;
  /// what reads a constant network leaves all as it is.
  void freeze() { frozen_ = true; }
  bool frozen() const { return frozen_; }
  void unfreeze();

  /// Evaluation mode. Inputs as in `description().inputs`, all of one batch; returns the first output, row-major,
  /// valid until the next pass. Throws Error (mismatch) naming the input, the shape expected and the shape found.
  View<const float> forward(std::span<const AnyView> inputs);
  /// `forward`, then the mean loss of its output against the labels.
  float evaluate_loss(std::span<const AnyView> inputs, std::span<const AnyView> labels);
  /// Training mode: forward, loss, and the gradients of all parameters (replaced, not added to; of those that cannot
  /// change the loss nothing is computed: theirs stay 0). Returns the mean loss.
  float backward(std::span<const AnyView> inputs, std::span<const AnyView> labels);
  /// `backward`, then one step of the optimizer.
  float train_step(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer);
  /// Starts a `train_step`, which on a GPU goes on after the return; parameters are its own until it is finished. So
  /// many as `steps_at_once` may be under way, which keeps a GPU from waiting for the next batch. Throws Error (usage)
  /// for one more.
  void start_step(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer);
  /// The same of an `evaluate_loss`.
  void start_evaluation(std::span<const AnyView> inputs, std::span<const AnyView> labels);
  int steps_at_once() const { return device_ == Device::cuda ? 2 : 1; }
  /// Steps and evaluations that were started and not finished.
  int steps_under_way() const { return static_cast<int>(under_way_.size()); }
  /// What each leaves: the mean loss, and the first output as it was before the update, valid until another is started,
  /// whatever else was computed meanwhile.
  struct StepResults {
    float loss;
    View<const float> output;
  };
  /// Waits for what was started first.
  StepResults finish_step();
  /// Gradient of the loss with respect to input `i` (of floats) after `backward`, row-major; 0 where the input cannot
  /// change the loss. Throws Error (usage) where the last pass was another or the input holds no floats.
  View<const float> input_gradient(int i);

  /// Output `i` of the last pass.
  View<const float> output(int i = 0) const;
  /// Loss of each example of the last pass that had labels; [batch].
  View<const float> losses() const;
  std::int64_t batch() const { return launch_.batch; }

  /// Random numbers (dropout) are a function of this seed and the number of training passes so far.
  void set_seed(std::uint64_t seed) { launch_.seed = static_cast<std::uint32_t>(seed ^ seed >> 32); }
  std::uint32_t step() const { return steps_; }
  void set_step(std::uint32_t step) { steps_ = step; }

  /// Bytes that are allocated now: activations, parameters, gradients and buffers; no scratch memory of kernels.
  std::int64_t memory_bytes() const;
  /// Bytes that kernels hold or held as scratch memory: this network's on a GPU, those of all networks on the CPU.
  std::int64_t scratch_bytes() const;

 protected:
  /// All parameters and buffers are zero until `initialize` or `load`. The description must outlive the network. Throws
  /// Error (device) where there is no such device.
  explicit Network(const Description& description, Device device = Device::cpu);

  /// The passes; each is a list of kernel calls in the generated class. The first two run in the memory of
  /// `description().evaluation`, the next two, their like for a few examples, in that of `description().few`, the
  /// others in that of `description().training`; the second of each follows the first. A model without a loss has the
  /// first alone, and the others are never called.
  virtual void infer() = 0;     // evaluation mode, sets the outputs
  virtual void infer_loss() {}  // sets the losses, from the outputs that `infer` left
  virtual void infer_few() = 0;
  virtual void infer_few_loss() {}
  virtual void forward_pass() {}         // training mode, sets outputs and losses
  virtual void backward_pass() {}        // fills the gradient arena
  virtual void input_backward_pass() {}  // sets the gradients of the inputs

  // What the passes use.
  const Launch& launch() const { return launch_; }
  const void* input(int i) const { return inputs_[static_cast<std::size_t>(i)]; }
  const void* label(int i) const { return labels_[static_cast<std::size_t>(i)]; }
  float* parameter_arena() const { return parameters_.get(); }
  float* gradient_arena() const { return gradients_.get(); }
  float* buffer_arena() const { return buffers_.get(); }
  /// A place in the arena of the pass that runs: `per_example` bytes for each example (rounded up) from its start.
  float* at(std::int64_t per_example) const { return place(per_example * capacity_); }
  /// A place in the arena's fixed part.
  float* fixed(std::int64_t offset) const { return place(plan_->per_example * capacity_ + offset); }
  /// Has `kernel` make of a parameter what the next one reads in its place, where that is not kept: in a frozen network
  /// it lies at a place of its own, in bytes from the start of the memory for it.
  void prepare(const Kernel& kernel, const float* parameter, std::int64_t place);
  const std::byte* prepared() const { return prepared_now_; }
  void set_output(int i, const float* data) { outputs_[static_cast<std::size_t>(i)].set(data); }
  void set_losses(const float* data) { losses_.set(data); }
  void set_input_gradient(int i, const float* data) { input_gradients_[static_cast<std::size_t>(i)].set(data); }

 private:
  /// What a pass leaves to be read.
  class Result {
   public:
    void set(const float* data) { data_ = data, copied_ = false; }
    bool exists() const { return data_ != nullptr; }
    const float* data() const { return data_; }
    /// The elements where the CPU can read them; those of a `gpu` are copied once.
    const float* read(std::int64_t count, GpuSession* gpu) const;
    /// So many of them where the pass left nothing.
    const float* zeros(std::int64_t count) const;

   private:
    const float* data_ = nullptr;
    mutable bool copied_ = false;
    mutable std::vector<float> copy_;
  };

  enum class Pass { none, evaluation, training, optimizer };

  /// Parameters, gradients and buffers lie in memory that users reach by their views, too, whatever the device.
  enum class Reached { by_kernels, by_users };

  Floats allocate(std::int64_t bytes, const char* purpose, Reached reached) const;
  Floats allocate_on_gpu(std::int64_t bytes, const char* purpose, Reached reached) const;
  void allocate_gradients();
  std::size_t parameter_floats() const { return static_cast<std::size_t>(description_.parameter_floats); }
  std::int64_t gradient_bytes() const { return description_.parameter_floats * std::int64_t{sizeof(float)}; }
  float* place(std::int64_t offset) const { return arena_.get() + offset / static_cast<std::int64_t>(sizeof(float)); }
  void bind(std::span<const AnyView> inputs, const std::vector<TensorSpec>& label_specs,
            std::span<const AnyView> labels);
  void reserve(const MemoryPlan& plan, Optimizer* optimizer = nullptr);
  void take_turns(const MemoryPlan& plan);
  std::int64_t staging_bytes() const;
  std::int64_t scratch_bytes(const MemoryPlan& plan, const Optimizer* optimizer) const;
  std::int64_t bytes_beside(const MemoryPlan& plan, Optimizer* optimizer) const;
  void copy_to_gpu(std::span<const cuda::StepCall> update);
  void launch_on_gpu(std::span<const cuda::StepCall> update) const;
  void run_pass(GpuSession::Pass GpuSession::*pass, GpuSession::Pass::Key key, const std::function<void()>& launch);
  bool few() const { return launch_.batch <= few_examples; }
  void parameters_changed();
  void evaluate(std::span<const AnyView> inputs, const std::vector<TensorSpec>& label_specs,
                std::span<const AnyView> labels);
  void reserve_prepared(const MemoryPlan& plan);
  void require_loss() const;
  bool compute_gradients(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer* optimizer);
  void update(std::span<const AnyView> inputs, std::span<const AnyView> labels, Optimizer& optimizer);
  void require_room() const;
  void leave_results();
  float mean_loss() const;

  const Description& description_;
  Device device_;
  Floats parameters_;
  Floats gradients_;  // made by the first backward pass
  Floats buffers_;
  Floats arena_;
  std::int64_t arena_bytes_ = 0;
  bool arena_trains_ = false;  // it was made, or used, for a training step
  /// What was prepared for passes of some size.
  struct Prepared {
    Floats memory;
    std::int64_t bytes = 0;
    bool current = false;  // all of it was made of the parameters as they are, if these were not written through views
  };
  Prepared& prepared_for_pass() { return few() ? prepared_few_ : prepared_; }
  Prepared prepared_;
  Prepared prepared_few_;
  std::byte* prepared_now_ = nullptr;
  bool frozen_ = false;
  const MemoryPlan* plan_ = nullptr;  // of the pass that runs
  std::int64_t capacity_ = 0;         // examples, rounded up
  Launch launch_{0, 0, 0};
  std::uint32_t steps_ = 0;  // training passes so far
  Pass last_pass_ = Pass::none;
  bool input_gradients_ready_ = false;
  std::vector<const void*> inputs_;
  std::vector<const void*> labels_;
  std::vector<Result> outputs_;
  std::vector<Result> input_gradients_;
  Result losses_;
  std::unique_ptr<GpuSession> gpu_;       // where that is the device
  std::deque<std::int64_t> under_way_{};  // the batches of what was started
  std::vector<float> left_;               // by the one that the CPU has done: losses, the first output
};

}  // namespace netc
