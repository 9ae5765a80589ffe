// Random changes to training images: flips, crops, brightness and contrast.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "netc/recipe.h"

namespace netc {

/// Left and right change places; `pixels` is [side, side].
void flip_horizontally(std::span<std::uint8_t> pixels, int side);

/// The part of `pixels`, [side, side] with `pad` black pixels around, that begins at row `y` and column `x`, each up to
/// 2 pad.
void crop_padded(std::span<std::uint8_t> pixels, int side, int pad, int y, int x);

/// What Pillow's ImageEnhance does to gray images, to the bit: each pixel moves from black, or from the image's mean,
/// by a factor that is not negative.
void scale_brightness(std::span<std::uint8_t> pixels, float factor);
void scale_contrast(std::span<std::uint8_t> pixels, float factor);

/// Changes images of one size by a recipe.
class Augmenter {
 public:
  Augmenter(const AugmentRecipe& recipe, int side, std::uint64_t seed) : recipe_(recipe), side_(side), seed_(seed) {}

  /// Crop, flip, brightness, contrast. What becomes of an image is a function of seed, epoch and `example`, its number
  /// in the data set.
  void operator()(std::span<std::uint8_t> pixels, std::uint32_t epoch, std::uint32_t example) const;

 private:
  AugmentRecipe recipe_;
  int side_;
  std::uint64_t seed_;
};

}  // namespace netc
