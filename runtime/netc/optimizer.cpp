// One pass over the arenas: parameters, gradients and the optimizer's state are read and written once a step.
#include "netc/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "netc/cuda.h"
#include "netc/cuda_steps.h"
#include "netc/error.h"
#include "netc/pages.h"
#include "netc/parallel.h"

namespace netc {

namespace {

void require_length(std::size_t expected, std::size_t found) {
  if (expected == found) return;
  throw Error(ErrorKind::usage, fmt::format("optimizer: expected {} elements, found {}", expected, found));
}

// ---- Clipping -------------------------------------------------------------------------------------------------------

/// In doubles, and in several sums, whose additions overlap.
double sum_of_squares(const float* gradients, std::int64_t count, float limit) {
  constexpr std::int64_t sums = 8;
  std::array<double, sums> partial{};
  for (std::int64_t i = 0; i < count; i += sums) {
    const std::int64_t end = std::min(sums, count - i);
    for (std::int64_t k = 0; k < end; ++k) {
      const double g = std::clamp(gradients[i + k], -limit, limit);
      partial[static_cast<std::size_t>(k)] += g * g;
    }
  }
  double total = 0;
  for (double sum : partial) total += sum;
  return total;
}

/// The factor that brings the norm down to `largest`; not a number where the norm is none.
float norm_scale(std::span<const float> gradients, float limit, double largest) {
  const double squares = parallel_sum(static_cast<std::int64_t>(gradients.size()), [&](auto begin, auto end) {
    return sum_of_squares(gradients.data() + begin, end - begin, limit);
  });
  const double factor = largest / (std::sqrt(squares) + 1e-6);
  return factor > 1 ? 1.0f : static_cast<float>(factor);
}

// ---- Formulas: each moves one parameter `p` along its gradient `g` --------------------------------------------------

struct PlainStep {
  float lr;
  float weight_decay;

  void operator()(float& p, float g) const { p -= lr * (g + weight_decay * p); }
};

template <bool nesterov>
struct MomentumStep {
  float lr;
  float momentum;
  float weight_decay;

  void operator()(float& p, float g, float& velocity) const {
    g += weight_decay * p;
    velocity = momentum * velocity + g;
    p -= lr * (nesterov ? g + momentum * velocity : velocity);
  }
};

struct AdamStep : cuda::AdamFactors {
  void operator()(float& p, float g, float& mean, float& square) const {
    g += weight_decay * p;
    mean += mean_share * (g - mean);
    square = square_kept * square + square_share * g * g;
    p = kept * p - rate * (mean / (std::sqrt(square) / square_correction + eps));
  }
};

// ---- The pass -------------------------------------------------------------------------------------------------------

template <class Formula, class Clipped, class... State>
void update_range(float* __restrict parameters, const float* __restrict gradients, std::int64_t count,
                  const Formula& formula, const Clipped& clipped, State* __restrict... state) {
  for (std::int64_t i = 0; i < count; ++i) formula(parameters[i], clipped(gradients[i]), state[i]...);
}

/// Applies the formula to every element; `state` holds arrays as long as the parameters.
template <class Formula, class Clip, class... State>
void update_all(std::span<float> parameters, std::span<const float> gradients, const Clip& clip, const Formula& formula,
                State*... state) {
  const auto pass = [&](const auto& clipped) {
    parallel_for(static_cast<std::int64_t>(parameters.size()), [&](auto begin, auto end) {
      update_range(parameters.data() + begin, gradients.data() + begin, end - begin, formula, clipped,
                   (state + begin)...);
    });
  };
  const float limit = clip.limit;
  const float scale = clip.scale;
  if (scale == 1 && std::isinf(limit)) {
    pass([](float g) { return g; });
  } else {
    pass([=](float g) { return std::clamp(g, -limit, limit) * scale; });
  }
}

}  // namespace

void StateArray::prepare(std::size_t count, Device device) {
  if (elements_) require_length(count_, count);
  if (lies_on(device)) return;
  const std::size_t bytes = count * sizeof(float);
  void* memory = device == Device::cuda
                     ? cuda::allocate(static_cast<std::int64_t>(bytes), cuda::Memory::shared, "an optimizer's state")
                     : allocate_pages(bytes);
  if (memory == nullptr) throw Error(ErrorKind::memory, fmt::format("cannot allocate {} bytes of state", bytes));
  Floats moved(static_cast<float*>(memory), {device, bytes});
  if (elements_) std::copy_n(elements_.get(), count, moved.get());
  elements_ = std::move(moved);
  count_ = count;
}

float Optimizer::clamp_limit() const {
  return clipping.value > 0 ? static_cast<float>(clipping.value) : std::numeric_limits<float>::infinity();
}

void Optimizer::prepare(std::size_t parameters, Device device) {
  device_ = device;
  for (StateArray* array : arrays()) array->prepare(parameters, device);
  if (device == Device::cuda && clipping.norm > 0) scale_.prepare(1, device);
}

std::int64_t Optimizer::missing_bytes(std::size_t parameters, Device device) {
  std::size_t floats = 0;
  for (const StateArray* array : arrays()) floats += array->lies_on(device) ? 0 : parameters;
  if (device == Device::cuda && clipping.norm > 0 && !scale_.lies_on(device)) ++floats;
  return static_cast<std::int64_t>(floats * sizeof(float));
}

std::int64_t Optimizer::scratch_bytes() const {
  return clipping.norm > 0 ? cuda::clip_scratch_bytes : 0;
}

void Optimizer::step(std::span<float> parameters, std::span<const float> gradients, Device device) {
  require_length(parameters.size(), gradients.size());
  prepare(parameters.size(), device);
  if (device == Device::cuda && step_on_gpu(parameters, gradients)) return count_step();
  Clip clip{clamp_limit(), 1};
  if (clipping.norm > 0) clip.scale = norm_scale(gradients, clip.limit, clipping.norm);
  update(parameters, gradients, clip);
  count_step();
}

/// Returns when the step is done; false where the CPU must do it, which may begin.
bool Optimizer::step_on_gpu(std::span<float> parameters, std::span<const float> gradients) {
  cuda::synchronize();
  const std::vector<cuda::StepCall> calls = next_calls(parameters, gradients);
  if (calls.empty()) return false;
  numbers_.prepare(max_calls * cuda::StepCall::max_numbers, Device::cuda);
  float* numbers = numbers_.values().data();
  for (const cuda::StepCall& call : calls) {
    std::copy(call.numbers.begin(), call.numbers.end(), numbers);
    cuda::launch(call, numbers);
    numbers += call.numbers.size();
  }
  cuda::synchronize();
  return true;
}

/// The norm's factor stays on the GPU.
std::vector<cuda::StepCall> Optimizer::next_calls(std::span<float> parameters, std::span<const float> gradients) {
  const bool clips = clipping.norm > 0;
  const cuda::Clip clip{clamp_limit(), clips ? scale_.values() : std::span<float>()};
  std::vector<cuda::StepCall> calls = next_update(parameters, gradients, clip);
  if (clips && !calls.empty()) {
    const auto largest = static_cast<float>(clipping.norm);
    calls.insert(calls.begin(), cuda::clip_scale(gradients, clip.limit, largest, scale_.values()));
  }
  return calls;
}

std::vector<cuda::StepCall> Optimizer::next_update(std::span<float>, std::span<const float>, const cuda::Clip&) {
  return {};
}

Sgd::Sgd(double rate, double momentum, double weight_decay, bool nesterov)
    : momentum_(momentum), weight_decay_(weight_decay), nesterov_(nesterov) {
  if (nesterov && momentum <= 0) throw Error(ErrorKind::usage, "sgd: nesterov needs a momentum above 0");
  lr = rate;
}

std::vector<StateArray*> Sgd::arrays() {
  if (momentum_ == 0) return {};
  return {&velocity_};
}

void Sgd::update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) {
  const auto rate = static_cast<float>(lr);
  const auto momentum = static_cast<float>(momentum_);
  const auto decay = static_cast<float>(weight_decay_);
  if (momentum_ == 0) return update_all(parameters, gradients, clip, PlainStep{rate, decay});
  float* velocity = velocity_.values().data();
  if (nesterov_) return update_all(parameters, gradients, clip, MomentumStep<true>{rate, momentum, decay}, velocity);
  update_all(parameters, gradients, clip, MomentumStep<false>{rate, momentum, decay}, velocity);
}

std::vector<cuda::StepCall> Sgd::next_update(std::span<float> parameters, std::span<const float> gradients,
                                             const cuda::Clip& clip) {
  const auto rate = static_cast<float>(lr);
  const auto decay = static_cast<float>(weight_decay_);
  if (momentum_ == 0) return {cuda::plain_step(parameters, gradients, clip, rate, decay)};
  return {cuda::momentum_step(parameters, gradients, clip, {rate, static_cast<float>(momentum_), decay, nesterov_},
                              velocity_.values())};
}

std::vector<std::pair<std::string, std::span<float>>> Sgd::state(std::size_t parameters) {
  if (momentum_ == 0) return {};
  // From zero, the first step's velocity is the gradient itself, as PyTorch has it.
  prepare(parameters, device());
  return {{"velocity", velocity_.values()}};
}

Adam::Adam(double rate, std::array<double, 2> betas, double eps, double weight_decay, WeightDecay decay)
    : betas_(betas), eps_(eps), weight_decay_(weight_decay), decay_(decay) {
  lr = rate;
}

cuda::AdamFactors Adam::next_factors() const {
  const double t = steps_[0] + 1;
  const bool decoupled = decay_ == WeightDecay::decoupled;
  return {.rate = static_cast<float>(lr / (1 - std::pow(betas_[0], t))),
          .weight_decay = static_cast<float>(decoupled ? 0 : weight_decay_),
          .mean_share = static_cast<float>(1 - betas_[0]),
          .square_kept = static_cast<float>(betas_[1]),
          .square_share = static_cast<float>(1 - betas_[1]),
          .square_correction = static_cast<float>(std::sqrt(1 - std::pow(betas_[1], t))),
          .eps = static_cast<float>(eps_),
          .kept = static_cast<float>(decoupled ? 1 - lr * weight_decay_ : 1)};
}

void Adam::update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) {
  update_all(parameters, gradients, clip, AdamStep{next_factors()}, mean_.values().data(), square_.values().data());
}

std::vector<cuda::StepCall> Adam::next_update(std::span<float> parameters, std::span<const float> gradients,
                                              const cuda::Clip& clip) {
  return {cuda::adam_step(parameters, gradients, clip, next_factors(), mean_.values(), square_.values())};
}

std::vector<std::pair<std::string, std::span<float>>> Adam::state(std::size_t parameters) {
  prepare(parameters, device());
  return {{"exp_avg", mean_.values()}, {"exp_avg_sq", square_.values()}, {"step", steps_}};
}

int state_arrays(const OptimizerRecipe& recipe) {
  if (recipe.name != "sgd") return 2;
  return recipe.momentum != 0 ? 1 : 0;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerRecipe& recipe) {
  if (recipe.name == "sgd") {
    return std::make_unique<Sgd>(recipe.lr, recipe.momentum, recipe.weight_decay, recipe.nesterov);
  }
  if (recipe.name == "adam" || recipe.name == "adamw") {
    const WeightDecay decay = recipe.name == "adam" ? WeightDecay::of_gradient : WeightDecay::decoupled;
    return std::make_unique<Adam>(recipe.lr, recipe.betas, recipe.eps, recipe.weight_decay, decay);
  }
  throw Error(ErrorKind::usage, fmt::format("optimizer '{}': expected sgd, adam or adamw", recipe.name));
}

std::unique_ptr<Optimizer> make_optimizer(const Recipe& recipe) {
  std::unique_ptr<Optimizer> optimizer = make_optimizer(recipe.optimizer);
  optimizer->clipping = {recipe.clip_grad_value, recipe.clip_grad_norm};
  return optimizer;
}

}  // namespace netc
