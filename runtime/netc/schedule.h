// The learning rate from step to step.
#pragma once

#include <cstdint>

#include "netc/recipe.h"

namespace netc {

/// The rate of `step`, counted from 0 through the whole run. It rises from warmup_start_factor lr to lr in a straight
/// line, step by step (torch.optim.lr_scheduler.LinearLR); then the schedule begins, whose rate stays for an epoch
/// (StepLR, CosineAnnealingLR).
double learning_rate(const Recipe& recipe, std::int64_t step, std::int64_t steps_per_epoch);

/// The epochs from the highest to the lowest rate of a cosine: t_max, or those behind the warm-up.
int cosine_epochs(const Recipe& recipe);

}  // namespace netc
