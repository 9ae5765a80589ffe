// Optimizers over flat arrays: all parameters of a model lie in one arena, all gradients in another.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "netc/recipe.h"

namespace netc {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// parameters[i] moves along gradients[i]; both have the length of the first call.
  virtual void step(std::span<float> parameters, std::span<const float> gradients) = 0;
  /// What must be saved to continue a run of `parameters` elements bit for bit: a name and a flat array each, made if
  /// there has been no step yet. An array as long as the parameters is stored as they are.
  virtual std::vector<std::pair<std::string, std::span<float>>> state(std::size_t parameters) = 0;

  double lr = 0;
};

/// Stochastic gradient descent with PyTorch's formulas: g += weight_decay p; v = momentum v + g (v = g at first);
/// p -= lr v, or lr (g + momentum v) with `nesterov`. Throws Error (usage) for nesterov without momentum.
class Sgd : public Optimizer {
 public:
  explicit Sgd(double lr, double momentum = 0, double weight_decay = 0, bool nesterov = false);
  void step(std::span<float> parameters, std::span<const float> gradients) override;
  std::vector<std::pair<std::string, std::span<float>>> state(std::size_t parameters) override;

 private:
  double momentum_;
  double weight_decay_;
  bool nesterov_;
  std::vector<float> velocity_;
};

std::unique_ptr<Optimizer> make_optimizer(const OptimizerRecipe& recipe);

}  // namespace netc
