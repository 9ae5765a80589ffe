// Loops over flat arrays on the pool that kernels use.
#include "netc/parallel.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "netc/thread_pool.h"

namespace netc {

namespace {

// Large enough that handing out a piece costs nothing beside it, small enough to stay in the second-level cache.
constexpr std::int64_t piece = 1 << 15;

struct Loop {
  std::int64_t count;
  const std::function<void(std::int64_t, std::int64_t)>* f;
};

int run_piece(void*, int index, std::uint8_t* closure) {
  const auto& loop = *reinterpret_cast<const Loop*>(closure);
  const std::int64_t begin = index * piece;
  (*loop.f)(begin, std::min(begin + piece, loop.count));
  return 0;
}

}  // namespace

void parallel_for(std::int64_t count, const std::function<void(std::int64_t begin, std::int64_t end)>& f) {
  Loop loop{count, &f};
  const auto pieces = static_cast<int>((count + piece - 1) / piece);
  parallel_loop(nullptr, run_piece, 0, pieces, reinterpret_cast<std::uint8_t*>(&loop));
}

double parallel_sum(std::int64_t count, const std::function<double(std::int64_t begin, std::int64_t end)>& f) {
  std::vector<double> sums(static_cast<std::size_t>((count + piece - 1) / piece));
  parallel_for(count, [&](std::int64_t begin, std::int64_t end) {
    sums[static_cast<std::size_t>(begin / piece)] = f(begin, end);
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace netc
