#include "compiler/graph/layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace netc {

Layout dense_layout(const Shape& shape, const std::vector<int>& order, int lanes) {
  const int first = shape.has_batch() ? 1 : 0;
  Layout layout;
  layout.lanes = shape.has_batch() ? lanes : 1;
  layout.strides.resize(static_cast<std::size_t>(shape.rank() - first));
  std::int64_t stride = layout.lanes;
  for (auto axis = order.rbegin(); axis != order.rend(); ++axis) {
    layout.strides[static_cast<std::size_t>(*axis - first)] = stride;
    stride *= shape[*axis];
  }
  if (shape.has_batch()) layout.block_stride = stride;
  return layout;
}

Layout row_major(const Shape& shape) {
  const int first = shape.has_batch() ? 1 : 0;
  std::vector<int> order(static_cast<std::size_t>(shape.rank() - first));
  std::iota(order.begin(), order.end(), first);
  return dense_layout(shape, order, 1);
}

std::string to_string(const Layout& layout) {
  return fmt::format("lanes {}, block {}, strides ({})", layout.lanes, layout.block_stride,
                     fmt::join(layout.strides, ", "));
}

}  // namespace netc
