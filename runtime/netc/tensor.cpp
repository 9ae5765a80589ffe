// Extents and the index arithmetic of strided views.
#include "netc/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace netc {

std::string to_string(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
    case DType::bf16:
      return "bf16";
  }
  return "";
}

Extents::Extents(std::initializer_list<std::int64_t> values) {
  for (std::int64_t value : values) push_back(value);
}

Extents::Extents(const std::vector<std::int64_t>& values) {
  for (std::int64_t value : values) push_back(value);
}

void Extents::push_back(std::int64_t value) {
  if (size_ == max_rank) {
    throw Error(ErrorKind::usage, fmt::format("a tensor has at most {} dimensions", max_rank));
  }
  values_[static_cast<std::size_t>(size_++)] = value;
}

bool Extents::operator==(const Extents& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string to_string(const Extents& extents) {
  return fmt::format("[{}]", fmt::join(extents, ","));
}

std::int64_t count(const Extents& extents) {
  std::int64_t product = 1;
  for (std::int64_t extent : extents) product *= extent;
  return product;
}

Extents contiguous_strides(const Extents& shape) {
  Extents strides = shape;
  std::int64_t stride = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

bool are_contiguous(const Extents& strides, const Extents& shape) {
  const Extents wanted = contiguous_strides(shape);
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1 && strides[i] != wanted[i]) return false;
  }
  return true;
}

namespace detail {

std::int64_t element_offset(const Extents& index, const Extents& shape, const Extents& strides) {
  bool inside = index.size() == shape.size();
  std::int64_t offset = 0;
  for (int i = 0; inside && i < index.size(); ++i) {
    inside = index[i] >= 0 && index[i] < shape[i];
    offset += index[i] * strides[i];
  }
  if (!inside) {
    throw Error(ErrorKind::usage,
                fmt::format("index {} is not inside a tensor of shape {}", to_string(index), to_string(shape)));
  }
  return offset;
}

void require_same_shape(const Extents& expected, const Extents& found) {
  if (expected == found) return;
  throw Error(ErrorKind::mismatch, fmt::format("expected shape {}, found {}", to_string(expected), to_string(found)));
}

void require_count(const Extents& shape, std::size_t elements) {
  if (static_cast<std::size_t>(count(shape)) == elements) return;
  throw Error(ErrorKind::mismatch, fmt::format("a tensor of shape {} has {} elements, {} are given", to_string(shape),
                                               count(shape), elements));
}

RowWalk::RowWalk(const Extents& shape) : shape_(shape), outer_(std::max(shape.size() - 1, 0)) {
  while (index_.size() < shape.size()) index_.push_back(0);
  length_ = shape.size() > 0 ? shape[outer_] : 1;
  remaining_ = length_ > 0 ? count(shape) / length_ : 0;
}

void RowWalk::next() {
  --remaining_;
  for (int i = outer_ - 1; i >= 0; --i) {
    if (++index_[i] < shape_[i]) return;
    index_[i] = 0;
  }
}

std::int64_t RowWalk::offset(const Extents& strides) const {
  std::int64_t offset = 0;
  for (int i = 0; i < outer_; ++i) offset += index_[i] * strides[i];
  return offset;
}

namespace {

/// The longer one of the dimensions in which either layout has its neighbours; -1 of a scalar.
int dimension_of_runs(const Extents& shape, const Extents& to_strides, const Extents& from_strides) {
  int longest = shape.size() - 1;
  for (int i = 0; i < shape.size(); ++i) {
    const bool neighbours = to_strides[i] == 1 || from_strides[i] == 1;
    if (neighbours && shape[i] > shape[longest]) longest = i;
  }
  return longest;
}

}  // namespace

CopyOrder::CopyOrder(const Extents& all, const Extents& to, const Extents& from) {
  const int runs = dimension_of_runs(all, to, from);
  for (int i = 0; i < all.size(); ++i) {
    if (i == runs) continue;
    const int last = shape.size() - 1;
    if (last >= 0 && to_strides[last] == all[i] * to[i] && from_strides[last] == all[i] * from[i]) {
      shape[last] *= all[i];  // both walk on from row to row: one dimension
      to_strides[last] = to[i];
      from_strides[last] = from[i];
      continue;
    }
    shape.push_back(all[i]);
    to_strides.push_back(to[i]);
    from_strides.push_back(from[i]);
  }
  if (runs < 0) return;
  extent = all[runs];
  to_step = to[runs];
  from_step = from[runs];
}

}  // namespace detail

}  // namespace netc
