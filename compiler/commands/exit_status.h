// What netc's process returns.
#pragma once

namespace netc {

constexpr int wrong_input = 1;
constexpr int wrong_usage = 2;
constexpr int internal_error = 3;  // a bug of netc's

}  // namespace netc
