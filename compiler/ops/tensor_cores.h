// Convolutions, linear layers and their gradients on a GPU's tensor cores: kernels in CUDA C++ that take the place of
// Halide's, which cannot use tensor cores.
//
// Tensor cores multiply small matrices of TF32 (10 bits of mantissa) or bf16 (8 bits of precision) and add up in f32.
// Each operator here is a product of matrices whose factors are gathered from images:
//   pixels    rows are pixels of a batch, columns the channels that are computed, terms the channels and taps of the
//             window: convolutions, their gradients with respect to the images, linear layers (images of one pixel)
//   weights   rows are input channels that a tap reads, columns output channels, terms the pixels of a batch
// A block of threads computes a tile of rows by columns. What it multiplies is copied to shared memory some chunks of
// terms ahead, and rounded where it is read from there; sums stay in registers.
//
// What pointwise nodes in front of a product compute lies in scratch memory while it runs.
//
// Choice: a stage of the Halide pipeline calls the kernel on the buffers of the device, so that the group's other
// stages (activations, a bias' gradient, the sum of parts) stay Halide's and the runtime sees one function as ever.
// Alternative: a function of C++ in place of the group's, which a C++ compiler would have to build for every kernel
// (2026-11).
#pragma once

#include <optional>
#include <string>

#include "compiler/kernels/kernel_builder.h"
#include "compiler/ops/window.h"

namespace netc::ops {

/// A tile of sums, and the warps that share it.
struct TensorCoreTile {
  int rows;
  int columns;
  int warps_along_rows;
  int warps_along_columns;
  int stages;  // chunks of terms in shared memory

  int threads() const { return 32 * warps_along_rows * warps_along_columns; }
};

/// How an operand lies in memory: an image, or an example of a linear layer as an image of one pixel. In elements.
struct ImageInMemory {
  int channels;
  int height;
  int width;
  std::int64_t image_stride;
  std::int64_t row_stride;
  std::int64_t column_stride;
  std::int64_t channel_stride;
  bool anywhere;  // it may begin anywhere: no multiple of 16 bytes
};

class TensorProduct {
 public:
  /// The product that tensor cores compute for a node; none where the machine's are not asked for, the operator has
  /// none, or its shape does not suit: channels in groups or too few, images side by side in memory, a few examples,
  /// windows with both strides and dilation in a gradient.
  static std::optional<TensorProduct> of(const KernelBuilder& kernel, const Node& node);

  /// Defines the node's first output, and says where it is computed.
  void define(KernelBuilder& kernel) const;
  void schedule(KernelBuilder& kernel) const;

  /// The kernel of this name, without what all kernels have in common.
  std::string specialised(const std::string& name) const;
  int threads() const { return tile_.threads(); }
  /// Blocks side by side: along x for a batch, along y.
  Halide::Expr blocks_x(const Halide::Expr& batch) const;
  int blocks_y() const;

 private:
  enum class Kind : std::uint8_t { forward, backward, weights };

  TensorProduct(const KernelBuilder& kernel, const Node& node, Kind kind, const Windows& windows);
  bool suits(const KernelBuilder& kernel) const;
  void choose_tile();
  int row_blocks() const;
  int column_blocks() const;
  std::string pixels_text() const;
  std::string weights_text() const;
  void define_whole(KernelBuilder& kernel) const;
  void define_in_parts(KernelBuilder& kernel) const;
  Halide::ExternFuncArgument operand(KernelBuilder& kernel, std::size_t number) const;
  void call(KernelBuilder& kernel, Halide::Func result, const std::vector<Halide::Var>& arguments) const;
  std::string name(const KernelBuilder& kernel) const;

  const Node& node_;
  Kind kind_;
  Windows windows_;
  bool linear_;
  ImageInMemory read_;      // of weights: the inputs
  ImageInMemory computed_;  // of weights: the outputs' gradient
  TensorCoreTile tile_{};
  int parts_ = 1;        // of the pixels, in the gradient of weights
  bool starts_ = false;  // from a bias
};

/// What all kernels have in common, in CUDA C++.
std::string tensor_core_prelude(Precision precision);

}  // namespace netc::ops
