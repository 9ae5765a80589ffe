// Philox and the distributions on it.
#include "netc/random.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

namespace netc {

namespace {

constexpr std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

/// FNV-1a: gives each purpose a stream of its own.
std::uint64_t hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53;
  constexpr std::uint64_t multiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl0 = 0x9E3779B9;
  constexpr std::uint32_t weyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = multiplier0 * counter[0];
    const std::uint64_t product1 = multiplier1 * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key = {key[0] + weyl0, key[1] + weyl1};
  }
  return counter;
}

RandomStream::RandomStream(std::uint64_t seed, std::string_view purpose, std::uint32_t index)
    : key_{low(seed), high(seed)}, counter_{0, index, low(hash(purpose)), high(hash(purpose))} {}

void RandomStream::seek(std::uint32_t block) {
  counter_[0] = block;
  used_ = static_cast<unsigned>(block_.size());
  has_spare_ = false;
}

std::uint32_t RandomStream::word() {
  if (used_ == block_.size()) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double RandomStream::uniform() {
  const std::uint64_t high_bits = word() >> 5;
  const std::uint64_t low_bits = word() >> 6;
  return static_cast<double>(high_bits << 26 | low_bits) * 0x1p-53;
}

float RandomStream::uniform(double low, double high) {
  const auto value = static_cast<float>(low + (high - low) * uniform());
  // Rounding to float may reach the end that the interval excludes.
  const bool outside = low < high && static_cast<double>(value) >= high;
  return outside ? std::nextafter(value, -std::numeric_limits<float>::infinity()) : value;
}

double RandomStream::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  const double angle = 2 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

std::uint32_t RandomStream::below(std::uint32_t bound) {
  // Lemire's method: the high half of a product, redrawn in the few cases that would favour some results.
  std::uint64_t product = std::uint64_t{word()} * bound;
  const std::uint32_t threshold = (0u - bound) % bound;
  while (low(product) < threshold) product = std::uint64_t{word()} * bound;
  return high(product);
}

void shuffle(std::vector<std::int32_t>& numbers, RandomStream& random) {
  for (std::size_t i = numbers.size(); i > 1; --i) {
    std::swap(numbers[i - 1], numbers[random.below(static_cast<std::uint32_t>(i))]);
  }
}

std::vector<std::int32_t> permutation(std::int32_t count, std::uint64_t seed, std::uint32_t epoch) {
  RandomStream random(seed, "shuffle", epoch);
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, random);
  return order;
}

}  // namespace netc
