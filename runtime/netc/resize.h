// Pillow's bilinear resize of grey images, to the bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace netc {

/// The weights of one direction: output i is a weighted sum of `taps` inputs from `first[i]` on.
struct ResizeWeights {
  int taps = 0;
  std::vector<int> first;
  std::vector<int> used;             // how many of the taps lie inside the image
  std::vector<std::int32_t> weight;  // [outputs, taps], fixed point
};

/// Resizes images of one size to another: two passes, first along rows and then along columns, half-pixel centres,
/// 22-bit fixed-point weights, rounding to bytes between the passes; a reduction averages over its whole footprint.
class Resizer {
 public:
  Resizer(int in_height, int in_width, int out_height, int out_width);

  /// `in` holds in_height x in_width bytes, `out` out_height x out_width.
  void operator()(std::span<const std::uint8_t> in, std::span<std::uint8_t> out);

 private:
  int in_height_;
  int in_width_;
  int out_height_;
  int out_width_;
  ResizeWeights horizontal_;
  ResizeWeights vertical_;
  std::vector<std::uint8_t> rows_;         // [in_height, out_width]
  std::vector<std::int32_t> accumulator_;  // [out_width]
};

}  // namespace netc
