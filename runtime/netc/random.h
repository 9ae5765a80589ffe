// Counter-based random numbers (Philox 4x32-10): a number is a function of seed, stream and position alone, so every
// purpose has a stream of its own and drawing for one never moves another.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace netc {

/// The block cipher: four random words for a counter under a key (Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3").
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A sequence of random numbers for one purpose.
class RandomStream {
 public:
  /// `purpose` is any text ("init/conv.weight"); `index` tells streams of one purpose apart (the epoch).
  RandomStream(std::uint64_t seed, std::string_view purpose, std::uint32_t index = 0);

  /// Goes to block `block` of the sequence, four words each.
  void seek(std::uint32_t block);
  std::uint32_t word();
  /// In [0, 1), with 53 random bits.
  double uniform();
  /// In [low, high); `low` where they are equal.
  float uniform(double low, double high);
  /// Normally distributed, by Box and Muller's method.
  double normal();
  /// In [0, bound), without bias.
  std::uint32_t below(std::uint32_t bound);

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

/// Any order of the numbers is equally likely.
void shuffle(std::vector<std::int32_t>& numbers, RandomStream& random);

/// The order in which an epoch visits `count` examples.
std::vector<std::int32_t> permutation(std::int32_t count, std::uint64_t seed, std::uint32_t epoch);

}  // namespace netc
