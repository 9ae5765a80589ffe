// The optimizers' steps on a GPU. All arrays are as long as the parameters and lie in memory that the GPU reaches.
#pragma once

#include <cstdint>
#include <span>

namespace netc::cuda {

/// What becomes of a gradient first: it is clamped to [-limit, limit], then multiplied by `scale[0]`; an empty `scale`
/// stands for 1.
struct Clip {
  float limit;
  std::span<const float> scale;
};

// Each returns while the GPU may still be at work, and throws Error (device) with the driver's name for what went
// wrong.

/// p -= lr (g + weight_decay p)
void plain_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip, float lr,
                float weight_decay);

struct Momentum {
  float lr;
  float momentum;
  float weight_decay;
  bool nesterov;
};
/// As Sgd.
void momentum_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
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
void adam_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
               const AdamFactors& formula, std::span<float> mean, std::span<float> square);

/// Scratch memory that clip_scale takes.
constexpr std::int64_t clip_scratch_bytes = (1 << 14) * sizeof(double);
/// scale[0] = the factor that brings the norm of the gradients, clamped to [-limit, limit], down to `largest`.
void clip_scale(std::span<const float> gradients, float limit, float largest, std::span<float> scale);

}  // namespace netc::cuda
