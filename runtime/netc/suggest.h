// "did you mean": the nearest of the names that would have been right.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace netc {

/// The nearest of the candidates, or nullptr when none is near.
const std::string* nearest(std::string_view name, std::span<const std::string> candidates);

/// "; did you mean 'conv.weight'?", or nothing when no candidate is near.
std::string did_you_mean(std::string_view name, std::span<const std::string> candidates);

}  // namespace netc
