#include "netc/roofline.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "netc/kernel.h"

namespace netc {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 1 << 18;
constexpr int chains = 12;  // independent sums, more than an addition takes cycles

// Each returns its sums' first element, so that they are computed at all.

__attribute__((target("avx512f"))) float multiply_add_avx512(float factor) {
  __m512 sums[chains];
  for (__m512& sum : sums) sum = _mm512_set1_ps(factor);
  const __m512 x = _mm512_set1_ps(factor);
  for (int i = 0; i < rounds; ++i) {
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, x, x);
  }
  float result = 0;
  for (const __m512& sum : sums) result += _mm512_cvtss_f32(sum);
  return result;
}

__attribute__((target("avx2,fma"))) float multiply_add_avx2(float factor) {
  __m256 sums[chains];
  for (__m256& sum : sums) sum = _mm256_set1_ps(factor);
  const __m256 x = _mm256_set1_ps(factor);
  for (int i = 0; i < rounds; ++i) {
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, x, x);
  }
  float result = 0;
  for (const __m256& sum : sums) result += _mm256_cvtss_f32(sum);
  return result;
}

float multiply_add_sse(float factor) {
  __m128 sums[chains];
  for (__m128& sum : sums) sum = _mm_set1_ps(factor);
  const __m128 x = _mm_set1_ps(factor);
  for (int i = 0; i < rounds; ++i) {
    for (__m128& sum : sums) sum = _mm_add_ps(_mm_mul_ps(sum, x), x);
  }
  float result = 0;
  for (const __m128& sum : sums) result += _mm_cvtss_f32(sum);
  return result;
}

struct Arithmetic {
  float (*multiply_add)(float factor);
  int width;
};

Arithmetic arithmetic() {
  switch (best_isa()) {
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
    for (int thread = 0; thread < threads; ++thread) running.emplace_back(work, thread);
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
  const std::vector<std::uint64_t> memory(words, 1);
  const std::size_t share = words / static_cast<std::size_t>(threads);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads));
  const double read = least_seconds(threads, [&](int thread) {
    const auto begin = memory.begin() + static_cast<std::ptrdiff_t>(share * static_cast<std::size_t>(thread));
    sums[static_cast<std::size_t>(thread)] =
        std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(share), std::uint64_t{0});
  });
  return {.flops_per_second = 4.0 * rounds * chains * unit.width * 2 * threads / compute,
          .bytes_per_second = static_cast<double>(share) * sizeof(std::uint64_t) * threads / read};
}

}  // namespace netc
