// Convolutions on a GPU, and their gradients with respect to images and weights: sums of products by blocks of threads.
#pragma once

#include <optional>
#include <vector>

#include "compiler/kernels/gpu_products.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/schedules.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// A convolution, or its gradient with respect to the images, as a product of matrices: pixels and output channels by
/// the terms of a sum, which are channels and taps of the window. A block computes the pixels of a box of one image or
/// of several small ones.
///
/// In the gradient, pixels that lie a stride apart read through the same taps; such a phase is computed by blocks of
/// its own, as a convolution of stride 1 with those taps.
class BlockConv {
 public:
  enum class Direction : std::uint8_t { forward, backward };

  /// None where channels are in groups, images lie side by side in memory, or windows have both strides and dilation.
  static std::optional<BlockConv> of(const KernelBuilder& kernel, const Node& node, Direction direction);

  /// Defines the node's output: the sums added to `start`.
  void define(KernelBuilder& kernel, const Halide::Expr& start) const;
  void schedule(KernelBuilder& kernel) const;

 private:
  using Expr = Halide::Expr;
  using Var = Halide::Var;

  /// Along one axis of the images.
  struct Axis {
    Window window;
    bool backward;
    int read;      // extent of the images that are read
    int computed;  // extent of the images that are computed
    Var position;  // of a pixel within its phase
    Var phase;

    int phases() const { return backward ? static_cast<int>(window.stride) : 1; }
    int positions() const { return ceil_div(computed, phases()); }
    /// The most taps that a pixel reads through.
    int taps() const { return extent(ceil_div(window.kernel, phases())); }
    /// The tap of the window that is number `tap` of this phase, and whether there are that many.
    Expr tap_of_window(const Expr& tap) const;
    bool taps_may_lack() const { return window.kernel % phases() != 0; }
    /// The pixel that a position of this phase reads through a tap.
    Expr source(const Expr& tap) const;
    /// How many pixels so many neighbours read through so many taps.
    int span(int neighbours, int through) const;
    /// Whether a window may reach around the images.
    bool reaches_out() const { return backward || window.pad > 0; }
  };

  /// How many pixels a thread takes along an axis, and how many threads lie along it.
  struct Split {
    int each = 1;
    int threads = 1;
    int extent() const { return each * threads; }
  };

  /// What a block computes, and what it stages at a time.
  struct Blocking {
    Split channels;
    Split x;
    Split y;
    int images = 1;
    int chunk_channels = 1;
    int chunk_rows = 1;  // of taps
  };

  BlockConv(const KernelBuilder& kernel, const Node& node, Direction direction);

  void choose_pixels(int threads);
  void choose_chunk();
  double cost(const Split& x, const Split& y, int images, int threads) const;
  std::int64_t blocks_an_image() const;
  std::int64_t bytes(int channels, int rows) const;

  std::vector<Var> phases() const;
  std::vector<Var> positions(const KernelBuilder& kernel) const;
  std::vector<Expr> in_phases(const KernelBuilder& kernel) const;
  Halide::Func define_image(KernelBuilder& kernel) const;
  Halide::Func define_filter(KernelBuilder& kernel) const;
  Halide::Func define_part(KernelBuilder& kernel) const;
  Halide::Func schedule_phases(KernelBuilder& kernel) const;
  StagedOperand stage_image(KernelBuilder& kernel) const;
  StagedOperand stage_filter(KernelBuilder& kernel) const;

  ValueId image_;
  ValueId weight_;
  ValueId output_;
  bool backward_;
  int channels_;  // that are summed
  int outputs_;   // channels that are computed
  Axis x_;
  Axis y_;
  Blocking blocking_;
};

/// The gradient of a convolution with respect to its weights, as a product of matrices: output channels by input
/// channels and taps, summed over all pixels of the batch. The pixels are taken in parts, as many as it takes to give
/// every processor something to do, whatever the batch; parts are added up in their order.
class BlockWeights {
 public:
  /// None where channels are in groups.
  static std::optional<BlockWeights> of(const KernelBuilder& kernel, const Node& node);

  void define(KernelBuilder& kernel) const;
  void schedule(KernelBuilder& kernel) const;

 private:
  using Expr = Halide::Expr;
  using Var = Halide::Var;

  BlockWeights(const KernelBuilder& kernel, const Node& node);

  void choose_taps(int threads);
  std::int64_t tiles() const;
  int elements() const;

  Halide::Func define_gradient(KernelBuilder& kernel, const Expr& pixels) const;
  Halide::Func define_image(KernelBuilder& kernel, const Expr& pixels) const;
  StagedOperand stage_gradient(KernelBuilder& kernel) const;
  StagedOperand stage_image(KernelBuilder& kernel) const;

  ValueId gradient_;
  ValueId image_;
  ValueId weight_;
  Windows windows_;
  Shape shape_;
  std::vector<BlockSide> tile_;  // outputs, inputs, columns and rows of taps
  int chunk_;                    // pixels
  int parts_;
};

}  // namespace netc::ops
