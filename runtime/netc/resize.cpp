// Separable fixed-point resampling.
#include "netc/resize.h"

#include <algorithm>
#include <cmath>

namespace netc {

namespace {

// 32 bits hold 8 of a pixel, 2 of headroom, and these.
constexpr int precision = 32 - 8 - 2;
constexpr std::int32_t half = 1 << (precision - 1);

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> precision, 0, 255));
}

double triangle(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

std::int32_t to_fixed(double weight) {
  return static_cast<std::int32_t>(weight * (1 << precision) + (weight < 0 ? -0.5 : 0.5));
}

void add_output(ResizeWeights& weights, double centre, double support, double scale, int in) {
  const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
  const int last = std::min(static_cast<int>(centre + support + 0.5), in);
  std::vector<double> values(static_cast<std::size_t>(weights.taps));
  double total = 0;
  for (int i = 0; i < last - first; ++i) {
    const double value = triangle((i + first - centre + 0.5) * (1 / scale));
    values[static_cast<std::size_t>(i)] = value;
    total += value;
  }
  for (double value : values) weights.weight.push_back(to_fixed(value / total));
  weights.first.push_back(first);
  weights.used.push_back(last - first);
}

ResizeWeights make_weights(int in, int out) {
  const double ratio = static_cast<double>(in) / out;
  const double scale = std::max(ratio, 1.0);
  const double support = scale;  // the triangle filter reaches one (scaled) pixel
  ResizeWeights weights;
  weights.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  for (int i = 0; i < out; ++i) add_output(weights, (i + 0.5) * ratio, support, scale, in);
  return weights;
}

std::size_t index(int i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

Resizer::Resizer(int in_height, int in_width, int out_height, int out_width)
    : in_height_(in_height),
      in_width_(in_width),
      out_height_(out_height),
      out_width_(out_width),
      horizontal_(make_weights(in_width, out_width)),
      vertical_(make_weights(in_height, out_height)),
      rows_(index(in_height) * index(out_width)),
      accumulator_(index(out_width)) {}

void Resizer::operator()(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) {
  for (int y = 0; y < in_height_; ++y) {
    const std::uint8_t* row = &in[index(y) * index(in_width_)];
    for (int x = 0; x < out_width_; ++x) {
      const std::int32_t* weight = &horizontal_.weight[index(x) * index(horizontal_.taps)];
      const std::uint8_t* pixel = row + horizontal_.first[index(x)];
      std::int32_t sum = half;
      for (int i = 0; i < horizontal_.used[index(x)]; ++i) sum += pixel[i] * weight[i];
      rows_[index(y) * index(out_width_) + index(x)] = to_byte(sum);
    }
  }
  for (int y = 0; y < out_height_; ++y) {
    std::fill(accumulator_.begin(), accumulator_.end(), half);
    for (int i = 0; i < vertical_.used[index(y)]; ++i) {
      const std::int32_t weight = vertical_.weight[index(y) * index(vertical_.taps) + index(i)];
      const std::uint8_t* row = &rows_[index(vertical_.first[index(y)] + i) * index(out_width_)];
      for (std::size_t x = 0; x < accumulator_.size(); ++x) accumulator_[x] += row[x] * weight;
    }
    std::uint8_t* target = &out[index(y) * index(out_width_)];
    for (std::size_t x = 0; x < accumulator_.size(); ++x) target[x] = to_byte(accumulator_[x]);
  }
}

}  // namespace netc
