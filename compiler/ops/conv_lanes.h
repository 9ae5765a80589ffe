// Convolutions by Winograd's algorithm where images lie side by side in vectors (see choose_lanes), and their
// gradients: transforms then shuffle nothing, and filters are read element by element.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/winograd.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// A convolution, cut into tiles of its output; each gradient takes the same tiles through the transposed matrices.
class LaneConv {
 public:
  /// None where the algorithm does not apply or does not pay: it wants square windows that move by one, one group, and
  /// as many lanes as a vector holds. A row of a tile takes up to `most_points` multiplications.
  static std::optional<LaneConv> of(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                    const Shape& image, const Shape& output, int most_points);

  /// Whether tiles read pixels that do not exist.
  bool reads_around() const;

  /// Defines `value`, the output: the sums added to `start`. `padded`: the images, with zeros around them where they
  /// are read; `weight`: the filters.
  void define(KernelBuilder& kernel, ValueId value, const Halide::Func& padded, const Halide::Expr& start,
              const WinogradFilter& weight) const;
  /// Defines `value`, the gradient with respect to the images: each tile of `output_gradient` is spread over the
  /// pixels that its outputs read.
  void define_data(KernelBuilder& kernel, ValueId value, const Halide::Func& output_gradient,
                   const WinogradFilter& weight) const;
  /// Defines `value`, the gradient with respect to the weights.
  void define_weights(KernelBuilder& kernel, ValueId value, const Halide::Func& padded,
                      const Halide::Func& output_gradient) const;

  /// Each returns the loop where copies of what is read belong: one that runs over blocks of images.
  Halide::LoopLevel schedule(KernelBuilder& kernel) const;
  Halide::LoopLevel schedule_data(KernelBuilder& kernel, ValueId value) const;
  Halide::LoopLevel schedule_weights(KernelBuilder& kernel, ValueId value) const;

 private:
  LaneConv(Winograd matrices, const Windows& windows, const Shape& image, const Shape& output);

  int outputs() const { return matrices_.results(); }  // of a tile, along each axis
  int points() const { return matrices_.points(); }
  int tiles() const { return columns_ * rows_; }

  Halide::Func transformed_filter(KernelBuilder& kernel, const WinogradFilter& weight) const;
  Halide::Func transformed_image(KernelBuilder& kernel, const Halide::Func& padded) const;
  Halide::Func transformed_gradient(KernelBuilder& kernel, const Halide::Func& output_gradient) const;
  Halide::Func define_products(KernelBuilder& kernel, const Halide::Var& channel, int summed,
                               const std::function<Halide::Expr(const Halide::Expr& from)>& term) const;
  void schedule_filter(KernelBuilder& kernel) const;
  void schedule_points(KernelBuilder& kernel, const std::string& name, int tiles, const Halide::LoopLevel& at) const;
  void schedule_products(KernelBuilder& kernel, int channels, const Halide::LoopLevel& row) const;

  Winograd matrices_;
  int in_;   // channels of the images
  int out_;  // of the output
  int height_;
  int width_;
  int image_width_;
  int columns_;  // tiles in a row
  int rows_;     // of tiles
  int pad_y_;
  int pad_x_;
};

}  // namespace netc::ops
