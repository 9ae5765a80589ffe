// The optimizers' steps on a GPU. All arrays are as long as the parameters and lie in memory that the GPU reaches.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace netc::cuda {

/// A call of one of the kernels of runtime/update_kernels.cpp. What changes from step to step are numbers, which it
/// reads in the GPU's memory; all else is the same for the same arrays. Choice: so a step that was recorded runs with
/// the rate of each time. Alternative: scalars, which a recording holds as they were, so that the update was launched
/// by itself (2026-11).
struct StepCall {
  static constexpr std::size_t max_numbers = 16;

  const char* name;  // in messages
  int (*kernel)(void** arguments);
  std::array<float, max_numbers> numbers;
  std::vector<std::span<const float>> arrays;  // an empty one stands for a 1, a gradient's factor
};

/// `numbers` is a copy of the call's in the GPU's memory. Returns while the GPU may still be at work; throws Error
/// (device) with the driver's name for what went wrong.
void launch(const StepCall& call, const float* numbers);

/// What becomes of a gradient first: it is clamped to [-limit, limit], then multiplied by `scale[0]`; an empty `scale`
/// stands for 1.
struct Clip {
  float limit;
  std::span<const float> scale;
};

/// p -= lr (g + weight_decay p)
StepCall plain_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip, float lr,
                    float weight_decay);

struct Momentum {
  float lr;
  float momentum;
  float weight_decay;
  bool nesterov;
};
/// As Sgd.
StepCall momentum_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
                       const Momentum& formula, std::span<float> velocity);

struct AdamFactors {
  float rate;  // lr, corrected for the bias of the mean
  float weight_decay;
  float mean_share;
  float square_kept;
  float square_share;
  float square_correction;  // a divisor of the root
  float eps;
  float kept;  // of the parameter: decoupled decay
};
/// As Adam.
StepCall adam_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
                   const AdamFactors& formula, std::span<float> mean, std::span<float> square);

/// Scratch memory that clip_scale takes.
constexpr std::int64_t clip_scratch_bytes = ((1 << 14) + 128) * sizeof(double);
/// scale[0] = the factor that brings the norm of the gradients, clamped to [-limit, limit], down to `largest`.
StepCall clip_scale(std::span<const float> gradients, float limit, float largest, std::span<float> scale);

}  // namespace netc::cuda
