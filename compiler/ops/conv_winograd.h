// Convolutions of stride 1 by Winograd's algorithm, and their gradients.
#pragma once

#include <functional>
#include <optional>

#include "compiler/kernel_builder.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// A convolution of images with square windows: out[n, k, y, x] = sum over c, ky, kx of
/// weight(k, c, ky, kx) * in[n, c, y + ky - pad_y, x + kx - pad_x].
struct WinogradConv {
  int outputs;  // neighbouring ones that are computed together, along each axis
  ValueId output;
  std::int64_t channels;  // of the input
  int kernel;
  int pad_y;
  int pad_x;
  int longest_part;  // channels that are summed before they are added up

  int points() const { return outputs + kernel - 1; }
};

using WinogradFilter = std::function<Halide::Expr(const Halide::Expr& k, const Halide::Expr& c, const Halide::Expr& ky,
                                                  const Halide::Expr& kx)>;

/// How many neighbouring outputs are computed together, along each axis: what takes the fewest multiplications, with
/// `most_points` for each tile's row. None where the algorithm does not apply or does not pay: it wants stride 1, one
/// group, channels that fill vectors, and the caches of a CPU.
std::optional<int> winograd_outputs(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                    const Shape& input, const Shape& output, int most_points);

/// Defines the output, the sums added to `start`; `padded` are the images with zeros around them, arguments as
/// `variables`.
void define_by_winograd(KernelBuilder& kernel, const WinogradConv& conv, const Halide::Func& padded,
                        const Halide::Expr& start, const WinogradFilter& weight);

/// Blocks of tiles in parallel, each transformed, multiplied and transformed back in the cache. Returns the loop over
/// blocks of kernel.out(), where the padded images belong.
Halide::Var schedule_by_winograd(KernelBuilder& kernel, const WinogradConv& conv);

/// The gradient with respect to the weights: weight[o, i, ky, kx] = sum over n, y, x of dy[n, o, y, x] *
/// in[n, i, y + ky - pad_y, x + kx - pad_x]; `gradient` is dy, `weight` the value to define.
struct WinogradWeights {
  int outputs;  // elements of dy that are taken together, along each axis
  ValueId weight;
  ValueId gradient;
  int kernel;
  int pad_y;
  int pad_x;

  int points() const { return outputs + kernel - 1; }
};

/// `factor`: an element of dy as it is multiplied.
void define_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv, const Halide::Func& padded,
                                const std::function<Halide::Expr(const Halide::Expr& element)>& factor);

/// Schedules kernel.out() and what is in front of it, and returns the loop where the padded images belong.
Halide::LoopLevel schedule_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv);

}  // namespace netc::ops
