// Augmentation of gray images in bytes, as Pillow and torchvision do it.
#include "netc/augment.h"

#include <algorithm>
#include <numeric>

#include "netc/random.h"

namespace netc {

namespace {

// Blocks of random numbers that belong to an image: four words each, far more than are drawn.
constexpr std::uint32_t blocks_an_image = 16;

/// Pillow's blend, which cuts off what is behind the point.
std::uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(value, 0.0f, 255.0f));
}

void blend_from(int from, std::span<std::uint8_t> pixels, float factor) {
  if (factor == 1) return;
  for (std::uint8_t& pixel : pixels) pixel = blend(from, pixel, factor);
}

/// A factor around 1, never negative.
float draw_factor(RandomStream& random, double range) {
  return random.uniform(std::max(0.0, 1 - range), 1 + range);
}

}  // namespace

void flip_horizontally(std::span<std::uint8_t> pixels, int side) {
  const auto width = static_cast<std::size_t>(side);
  for (std::size_t row = 0; row < width; ++row) {
    const std::span<std::uint8_t> line = pixels.subspan(row * width, width);
    std::reverse(line.begin(), line.end());
  }
}

void crop_padded(std::span<std::uint8_t> pixels, int side, int pad, int y, int x) {
  const auto at = [side](int row, int column) { return static_cast<std::size_t>(row * side + column); };
  const std::vector<std::uint8_t> image(pixels.begin(), pixels.end());
  const int first = std::max(pad - x, 0);  // columns of the result that show the image
  const int last = std::min(side + pad - x, side);
  std::fill(pixels.begin(), pixels.end(), std::uint8_t{0});
  for (int row = std::max(pad - y, 0); row < std::min(side + pad - y, side); ++row) {
    const auto from = image.begin() + static_cast<std::ptrdiff_t>(at(row + y - pad, first + x - pad));
    std::copy(from, from + (last - first), pixels.begin() + static_cast<std::ptrdiff_t>(at(row, first)));
  }
}

void scale_brightness(std::span<std::uint8_t> pixels, float factor) {
  blend_from(0, pixels, factor);
}

void scale_contrast(std::span<std::uint8_t> pixels, float factor) {
  const auto sum = std::accumulate(pixels.begin(), pixels.end(), std::uint64_t{0});
  const double mean = static_cast<double>(sum) / static_cast<double>(pixels.size());
  blend_from(static_cast<int>(mean + 0.5), pixels, factor);
}

void Augmenter::operator()(std::span<std::uint8_t> pixels, std::uint32_t epoch, std::uint32_t example) const {
  RandomStream random(seed_, "augment", epoch);
  random.seek(example * blocks_an_image);
  if (const int pad = recipe_.crop.pad; pad > 0) {
    const auto places = static_cast<std::uint32_t>(2 * pad + 1);
    const int y = static_cast<int>(random.below(places));
    const int x = static_cast<int>(random.below(places));
    crop_padded(pixels, side_, pad, y, x);
  }
  if (recipe_.flip.p > 0 && random.uniform() < recipe_.flip.p) flip_horizontally(pixels, side_);
  if (recipe_.color.brightness > 0) scale_brightness(pixels, draw_factor(random, recipe_.color.brightness));
  if (recipe_.color.contrast > 0) scale_contrast(pixels, draw_factor(random, recipe_.color.contrast));
}

}  // namespace netc
