#include "compiler/ops/window.h"

#include <fmt/format.h>

namespace netc::ops {

std::int64_t Window::outputs(std::int64_t extent) const {
  const std::int64_t room = extent + 2 * pad - span() + (ceil ? stride - 1 : 0);
  if (room < 0) return 0;
  const std::int64_t count = room / stride + 1;
  const bool reads_padding_only = ceil && (count - 1) * stride >= extent + pad;
  return reads_padding_only ? count - 1 : count;
}

Windows windows(const Attributes& attributes) {
  const IntPair kernel = attributes.pair("kernel");
  const IntPair stride = attributes.pair("stride");
  const IntPair pad = attributes.pair("pad");
  const IntPair dilation = attributes.has("dilation") ? attributes.pair("dilation") : IntPair{1, 1};
  const bool ceil = attributes.has("ceil_mode") && attributes.boolean("ceil_mode");
  return {{kernel.first, stride.first, pad.first, dilation.first, ceil},
          {kernel.second, stride.second, pad.second, dilation.second, ceil}};
}

std::optional<ShapeError> not_an_image(const std::string& op, const Shape& input) {
  if (input.rank() == 4) return {};
  return ShapeError{"N203", fmt::format("{} wants [N,C,H,W], found {}", op, to_string(input)),
                    "input " + to_string(input), ""};
}

namespace {

std::optional<ShapeError> exceeds(const std::string& op, const Shape& input, const Window& window, int axis) {
  const std::int64_t padded = input[axis] + 2 * window.pad;
  if (window.outputs(input[axis]) > 0) return {};
  return ShapeError{
      "N202",
      fmt::format("{}: the window of {} exceeds the padded {} of {}", op, window.span(), axis == 2 ? "height" : "width",
                  padded),
      "input " + to_string(input),
      fmt::format("make the kernel smaller, or pad by at least {}", (window.span() - input[axis] + 1) / 2)};
}

/// Kernels copy the image with zeros around it, and count its bytes in 32 bits.
std::optional<ShapeError> too_large(const std::string& op, const Shape& input, const Windows& windows) {
  const auto padded = [&](int axis, const Window& window) {
    return static_cast<double>(input[axis]) + 2.0 * static_cast<double>(window.pad);
  };
  const double height = padded(2, windows.y);
  const double width = padded(3, windows.x);
  if (static_cast<double>(input[1]) * height * width * sizeof(float) < 2147483648.0) return {};
  return ShapeError{
      "N205",
      fmt::format("{}: the image with zeros around it, {:.0f}x{:.0f} pixels of {} channel{}, has more than "
                  "2^31 - 1 bytes",
                  op, height, width, input[1], input[1] == 1 ? "" : "s"),
      "input " + to_string(input), "pad by less"};
}

void warn_dropped(const std::string& op, const Shape& input, const Window& window, int axis,
                  std::vector<ShapeWarning>& warnings) {
  const std::int64_t dropped = (input[axis] + 2 * window.pad - window.span()) % window.stride - window.pad;
  if (window.ceil || dropped <= 0 || window.span() < window.stride) return;  // small windows leave gaps on purpose
  const std::string lines = fmt::format("{}{}{}", dropped == 1 ? "" : fmt::format("{} ", dropped),
                                        axis == 2 ? "row" : "column", dropped == 1 ? "" : "s");
  warnings.push_back(
      {"W401",
       fmt::format("{}: a stride of {} over {} leaves the last {} unread", op, window.stride, input[axis], lines),
       "add padding, or choose another kernel, if they matter"});
}

}  // namespace

WindowShape slide(const std::string& op, const Shape& input, const Windows& windows) {
  WindowShape result;
  if ((result.error = not_an_image(op, input))) return result;
  if ((result.error = exceeds(op, input, windows.y, 2))) return result;
  if ((result.error = exceeds(op, input, windows.x, 3))) return result;
  if ((result.error = too_large(op, input, windows))) return result;
  warn_dropped(op, input, windows.y, 2, result.warnings);
  warn_dropped(op, input, windows.x, 3, result.warnings);
  result.height = windows.y.outputs(input[2]);
  result.width = windows.x.outputs(input[3]);
  return result;
}

}  // namespace netc::ops
