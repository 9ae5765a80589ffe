// One pass over the arenas: parameters, gradients and the optimizer's state are read and written once a step.
#include "netc/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "netc/error.h"
#include "netc/parallel.h"

namespace netc {

namespace {

void require_length(std::size_t expected, std::size_t found) {
  if (expected == found) return;
  throw Error(ErrorKind::usage, fmt::format("optimizer: expected {} elements, found {}", expected, found));
}

void make_state(std::vector<float>& state, std::size_t parameters) {
  if (state.empty()) state.resize(parameters);
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

// ---- Formulas: each moves one parameter `p` along its gradient `g`
// ---------------------------------------------------

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

struct AdamStep {
  float rate;  // lr, corrected for the bias of the mean
  float mean_share;
  float square_kept;
  float square_share;
  float square_correction;  // a divisor of the root
  float eps;
  float weight_decay;  // as a part of the gradient
  float kept;          // of the parameter: decoupled decay

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

void Optimizer::step(std::span<float> parameters, std::span<const float> gradients) {
  require_length(parameters.size(), gradients.size());
  Clip clip{std::numeric_limits<float>::infinity(), 1};
  if (clipping.value > 0) clip.limit = static_cast<float>(clipping.value);
  if (clipping.norm > 0) clip.scale = norm_scale(gradients, clip.limit, clipping.norm);
  update(parameters, gradients, clip);
}

Sgd::Sgd(double rate, double momentum, double weight_decay, bool nesterov)
    : momentum_(momentum), weight_decay_(weight_decay), nesterov_(nesterov) {
  if (nesterov && momentum <= 0) throw Error(ErrorKind::usage, "sgd: nesterov needs a momentum above 0");
  lr = rate;
}

void Sgd::update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) {
  const auto rate = static_cast<float>(lr);
  const auto momentum = static_cast<float>(momentum_);
  const auto decay = static_cast<float>(weight_decay_);
  if (momentum_ == 0) return update_all(parameters, gradients, clip, PlainStep{rate, decay});
  state(parameters.size());
  require_length(velocity_.size(), parameters.size());
  float* velocity = velocity_.data();
  if (nesterov_) return update_all(parameters, gradients, clip, MomentumStep<true>{rate, momentum, decay}, velocity);
  update_all(parameters, gradients, clip, MomentumStep<false>{rate, momentum, decay}, velocity);
}

std::vector<std::pair<std::string, std::span<float>>> Sgd::state(std::size_t parameters) {
  if (momentum_ == 0) return {};
  // From zero, the first step's velocity is the gradient itself, as PyTorch has it.
  make_state(velocity_, parameters);
  return {{"velocity", velocity_}};
}

Adam::Adam(double rate, std::array<double, 2> betas, double eps, double weight_decay, WeightDecay decay)
    : betas_(betas), eps_(eps), weight_decay_(weight_decay), decay_(decay) {
  lr = rate;
}

void Adam::update(std::span<float> parameters, std::span<const float> gradients, const Clip& clip) {
  state(parameters.size());
  require_length(mean_.size(), parameters.size());
  steps_[0] += 1;
  const double t = steps_[0];
  const bool decoupled = decay_ == WeightDecay::decoupled;
  const AdamStep formula{.rate = static_cast<float>(lr / (1 - std::pow(betas_[0], t))),
                         .mean_share = static_cast<float>(1 - betas_[0]),
                         .square_kept = static_cast<float>(betas_[1]),
                         .square_share = static_cast<float>(1 - betas_[1]),
                         .square_correction = static_cast<float>(std::sqrt(1 - std::pow(betas_[1], t))),
                         .eps = static_cast<float>(eps_),
                         .weight_decay = static_cast<float>(decoupled ? 0 : weight_decay_),
                         .kept = static_cast<float>(decoupled ? 1 - lr * weight_decay_ : 1)};
  update_all(parameters, gradients, clip, formula, mean_.data(), square_.data());
}

std::vector<std::pair<std::string, std::span<float>>> Adam::state(std::size_t parameters) {
  make_state(mean_, parameters);
  make_state(square_, parameters);
  return {{"exp_avg", mean_}, {"exp_avg_sq", square_}, {"step", steps_}};
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
