// Windows that slide over images, as conv and the pools use them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/operator.h"

namespace netc::ops {

/// Along one axis: output o reads inputs o * stride + k * dilation - pad for k in [0, kernel). The last window lies
/// inside the padded input, or with `ceil` reaches over its end.
struct Window {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t pad = 0;
  std::int64_t dilation = 1;
  bool ceil = false;

  std::int64_t span() const { return dilation * (kernel - 1) + 1; }
  /// 0 where not even one window fits.
  std::int64_t outputs(std::int64_t extent) const;
};

/// The windows along height and width from `kernel`, `stride`, `pad` and, where there are such, `dilation` and
/// `ceil_mode`.
struct Windows {
  Window y;
  Window x;
};
Windows windows(const Attributes& attributes);

/// The output's height and width, or what is wrong: the input is no image (N203), a window exceeds it (N202). Warns
/// where a stride leaves edge pixels unread (W401).
struct WindowShape {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::optional<ShapeError> error;
  std::vector<ShapeWarning> warnings;
};
WindowShape slide(const std::string& op, const Shape& input, const Windows& windows);

/// An error for an operator that wants images, if this is none.
std::optional<ShapeError> not_an_image(const std::string& op, const Shape& input);

}  // namespace netc::ops
