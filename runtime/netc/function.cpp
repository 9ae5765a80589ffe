#include "netc/function.h"

#include <HalideRuntime.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "netc/halide_hooks.h"

namespace netc {

void Sizes::match(const char* argument, const Extents& shape, std::initializer_list<Dimension> dimensions) {
  std::string wanted;
  bool fits = shape.size() == static_cast<int>(dimensions.size());
  int axis = 0;
  for (const Dimension& dimension : dimensions) {
    const std::int64_t found = axis < shape.size() ? shape[axis++] : 0;
    std::int64_t expected = dimension.extent;
    if (dimension.name != nullptr) expected = sizes_.emplace(dimension.name, found).first->second;
    wanted += (wanted.empty() ? "" : ",");
    wanted += dimension.name != nullptr ? fmt::format("{} = {}", dimension.name, expected) : std::to_string(expected);
    fits = fits && found == expected && found > 0;
  }
  if (fits) return;
  const bool empty = std::any_of(shape.begin(), shape.end(), [](std::int64_t extent) { return extent <= 0; });
  const std::string expected = empty ? "extents above 0" : fmt::format("the shape [{}]", wanted);
  throw Error(ErrorKind::mismatch,
              fmt::format("{}: `{}` must have {}, found {}", function_, argument, expected, to_string(shape)));
}

Tensor<float> gradient_or_ones(View<const float> gradient, const Extents& shape) {
  Tensor<float> seed(shape);
  if (gradient.data() == nullptr) {
    seed.view().fill(1);
  } else if (gradient.rank() == 0 && shape == Extents{1}) {
    *seed.data() = *gradient.data();
  } else {
    seed.view().copy_from(gradient);
  }
  return seed;
}

namespace {

/// A Halide buffer on dense memory, the last axis innermost.
struct DenseBuffer {
  DenseBuffer(const float* host, const Extents& shape) {
    std::int64_t stride = 1;
    for (int axis = shape.size() - 1; axis >= 0; --axis) {
      dims[static_cast<std::size_t>(header.dimensions++)] =
          halide_dimension_t(0, static_cast<std::int32_t>(shape[axis]), static_cast<std::int32_t>(stride));
      stride *= shape[axis];
    }
    header.host = reinterpret_cast<std::uint8_t*>(const_cast<float*>(host));
    header.type = halide_type_of<float>();
    header.dim = dims.data();
    fits = stride <= std::numeric_limits<std::int32_t>::max();
  }

  std::array<halide_dimension_t, max_rank> dims{};
  halide_buffer_t header{};
  bool fits = true;
};

}  // namespace

void FunctionKernel::operator()(std::initializer_list<std::int64_t> sizes,
                                std::initializer_list<View<const float>> inputs,
                                std::initializer_list<View<float>> outputs) const {
  halide::install_hooks();
  std::vector<std::int32_t> scalars(sizes.begin(), sizes.end());
  std::vector<std::vector<float>> copies;  // of inputs with other strides
  std::vector<DenseBuffer> buffers;
  copies.reserve(inputs.size());
  buffers.reserve(inputs.size() + outputs.size());
  for (const View<const float>& input : inputs) {
    if (!input.contiguous()) copies.push_back(input.to_vector());
    buffers.emplace_back(input.contiguous() ? input.data() : copies.back().data(), input.shape());
  }
  for (const View<float>& output : outputs) buffers.emplace_back(output.data(), output.shape());
  std::vector<void*> arguments;
  for (std::int32_t& scalar : scalars) arguments.push_back(&scalar);
  for (DenseBuffer& buffer : buffers) {
    buffer.header.dim = buffer.dims.data();
    if (!buffer.fits)
      throw Error(ErrorKind::memory, fmt::format("{}: a tensor has more than 2^31 - 1 elements", name_));
    arguments.push_back(&buffer.header);
  }
  const int status = variant_for(variants_)(arguments.data());
  if (status == 0) return;
  throw Error(ErrorKind::internal, fmt::format("function {}: status {}: {}", name_, status, halide::take_error()));
}

}  // namespace netc
