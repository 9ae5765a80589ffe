// `--set train.lr=0.1`: changes to a recipe from the command line.
#pragma once

#include <string>
#include <vector>

#include "netc/recipe.h"

namespace netc {

/// Applies assignments in order, `train.SETTING=VALUE` each, the value written as in a `train` clause: `0.1`, `1/2`,
/// `true`, `adam(lr = 0.01)`, `(flip, crop(pad = 4))`. Throws Error (usage) for an unknown setting, with "did you
/// mean", and for a value of the wrong type or range.
void apply_overrides(Recipe& recipe, const std::vector<std::string>& assignments);

/// Throws Error (usage) for a recipe that makes no sense.
void check_recipe(const Recipe& recipe);

}  // namespace netc
