// What numbers convolutions and linear layers multiply.
//
// bf16 is the upper half of an f32: the same range with 8 bits of precision, relative rounding errors of up to 2^-9.
// Both factors of each product are rounded to it, to nearest with ties to even; products are added up in f32, and
// everything else (biases, normalisation, losses, parameters, their gradients, optimizers) is f32 as ever.
//
// Choice: training needs no scaling of the loss, as bf16 has f32's range, and results are the same operands' products
// on every processor; those with dot-product instructions (AVX512_BF16) are faster. Alternative: activations and
// gradients stored in bf16 everywhere, which rounds sums and residual branches too (2026-11).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "compiler/graph/graph.h"

namespace netc {

/// TF32 is an f32 with 10 bits of mantissa, which the tensor cores of GPUs multiply; CPUs know nothing of it.
enum class Precision : std::uint8_t { f32, tf32, bf16 };

constexpr std::array<std::string_view, 3> precision_names{"f32", "tf32", "bf16"};
std::string_view name_of(Precision precision);
/// None where there is no such precision.
std::optional<Precision> find_precision(std::string_view name);

/// Lets all nodes that can (Operator::multiplies_bf16) multiply bf16: they get the attribute `bf16`.
void multiply_bf16(Graph& graph);

/// Whether a node does.
bool multiplies_bf16(const Node& node);

/// What Winograd's algorithm may do to what it multiplies, the transforms of images and weights, and to the sums of the
/// products. Where gradients depend on them, sums are made of short parts; in evaluation, of parts as long as it takes
/// to be fast; or transforms are rounded to bf16.
enum class Transforms : std::uint8_t { exact, fast, bf16 };
Transforms transforms_of(const Node& node);
constexpr const char* fast_transforms = "fast_transforms";  // the attribute of nodes that have them

/// An evaluation graph: no gradient depends on how its sums are rounded. In bf16 transforms are rounded instead of
/// images and weights themselves, and what one kernel leaves for others is stored as bf16, unless images lie side by
/// side in vectors, or kernels are compiled for `cuda`, too: Halide ends in LLVM's abort over bf16 in PTX.
///
/// Choice: in bf16 a convolution is off by 9e-3 relative to the norm (F(4, 3); F(2, 5) 1.2e-2) instead of 2.3e-3, and
/// its products are dot products, too. Alternatives: F(2, 3), off by 4e-3, which multiplies 1.8 times as much; f32 as
/// in training, where gradients of deep networks would suffer (2026-11).
void round_in_evaluation(Graph& graph, Precision precision, bool cuda);

}  // namespace netc
