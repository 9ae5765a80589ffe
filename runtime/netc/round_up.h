// Sizes in whole units.
#pragma once

namespace netc {

/// The least multiple of `unit` that is not below `value`; both at least 0, and their sum within the type.
template <class T>
constexpr T round_up(T value, T unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace netc
