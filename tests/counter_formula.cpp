// See tests/parity/networks.py for the same in Python.
#include "counter_formula.h"

#include <cmath>

namespace netc::test {

namespace {

/// A bijection of 32-bit words.
std::uint32_t mixed(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352d;
  x ^= x >> 15;
  x *= 0x846ca68b;
  return x ^ (x >> 16);
}

/// FNV-1a.
std::uint32_t key_of(const std::string& stream) {
  std::uint32_t key = 2166136261;
  for (const char c : stream) key = (key ^ static_cast<unsigned char>(c)) * 16777619;
  return key;
}

std::uint32_t word(std::uint32_t key, std::size_t index) {
  return mixed(mixed(static_cast<std::uint32_t>(index)) + key);
}

}  // namespace

std::vector<std::uint32_t> words(const std::string& stream, std::size_t count) {
  const std::uint32_t key = key_of(stream);
  std::vector<std::uint32_t> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = word(key, i);
  return result;
}

std::vector<float> uniform(const std::string& stream, std::size_t count, double bound, double center) {
  const std::uint32_t key = key_of(stream);
  const auto scale = static_cast<float>(bound);
  const auto middle = static_cast<float>(center);
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    const float unit = static_cast<float>(word(key, i) >> 8) * 0x1p-23F - 1.0F;  // exact
    result[i] = unit * scale + middle;
  }
  return result;
}

Digest digest(const std::string& name, std::span<const float> values) {
  Digest result;
  const std::uint32_t signs = key_of(name + "#signs");
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    const std::uint32_t random = word(signs, i);
    squares += value * value;
    result.projections[0] += (random >> 31 & 1) != 0 ? value : -value;
    result.projections[1] += (random >> 30 & 1) != 0 ? value : -value;
  }
  result.norm = std::sqrt(squares);
  if (values.size() <= Digest::samples) {
    result.elements.assign(values.begin(), values.end());
  } else {
    for (const std::uint32_t place : words(name + "#places", Digest::samples)) {
      result.elements.push_back(values[place % values.size()]);
    }
  }
  return result;
}

}  // namespace netc::test
