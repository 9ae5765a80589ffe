// Convolutions by Winograd's algorithm, and their gradients.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// A bilinear map of images by square windows: a convolution, or its gradient with respect to the images. Tiles of
/// `step` pixels of the input, and those around them that the matrices read, become tiles of matrices.results() pixels
/// of the output.
struct WinogradConv {
  Winograd matrices;
  ValueId output;
  std::int64_t channels;  // of the input
  int step;
  int pad_y;  // rows and columns of the input in front of the image that the first tile begins with
  int pad_x;
  int longest_part;  // channels that are summed before they are added up
  Factors factors;   // of the products of transforms

  int outputs() const { return matrices.results(); }
  int points() const { return matrices.points(); }
};

/// A tile's column and row: the last arguments of what `transform` returns.
inline const Halide::Var tile_column("i"), tile_row("j");

/// `matrix` applied to both axes of tiles: the stage `name` with the arguments `at`, column and row, and as the stage
/// NAME_row one that is transformed along rows only. `element` gives what stands in a column and a row of the tile,
/// `stored` what is kept of the result.
Halide::Func transform(
    KernelBuilder& kernel, const std::string& name, const Matrix& matrix, const std::vector<Halide::Var>& at,
    const std::function<Halide::Expr(const Halide::Expr& column, const Halide::Expr& row)>& element, int stride = 1,
    const std::function<Halide::Expr(const Halide::Expr& element)>& stored = [](const Halide::Expr& element) {
      return element;
    });

/// A dy A^T of the tile `tile` of images, zeros outside of them: the stage "gradient" with the arguments `at`, column
/// and row. `dy` gives the gradient at a column and a row of an image of so many of them.
Halide::Func transformed_gradient(KernelBuilder& kernel, const Winograd& matrices, int width, int height,
                                  const Halide::Var& tile, const std::vector<Halide::Var>& at,
                                  const std::function<Halide::Expr(const Halide::Expr& x, const Halide::Expr& y)>& dy);

/// The loops of such a stage: vectors along its first argument, all of a tile unrolled.
void unroll_tile(Halide::Func func, int vector);

/// The stage "output", the tiles of the output, where the loop over vectors of its elements, `at`, needs them.
void schedule_output(KernelBuilder& kernel, const Halide::LoopLevel& at);

using WinogradFilter = std::function<Halide::Expr(const Halide::Expr& k, const Halide::Expr& c, const Halide::Expr& ky,
                                                  const Halide::Expr& kx)>;

/// Whether the algorithm may be for such windows and so many channels.
bool suits_winograd(const Windows& windows, std::int64_t groups, std::int64_t in, std::int64_t out);

/// Neighbouring outputs of a convolution, along each axis, that are computed together.
struct WinogradTile {
  int outputs;
  bool whole;  // all outputs, which has an algorithm of its own: zeros around the image need no products

  Winograd matrices(const Window& window) const;
  /// Of the convolution's gradient with respect to its images, of which a tile has outputs * stride pixels.
  WinogradGradient gradient(const Window& window) const;
  /// Channels that are summed before they are added up, where it is so many in tiles that let errors grow. Sums of 128
  /// are off by 3e-7 relative to the norm in whole images, direct ones of 512 channels by 7e-7.
  int longest_part(int otherwise) const { return whole ? std::max(otherwise, 128) : otherwise; }
  /// Rows or columns in front of the image that the first tile begins with.
  int pad(const Window& window) const { return whole ? 0 : static_cast<int>(window.pad); }
};

/// The tile of the convolution `input` -> `output` that takes the fewest multiplications, with `most_points` for a
/// phase of each of its rows where that lets errors grow. None where the algorithm does not apply or does not pay: it
/// wants stride 1 or 2, one group, channels that fill vectors, and the caches of a CPU.
std::optional<WinogradTile> winograd_tile(const KernelBuilder& kernel, const Windows& windows, std::int64_t groups,
                                          const Shape& input, const Shape& output, int most_points);

/// Defines the output, the sums added to `start`; `padded` are the images with zeros around them, arguments as
/// `variables`; `weight` reads the parameter `weights`, whose transform may be prepared.
void define_by_winograd(KernelBuilder& kernel, const WinogradConv& conv, const Halide::Func& padded,
                        const Halide::Expr& start, const WinogradFilter& weight, ValueId weights);

/// Schedules the transformed weights by themselves.
void schedule_filters_once(KernelBuilder& kernel, const WinogradConv& conv);

/// Blocks of tiles in parallel, each transformed, multiplied and transformed back in the cache. Returns the loop where
/// the padded images belong.
Halide::LoopLevel schedule_by_winograd(KernelBuilder& kernel, const WinogradConv& conv);

/// The gradient with respect to the weights: weight[o, i, ky, kx] = sum over n, y, x of dy[n, o, y, x] *
/// in[n, i, y * stride + ky - pad_y, x * stride + kx - pad_x]; `gradient` is dy, `weight` the value to define.
struct WinogradWeights {
  Winograd matrices;  // of the convolution
  ValueId weight;
  ValueId gradient;
  int pad_y;
  int pad_x;

  int outputs() const { return matrices.results(); }  // elements of dy that are taken together, along each axis
  int points() const { return matrices.points(); }
};

/// `output_gradient`: dy as it is multiplied.
void define_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv, const Halide::Func& padded,
                                const Halide::Func& output_gradient);

/// The loops of the weights, which the stage "taps" transforms from all sums over tiles, the stage "total".
void schedule_taps(KernelBuilder& kernel, const Shape& shape);

/// Where the operands of a sum over images are copied.
struct CopyPlace {
  Halide::LoopLevel loop;
  bool parallel;  // whether many images are copied by one task that others wait for
};

/// Schedules kernel.out() and what is in front of it but for the copies.
CopyPlace schedule_weights_by_winograd(KernelBuilder& kernel, const WinogradWeights& conv);

}  // namespace netc::ops
