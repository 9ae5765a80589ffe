// Sums over a batch and its pixels, a number a channel, in an order that does not depend on the number of threads.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/kernel_builder.h"

namespace netc::ops {

/// Blocks of images are summed in this many slices, whatever the number of threads.
constexpr int slices = 16;

/// The place in a value of this shape of channel `c` of pixel `p` of the whole batch, pixels counted as they lie in
/// memory.
Point pixel_of_batch(const KernelBuilder& kernel, const Shape& shape, const Halide::Expr& c, const Halide::Expr& p);

/// What is summed at a place: one element, or several that are read together, whose sums are then a tuple.
using Terms = std::vector<Halide::Expr>;
using Elements = std::function<Terms(const Point&)>;

/// total[c] = the sums of `elements` over all examples and pixels of a value of this shape: rows first, then images,
/// then slices of blocks, then the whole, which also keeps the rounding error of single precision small. On a GPU: what
/// a thread sums, then a block's threads, then all blocks.
Halide::Func channel_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Elements& elements);

/// The schedule of what `channel_sums` defined under this name: slices in parallel.
void schedule_channel_sums(KernelBuilder& kernel, const std::string& name);

/// image[l, c, n] = the sums of `elements` over the pixels of an image.
Halide::Func image_sums(KernelBuilder& kernel, const std::string& name, const Shape& shape, const Elements& elements);

/// The schedule of what `image_sums` defined under this name, for the image that the loop `at` needs.
void schedule_image_sums(KernelBuilder& kernel, const std::string& name, const Halide::LoopLevel& at);

/// The same on a GPU: neighbouring threads read neighbours in memory. `total` itself is left to what reads it.
void schedule_channel_sums_on_gpu(KernelBuilder& kernel, const std::string& name);

}  // namespace netc::ops
