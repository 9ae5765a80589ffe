// Closed forms of PyTorch's schedulers: a rate is a function of the step alone, so a run can be continued anywhere.
#include "netc/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace netc {

int cosine_epochs(const Recipe& recipe) {
  if (recipe.schedule.t_max > 0) return recipe.schedule.t_max;
  return std::max(1, static_cast<int>(std::ceil(recipe.epochs - recipe.warmup)));
}

double learning_rate(const Recipe& recipe, std::int64_t step, std::int64_t steps_per_epoch) {
  const double lr = recipe.optimizer.lr;
  const std::int64_t warm = std::llround(recipe.warmup * static_cast<double>(steps_per_epoch));
  if (step < warm) {
    const double start = recipe.warmup_start_factor;
    return lr * (start + (1 - start) * static_cast<double>(step) / static_cast<double>(warm));
  }
  const ScheduleRecipe& schedule = recipe.schedule;
  const std::int64_t epoch = (step - warm) / steps_per_epoch;
  if (schedule.name == "step") return lr * std::pow(schedule.gamma, static_cast<double>(epoch / schedule.step_size));
  if (schedule.name == "cosine") {
    const double turn = std::numbers::pi * static_cast<double>(epoch) / cosine_epochs(recipe);
    return schedule.eta_min + (lr - schedule.eta_min) * (1 + std::cos(turn)) / 2;
  }
  return lr;
}

}  // namespace netc
