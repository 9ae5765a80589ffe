// A tensor whose element type is known at run time only.
#pragma once

#include <cstdint>
#include <variant>

#include "netc/network.h"
#include "netc/tensor.h"

namespace netc {

class AnyTensor {
 public:
  template <class T>
  explicit AnyTensor(Tensor<T> tensor) : tensor_(std::move(tensor)) {}

  AnyView view() const {
    return std::visit([](const auto& tensor) { return AnyView(tensor.view()); }, tensor_);
  }

 private:
  std::variant<Tensor<float>, Tensor<std::int32_t>, Tensor<std::uint8_t>> tensor_;
};

}  // namespace netc
