// Loops over flat arrays on the threads that kernels use.
#pragma once

#include <cstdint>
#include <functional>

namespace netc {

/// Calls f(begin, end) for consecutive pieces of [0, count), several at once; where the pieces lie depends on `count`
/// alone, not on the number of threads. `f` must not throw.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t begin, std::int64_t end)>& f);

/// The sum of f(begin, end) over the pieces, added up in their order.
double parallel_sum(std::int64_t count, const std::function<double(std::int64_t begin, std::int64_t end)>& f);

}  // namespace netc
