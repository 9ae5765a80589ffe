// Optimizers over flat arrays: all parameters of a model lie in one arena, all gradients in another.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netc/device.h"
#include "netc/recipe.h"

namespace netc {

namespace cuda {
struct AdamFactors;
struct Clip;
struct StepCall;
}  // namespace cuda

/// What becomes of a gradient before a step, as by torch.nn.utils.clip_grad_value_ and then clip_grad_norm_; 0:
/// nothing.
struct Clipping {
  double value = 0;  // elements are clamped to [-value, value]
  double norm = 0;  // all gradients are scaled so that their norm (the square root of all squares' sum) is at most this
};

/// An array of an optimizer's state, in memory of the device that updates it.
class StateArray {
 public:
  /// Makes it `count` zeros where it is empty; moves it where it lies elsewhere. Throws Error (usage) where it has
  /// another length.
  void prepare(std::size_t count, Device device);
  /// Whether `prepare` would allocate.
  bool lies_on(Device device) const { return elements_ && elements_.get_deleter().device == device; }
  std::span<float> values() const { return {elements_.get(), count_}; }

 private:
  Floats elements_;
  std::size_t count_ = 0;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// parameters[i] moves along gradients[i], which is clipped on the way and stays as it is; both have the length of
  /// the first call, and lie in `device`'s memory. The result does not depend on the number of threads.
  void step(std::span<float> parameters, std::span<const float> gradients, Device device = Device::cpu);
  /// The most calls of a step: a clipped norm's factor, the update.
  static constexpr std::size_t max_calls = 2;
  /// A step in a GPU's memory as calls, in order, for whom launches them (see `prepare`), and then says `count_step`.
  /// None where the optimizer has no kernels for it: `step` then computes on the CPU, which reaches the same memory.
  std::vector<cuda::StepCall> next_calls(std::span<float> parameters, std::span<const float> gradients);
  /// The calls are launched: the next ones are of another step. `step` counts by itself.
  virtual void count_step() {}
  /// Makes the state that steps on the device need, or moves it there. Throws Error (memory, device), or (usage) for
  /// another number of parameters than at first.
  void prepare(std::size_t parameters, Device device);
  /// Bytes that `prepare` would allocate.
  std::int64_t missing_bytes(std::size_t parameters, Device device);
  /// Bytes of scratch memory that a step takes on a GPU.
  std::int64_t scratch_bytes() const;
  /// What must be saved to continue a run of `parameters` elements bit for bit: a name and a flat array each, made if
  /// there has been no step yet. An array as long as the parameters is stored as they are.
  virtual std::vector<std::pair<std::string, std::span<float>>> state(std::size_t parameters) = 0;

  double lr = 0;
  Clipping clipping{};

 protected:
  /// Clamps to [-limit, limit], then multiplies by `scale`.
  struct Clip {
    float limit;
    float scale;
  };

  /// Of the last step.
  Device device() const { return device_; }

 private:
  /// Of the state, those as long as the parameters.
  virtual std::vector<StateArray*> arrays() { return {}; }
  virtual void update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) = 0;
  /// The same by a kernel for a GPU; none where there is no such kernel.
  virtual std::vector<cuda::StepCall> next_update(std::span<float> parameters, std::span<const float> gradients,
                                                  const cuda::Clip& clip);
  bool step_on_gpu(std::span<float> parameters, std::span<const float> gradients);
  float clamp_limit() const;

  Device device_ = Device::cpu;
  StateArray scale_;    // one element, where a norm is clipped on a GPU
  StateArray numbers_;  // of `step` on a GPU
};

/// Stochastic gradient descent with PyTorch's formulas: g += weight_decay p; v = momentum v + g (v = g at first);
/// p -= lr v, or lr (g + momentum v) with `nesterov`. Throws Error (usage) for nesterov without momentum.
class Sgd : public Optimizer {
 public:
  explicit Sgd(double lr, double momentum = 0, double weight_decay = 0, bool nesterov = false);
  std::vector<std::pair<std::string, std::span<float>>> state(std::size_t parameters) override;

 private:
  std::vector<StateArray*> arrays() override;
  void update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) override;
  std::vector<cuda::StepCall> next_update(std::span<float> parameters, std::span<const float> gradients,
                                          const cuda::Clip& clip) override;

  double momentum_;
  double weight_decay_;
  bool nesterov_;
  StateArray velocity_;
};

/// How `weight_decay` acts: as a part of the gradient (Adam), or on the parameter beside it (AdamW).
enum class WeightDecay { of_gradient, decoupled };

/// Adam and AdamW with PyTorch's formulas, for step t from 1:
/// g += weight_decay p, or p -= lr weight_decay p where decoupled;
/// m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2;
/// p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
class Adam : public Optimizer {
 public:
  explicit Adam(double lr, std::array<double, 2> betas = {0.9, 0.999}, double eps = 1e-8, double weight_decay = 0,
                WeightDecay decay = WeightDecay::of_gradient);
  void count_step() override { ++steps_[0]; }
  std::vector<std::pair<std::string, std::span<float>>> state(std::size_t parameters) override;

 private:
  std::vector<StateArray*> arrays() override { return {&mean_, &square_}; }
  void update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) override;
  std::vector<cuda::StepCall> next_update(std::span<float> parameters, std::span<const float> gradients,
                                          const cuda::Clip& clip) override;

  cuda::AdamFactors next_factors() const;

  std::array<double, 2> betas_;
  double eps_;
  double weight_decay_;
  WeightDecay decay_;
  std::array<float, 1> steps_{};  // exact up to 2^24, where the corrections of the bias have long been 1
  StateArray mean_;               // m
  StateArray square_;             // v
};

/// How many arrays as long as the parameters the recipe's optimizer keeps.
int state_arrays(const OptimizerRecipe& recipe);

/// Throws Error (usage) for a name that is not known.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerRecipe& recipe);
/// The same with the recipe's clipping.
std::unique_ptr<Optimizer> make_optimizer(const Recipe& recipe);

}  // namespace netc
