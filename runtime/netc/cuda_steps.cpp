#include "netc/cuda_steps.h"

#include <HalideRuntimeCuda.h>
#include <fmt/format.h>

#include <limits>

#include "netc/error.h"
#include "netc/halide_hooks.h"

// Made by runtime/update_kernels.cpp: each takes its numbers, then arrays.
extern "C" int netc_cuda_plain_step_argv(void** arguments);
extern "C" int netc_cuda_momentum_step_argv(void** arguments);
extern "C" int netc_cuda_adam_step_argv(void** arguments);
extern "C" int netc_cuda_clip_scale_argv(void** arguments);

namespace netc::cuda {

namespace {

// Of the numbers of a step; those before it are the rate and the limit.
constexpr std::size_t place_of_one = 2;

/// An array as kernels take it.
class Array {
 public:
  explicit Array(std::span<const float> values) : dimension_(0, static_cast<std::int32_t>(values.size()), 1) {
    header_.device = reinterpret_cast<std::uint64_t>(values.data());
    header_.device_interface = halide_cuda_device_interface();
    header_.type = halide_type_of<float>();
    header_.dimensions = 1;
  }

  void* argument() {
    header_.dim = &dimension_;
    return &header_;
  }

 private:
  halide_dimension_t dimension_;
  halide_buffer_t header_{};
};

void require_countable(const StepCall& call) {
  for (const std::span<const float> array : call.arrays) {
    if (array.size() <= std::numeric_limits<std::int32_t>::max()) continue;
    throw Error(ErrorKind::memory, fmt::format("{}: a step for {} parameters: too many", call.name, array.size()));
  }
}

}  // namespace

void launch(const StepCall& call, const float* numbers) {
  require_countable(call);
  halide::install_hooks();
  const std::span<const float> all(numbers, call.numbers.size());
  std::vector<Array> arrays{Array(all)};
  for (const std::span<const float> array : call.arrays) {
    arrays.emplace_back(array.empty() ? all.subspan(place_of_one, 1) : array);
  }
  std::vector<void*> arguments;
  for (Array& array : arrays) arguments.push_back(array.argument());
  if (const int status = call.kernel(arguments.data()); status != 0) {
    throw Error(ErrorKind::device, fmt::format("{}: status {}: {}", call.name, status, halide::take_error()));
  }
}

StepCall plain_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip, float lr,
                    float weight_decay) {
  return {.name = "sgd",
          .kernel = netc_cuda_plain_step_argv,
          .numbers = {lr, clip.limit, 1, weight_decay},
          .arrays = {clip.scale, gradients, parameters}};
}

StepCall momentum_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
                       const Momentum& formula, std::span<float> velocity) {
  return {.name = "sgd with momentum",
          .kernel = netc_cuda_momentum_step_argv,
          .numbers = {formula.lr, clip.limit, 1, formula.weight_decay, formula.momentum, formula.nesterov ? 1.0f : 0},
          .arrays = {clip.scale, gradients, parameters, velocity}};
}

StepCall adam_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
                   const AdamFactors& formula, std::span<float> mean, std::span<float> square) {
  return {.name = "adam",
          .kernel = netc_cuda_adam_step_argv,
          .numbers = {formula.rate, clip.limit, 1, formula.weight_decay, formula.mean_share, formula.square_kept,
                      formula.square_share, formula.square_correction, formula.eps, formula.kept},
          .arrays = {clip.scale, gradients, parameters, mean, square}};
}

StepCall clip_scale(std::span<const float> gradients, float limit, float largest, std::span<float> scale) {
  return {.name = "clip_grad_norm",
          .kernel = netc_cuda_clip_scale_argv,
          .numbers = {limit, largest},
          .arrays = {gradients, scale}};
}

}  // namespace netc::cuda
