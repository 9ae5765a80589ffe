#include "netc/roofline.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "netc/affinity.h"
#include "netc/error.h"
#include "netc/kernel.h"
#include "netc/pages.h"

namespace netc {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 1 << 18;
constexpr int chains = 12;  // independent sums, more than an addition takes cycles

template <int width>
using Vector __attribute__((vector_size(width * sizeof(float)))) = float;

/// Returns a value of its sums, so that they are computed at all. Inlined, it takes the instructions of its caller.
template <int width>
[[gnu::always_inline]] inline float multiply_add(float factor) {
  const Vector<width> x = factor - Vector<width>{};
  Vector<width> sums[chains];
  for (Vector<width>& sum : sums) sum = x;
  for (int i = 0; i < rounds; ++i) {
    for (Vector<width>& sum : sums) sum = sum * x + x;
  }
  float result = 0;
  for (const Vector<width>& sum : sums) result += sum[0];
  return result;
}

__attribute__((target("avx512f"))) float multiply_add_avx512(float factor) {
  return multiply_add<16>(factor);
}

__attribute__((target("avx2,fma"))) float multiply_add_avx2(float factor) {
  return multiply_add<8>(factor);
}

float multiply_add_sse(float factor) {
  return multiply_add<4>(factor);
}

/// The sum of `words`, whole lines of 64 bytes: as fast as memory delivers them.
std::uint64_t sum_of(const std::uint64_t* words, std::size_t count) {
  using Line __attribute__((vector_size(64))) = std::uint64_t;
  Line sums[4] = {};
  const auto* lines = reinterpret_cast<const Line*>(words);
  for (std::size_t i = 0; i + 4 <= count / 8; i += 4) {
    for (std::size_t k = 0; k < 4; ++k) sums[k] += lines[i + k];
  }
  const Line sum = sums[0] + sums[1] + sums[2] + sums[3];
  std::uint64_t result = 0;
  for (int k = 0; k < 8; ++k) result += sum[k];
  return result;
}

struct Arithmetic {
  float (*multiply_add)(float factor);
  int width;
};

Arithmetic arithmetic() {
  switch (best_isa()) {
    case Isa::avx512_bf16:
    case Isa::avx512:
      return {multiply_add_avx512, 16};
    case Isa::avx2:
      return {multiply_add_avx2, 8};
    case Isa::sse41:
      break;
  }
  return {multiply_add_sse, 4};
}

/// The shortest of some times in which all threads are done with `work`.
double least_seconds(int threads, const std::function<void(int thread)>& work) {
  constexpr int repetitions = 5;
  double least = 1e9;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const Clock::time_point start = Clock::now();
    std::vector<std::jthread> running;
    for (int thread = 0; thread < threads; ++thread) {
      running.emplace_back([&work, thread] {
        bind_thread(pthread_self(), any_processor);
        work(thread);
      });
    }
    running.clear();
    least = std::min(least, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return least;
}

}  // namespace

Roofline measure_roofline(int threads) {
  std::vector<float> results(static_cast<std::size_t>(threads));
  const Arithmetic unit = arithmetic();
  const double compute = least_seconds(threads, [&](int thread) {
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += unit.multiply_add(0.25F);
    results[static_cast<std::size_t>(thread)] = sum;
  });
  constexpr std::size_t words = std::size_t{1} << 24;  // 128 MB in all, beyond every cache
  // Where parameters and arenas lie, too.
  const auto memory = make_pages<std::uint64_t>(words);
  if (memory == nullptr) throw Error(ErrorKind::memory, "cannot allocate 128 MB to measure how fast memory is read");
  std::fill_n(memory.get(), words, std::uint64_t{1});
  const std::size_t share = words / static_cast<std::size_t>(threads) / 32 * 32;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads));
  const double read = least_seconds(threads, [&](int thread) {
    const auto number = static_cast<std::size_t>(thread);
    sums[number] = sum_of(memory.get() + share * number, share);
  });
  return {.flops_per_second = 4.0 * rounds * chains * unit.width * 2 * threads / compute,
          .bytes_per_second = static_cast<double>(share) * sizeof(std::uint64_t) * threads / read};
}

}  // namespace netc
