// What generated tensor functions are made of: sizes that their arguments agree on, and calls of their kernels.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>

#include "netc/kernel.h"
#include "netc/tensor.h"

namespace netc {

/// The sizes that the arguments of one call have.
class Sizes {
 public:
  explicit Sizes(const char* function) : function_(function) {}

  /// One dimension of an argument: a size by its name, or a number.
  struct Dimension {
    Dimension(const char* size) : name(size) {}         // NOLINT(google-explicit-constructor)
    Dimension(std::int64_t number) : extent(number) {}  // NOLINT(google-explicit-constructor)
    Dimension(int number) : extent(number) {}           // NOLINT(google-explicit-constructor)
    const char* name = nullptr;
    std::int64_t extent = 0;
  };

  /// Takes the sizes of an argument; throws Error (mismatch) when it has other dimensions, or disagrees with an earlier
  /// one.
  void match(const char* argument, const Extents& shape, std::initializer_list<Dimension> dimensions);

  std::int64_t operator[](const char* name) const { return sizes_.at(name); }

 private:
  const char* function_;
  std::map<std::string, std::int64_t> sizes_;
};

/// What a function's gradient begins with: `gradient`, or ones where there is none. Throws Error (mismatch) unless it
/// has the value's shape; that of a number is [] or [1].
Tensor<float> gradient_or_ones(View<const float> gradient, const Extents& shape);

/// A compiled function over tensors of any size.
class FunctionKernel {
 public:
  constexpr FunctionKernel(const char* name, KernelVariants variants) : name_(name), variants_(variants) {}

  /// `sizes` in the function's order; throws Error with the kernel's name when it fails.
  void operator()(std::initializer_list<std::int64_t> sizes, std::initializer_list<View<const float>> inputs,
                  std::initializer_list<View<float>> outputs) const;

 private:
  const char* name_;
  KernelVariants variants_;
};

}  // namespace netc
