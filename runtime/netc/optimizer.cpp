// SGD as one pass over the arenas: parameters, gradients and velocity are read and written once a step.
#include "netc/optimizer.h"

#include <fmt/format.h>

#include <cmath>

#include "netc/error.h"
#include "netc/parallel.h"

namespace netc {

namespace {

struct Coefficients {
  float lr;
  float momentum;
  float weight_decay;
};

void plain_step(float* __restrict parameter, const float* __restrict gradient, std::int64_t count, Coefficients c) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] + c.weight_decay * parameter[i];
    parameter[i] -= c.lr * g;
  }
}

template <bool nesterov>
void momentum_step(float* __restrict parameter, const float* __restrict gradient, float* __restrict velocity,
                   std::int64_t count, Coefficients c) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] + c.weight_decay * parameter[i];
    const float v = c.momentum * velocity[i] + g;
    velocity[i] = v;
    parameter[i] -= c.lr * (nesterov ? g + c.momentum * v : v);
  }
}

void require_length(std::size_t expected, std::size_t found) {
  if (expected == found) return;
  throw Error(ErrorKind::usage, fmt::format("optimizer: expected {} elements, found {}", expected, found));
}

}  // namespace

Sgd::Sgd(double rate, double momentum, double weight_decay, bool nesterov)
    : momentum_(momentum), weight_decay_(weight_decay), nesterov_(nesterov) {
  if (nesterov && momentum <= 0) throw Error(ErrorKind::usage, "sgd: nesterov needs a momentum above 0");
  lr = rate;
}

void Sgd::step(std::span<float> parameters, std::span<const float> gradients) {
  require_length(parameters.size(), gradients.size());
  const Coefficients c{static_cast<float>(lr), static_cast<float>(momentum_), static_cast<float>(weight_decay_)};
  float* p = parameters.data();
  const float* g = gradients.data();
  const auto count = static_cast<std::int64_t>(parameters.size());
  if (momentum_ == 0) {
    return parallel_for(count, [=](auto begin, auto end) { plain_step(p + begin, g + begin, end - begin, c); });
  }
  state(parameters.size());
  require_length(velocity_.size(), parameters.size());
  float* v = velocity_.data();
  const auto update = nesterov_ ? momentum_step<true> : momentum_step<false>;
  parallel_for(count, [=](auto begin, auto end) { update(p + begin, g + begin, v + begin, end - begin, c); });
}

std::vector<std::pair<std::string, std::span<float>>> Sgd::state(std::size_t parameters) {
  if (momentum_ == 0) return {};
  // From zero, the first step's velocity is the gradient itself, as PyTorch has it.
  if (velocity_.empty()) velocity_.resize(parameters);
  return {{"velocity", velocity_}};
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerRecipe& recipe) {
  if (recipe.name != "sgd") {
    throw Error(ErrorKind::usage, fmt::format("optimizer '{}': expected sgd", recipe.name));
  }
  return std::make_unique<Sgd>(recipe.lr, recipe.momentum, recipe.weight_decay, recipe.nesterov);
}

}  // namespace netc
