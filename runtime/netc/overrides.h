// `--set train.lr=0.1`: changes to a recipe from the command line.
#pragma once

#include <string_view>

#include "netc/recipe.h"

namespace netc {

/// Applies one assignment, `train.SETTING=VALUE`. Throws Error (usage) for an unknown setting, with "did you mean", and
/// for a value of the wrong type or range.
void apply_override(Recipe& recipe, std::string_view assignment);

/// Throws Error (usage) for a recipe that makes no sense.
void check_recipe(const Recipe& recipe);

}  // namespace netc
