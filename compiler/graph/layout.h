// Where the elements of a value lie relative to its first one.
//
// Every value of a batch has a lane and a block: example n is lane n % lanes of block n / lanes. With one lane a block
// is an example and the axes decide: images lie N, H, W, C, so that kernels vectorise over channels. Networks with a
// handful of channels take 16 lanes: kernels vectorise over images, and the channels' number does not matter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"

namespace netc {

struct Layout {
  int lanes = 1;
  /// Elements from one block to the next; 0 for values without a batch.
  std::int64_t block_stride = 0;
  /// A stride for each axis behind the batch (for every axis of a value without one), in the shape's order, in
  /// elements. Lanes lie next to each other.
  std::vector<std::int64_t> strides;

  bool operator==(const Layout&) const = default;
};

/// Dense storage with the axes of `order` (axes of `shape`, the batch left out) from the slowest to the fastest.
Layout dense_layout(const Shape& shape, const std::vector<int>& order, int lanes);

/// Row-major, one lane: how users hand tensors in and get them back.
Layout row_major(const Shape& shape);

/// "lanes 16, strides (448, 16)", for dumps and kernel descriptions.
std::string to_string(const Layout& layout);

}  // namespace netc
