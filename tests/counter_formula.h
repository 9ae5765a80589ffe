// Numbers that C++ and Python both compute from a name and a counter, so that no file has to hold them; and what a file
// holds of a large tensor. tests/parity/networks.py does the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace netc::test {

/// The first random words of the stream of a name.
std::vector<std::uint32_t> words(const std::string& stream, std::size_t count);

/// Numbers between center - bound and center + bound.
std::vector<float> uniform(const std::string& stream, std::size_t count, double bound, double center = 0);

/// What stands for a tensor of any size. A projection is the sum of its elements with random signs: of an error of norm
/// e it makes a number of variance e^2.
struct Digest {
  static constexpr std::size_t samples = 64;

  double norm = 0;
  double projections[2] = {0, 0};
  std::vector<float> elements;  // all, or `samples` of them
};
Digest digest(const std::string& name, std::span<const float> values);

}  // namespace netc::test
