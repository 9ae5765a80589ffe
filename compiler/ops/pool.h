// What the pools share: attributes, shape rule, the windows over a pixel, and their schedule.
#pragma once

#include <Halide.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// kernel, stride (= kernel) and pad.
std::vector<AttributeSpec> pool_attributes(const std::string& padding);

/// Images in, images out; the padding is at most half of the window (N209), so that every window covers a pixel.
Inference infer_pool(const std::string& op, const std::vector<Shape>& inputs, const Attributes& attributes);

/// Odd sizes, windows that overlap, leave gaps, reach over the edge, and are not square.
std::vector<Sample> pool_samples();

/// Whether windows read a pixel of their image, the operand 0, three times at most.
bool overlap_little(const Node& node, std::size_t operand);

/// Pixel (y, x) of an image value at `at`; `outside` where there is none.
Halide::Expr padded_read(KernelBuilder& kernel, ValueId value, const Point& at, const Halide::Expr& y,
                         const Halide::Expr& x, const Halide::Expr& outside);

/// Along an axis: of the windows that begin at or before pixel `at`, the one that comes `back` before the last.
struct Covering {
  Halide::Expr window;
  Halide::Expr tap;     // where in the window the pixel lies
  Halide::Expr exists;  // there is such a window, and it reaches the pixel
};
Covering covering(const Halide::Expr& at, const Halide::Expr& back, const Window& window, std::int64_t outputs);

/// The gather over all windows that cover a pixel: x and y say how far back.
Halide::RDom covering_windows(KernelBuilder& kernel, const Windows& windows);

/// The same in one expression: the sum of `term` over all of them.
Halide::Expr covering_sum(const Node& node,
                          const std::function<Halide::Expr(const Halide::Expr& y, const Halide::Expr& x)>& term);

/// Whether a pool's gradient may be computed where `reader` reads it: one window covers a pixel, or at most four and
/// the reader takes each pixel once, and there are less than half as many windows as pixels.
bool gradient_may_move(const Node& node, const Node& reader);

/// The sum of `term` over the reduction variables in it, for every element of a value of this shape: the stage that
/// `schedule_pool` schedules.
Halide::Func window_sum(KernelBuilder& kernel, const Shape& shape, const Halide::Expr& term);

/// Computes the stage "window" a few pixels at a time in registers, small windows unrolled.
void schedule_pool(KernelBuilder& kernel, const Node& node);

}  // namespace netc::ops
