// First values of parameters.
#pragma once

#include <cstdint>
#include <string_view>

#include "netc/recipe.h"
#include "netc/tensor.h"

namespace netc {

/// The sizes that the rules of xavier, kaiming and PyTorch's default scale by.
struct Fan {
  std::int64_t in = 1;
  std::int64_t out = 1;
};

/// Draws every element in the row-major order of its logical index, so that the values do not depend on how the
/// parameter is stored. Equal seeds and paths give equal bits. Throws Error (usage) for a rule without sense.
void initialize(View<float> parameter, const Initializer& rule, Fan fan, std::uint64_t seed, std::string_view path);

}  // namespace netc
