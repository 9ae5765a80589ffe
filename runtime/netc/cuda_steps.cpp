#include "netc/cuda_steps.h"

#include <HalideRuntimeCuda.h>
#include <fmt/format.h>

#include <array>
#include <limits>
#include <string>

#include "netc/error.h"
#include "netc/halide_hooks.h"

// Made by runtime/update_kernels.cpp: scalars, then arrays.
extern "C" int netc_cuda_plain_step_argv(void** arguments);
extern "C" int netc_cuda_momentum_step_argv(void** arguments);
extern "C" int netc_cuda_adam_step_argv(void** arguments);
extern "C" int netc_cuda_clip_scale_argv(void** arguments);

namespace netc::cuda {

namespace {

/// The arguments of one call.
class Call {
 public:
  /// A scalar, which must live until the call.
  template <class T>
  Call& scalar(const T& value) {
    return argument(const_cast<T*>(&value));
  }

  Call& array(std::span<const float> values) {
    if (values.size() > std::numeric_limits<std::int32_t>::max()) {
      throw Error(ErrorKind::memory, fmt::format("an optimizer's step for {} parameters: too many", values.size()));
    }
    Array& array = arrays_[array_count_++];
    array.dimension = halide_dimension_t(0, static_cast<std::int32_t>(values.size()), 1);
    array.header.device = reinterpret_cast<std::uint64_t>(values.data());
    array.header.device_interface = halide_cuda_device_interface();
    array.header.type = halide_type_of<float>();
    array.header.dimensions = 1;
    array.header.dim = &array.dimension;
    return argument(&array.header);
  }

  void run(const char* name, int (*kernel)(void**)) {
    halide::install_hooks();
    if (const int status = kernel(arguments_.data()); status != 0) {
      throw Error(ErrorKind::device, fmt::format("{}: status {}: {}", name, status, halide::take_error()));
    }
  }

 private:
  struct Array {
    halide_buffer_t header{};
    halide_dimension_t dimension{};
  };

  Call& argument(void* pointer) {
    arguments_[count_++] = pointer;
    return *this;
  }

  std::array<Array, 5> arrays_{};
  std::array<void*, 16> arguments_{};
  std::size_t array_count_ = 0;
  std::size_t count_ = 0;
};

/// What all steps begin with, apart from scalars of their own.
class StepCall : public Call {
 public:
  StepCall(const float& lr, const Clip& clip) : scaled_(!clip.scale.empty()) {
    scalar(lr).scalar(clip.limit).scalar(scaled_);
  }
  StepCall(const StepCall&) = delete;
  StepCall& operator=(const StepCall&) = delete;

  /// The arrays that all steps have; where there is no scale, it is not read.
  Call& arrays(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) {
    return array(scaled_ ? clip.scale : gradients.first(1)).array(gradients).array(parameters);
  }

 private:
  bool scaled_;
};

}  // namespace

void plain_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip, float lr,
                float weight_decay) {
  StepCall call(lr, clip);
  call.scalar(weight_decay);
  call.arrays(parameters, gradients, clip);
  call.run("sgd", netc_cuda_plain_step_argv);
}

void momentum_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
                   const Momentum& formula, std::span<float> velocity) {
  StepCall call(formula.lr, clip);
  call.scalar(formula.weight_decay).scalar(formula.momentum).scalar(formula.nesterov);
  call.arrays(parameters, gradients, clip).array(velocity);
  call.run("sgd with momentum", netc_cuda_momentum_step_argv);
}

void adam_step(std::span<float> parameters, std::span<const float> gradients, const Clip& clip,
               const AdamFactors& formula, std::span<float> mean, std::span<float> square) {
  StepCall call(formula.rate, clip);
  call.scalar(formula.weight_decay).scalar(formula.mean_share).scalar(formula.square_kept);
  call.scalar(formula.square_share).scalar(formula.square_correction).scalar(formula.eps).scalar(formula.kept);
  call.arrays(parameters, gradients, clip).array(mean).array(square);
  call.run("adam", netc_cuda_adam_step_argv);
}

void clip_scale(std::span<const float> gradients, float limit, float largest, std::span<float> scale) {
  Call call;
  call.scalar(limit).scalar(largest).array(gradients).array(scale);
  call.run("clip_grad_norm", netc_cuda_clip_scale_argv);
}

}  // namespace netc::cuda
