// What a convolution and its two gradients share: the images that they read, sums over windows, and the schedules of
// both on a CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/conv_lanes.h"
#include "compiler/ops/conv_winograd.h"
#include "compiler/ops/factors.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// Multiply-adds of a convolution with these weights and outputs; the gradients have as many.
std::int64_t conv_macs(const Shape& weight, const Shape& y);

/// How much Winograd's algorithm may round.
struct Rounding {
  int most_points;   // of a phase in a row of a tile: F(4, 3) and F(2, 5) have 6, F(6, 3) and F(4, 5) have 8
  int longest_part;  // channels that are summed before they are added up; weights' gradients sum over tiles instead
};

/// Choice: the forward pass takes F(2, 5) for 5x5 windows, 5e-7 off relative to the norm, which is within twice of
/// direct sums; gradients take F(6, 3) and F(4, 5), 1.5e-6 off. Alternative: those for both; then rounding decides more
/// often in the forward pass what relu and max let through, and gradients of whole networks are off by 1e-3; in
/// evaluation they are no faster (VGG-11/4, 32 images, 2 threads: 103 ms, 80.5 without; 2026-11). For the same reason
/// training sums short parts, which cost a tenth of the time.
constexpr Rounding exact_rounding{6, 16};
constexpr Rounding fast_rounding{6, 64};
constexpr Rounding gradient_rounding{8, 64};
/// Where transforms are rounded to bf16, what sums lose is nothing beside it.
constexpr Rounding bf16_rounding{6, 256};

// ---- What is read ---------------------------------------------------------------------------------------------------

bool pads(const Windows& windows);

/// The input's row or column that output `at` reads through tap `k`.
Halide::Expr read_by(const Halide::Expr& at, const Halide::Expr& k, const Window& window);

Halide::Expr inside(const Halide::Expr& at, std::int64_t extent_of_image);

/// `value`, arguments as `variables`; where the windows reach `around` the images, the stage "padded": a copy with
/// zeros there. A copy, too, where its lanes are not the kernel's, so that elements are put side by side once, and
/// where they are rounded or computed.
Halide::Func conv_images(KernelBuilder& kernel, const Factors& factors, ValueId value, bool around);

/// Of sums over the channels of the second operand: both passes through the images.
Factors direct_factors(const KernelBuilder& kernel, const Node& node, bool winograd);

/// What is multiplied by Winograd's algorithm over so many channels.
Factors transformed_factors(const KernelBuilder& kernel, const Node& node, std::int64_t channels);

/// The weights as Winograd's algorithm transforms them.
WinogradFilter filter_of(KernelBuilder& kernel, const Factors& factors, const Node& node);

/// The last arguments of a copy of weights.
inline const std::vector<Halide::Var> tap_variables{Halide::Var("kx"), Halide::Var("ky")};

/// The weights of a sum of so many terms, with so many of them along a vector.
Packing weights_of(const KernelBuilder& kernel, const Node& node, std::int64_t along, std::int64_t terms);

/// Whether a few images have so many weights that reading them takes longer than all else.
bool reads_weights(const KernelBuilder& kernel, const Node& node);

// ---- Algorithms -----------------------------------------------------------------------------------------------------

/// The sum of a convolution, over channels and taps.
struct WindowSum {
  using Expr = Halide::Expr;

  Expr start;
  std::int64_t channels;
  std::function<Expr(const Expr& i, const Expr& ky, const Expr& kx)> term;
  std::function<Expr(const Expr& ky, const Expr& kx)> exists{};  // where only some taps have terms
  std::function<Expr(const Expr& ky)> in_image{};                // where some rows of taps read nothing but zeros
  std::function<Expr(const Expr& kx)> in_row{};                  // the same of columns that are unrolled
};

/// Defines the output as this sum, with the stage "part". Long ones have parts (see part_extent): some channels through
/// one tap, of pairs whole ones; on a GPU a thread adds up all terms.
void define_window_sum(KernelBuilder& kernel, const Node& node, const Factors& factors, const Windows& windows,
                       const WindowSum& of);

/// The convolution of images that lie side by side in vectors.
std::optional<LaneConv> lane_conv(const KernelBuilder& kernel, const Node& node, ValueId image, ValueId output,
                                  const Rounding& rounding);

/// Whether the output is written in vectors of channels: not where it is handed out row by row.
bool writes_channels(const KernelBuilder& kernel);

// ---- Schedules ------------------------------------------------------------------------------------------------------

/// A copy of the images that the loop `at` reads: all channels, in vectors of channels or of images.
void schedule_copy(KernelBuilder& kernel, Halide::Func copy, const CopyPlace& at, std::int64_t channels);

/// That of the images with zeros around them, where there is one.
void schedule_padded(KernelBuilder& kernel, const Halide::LoopLevel& at, std::int64_t channels);

/// Both passes through the images: by Winograd's algorithm where there is one, otherwise directly. `stride`: columns
/// that so many lie apart read through the same taps; `row`: a tile is as wide as the image, and taps along it are
/// unrolled.
void schedule_convolution(KernelBuilder& kernel, const Node& node, const std::optional<WinogradConv>& conv,
                          std::int64_t stride, bool row);

/// Tiles of channels by columns, one a thread of a GPU: each weight serves all columns and each pixel all channels.
void schedule_images_on_gpu(KernelBuilder& kernel, const Node& node);

}  // namespace netc::ops
