// Definitions of the member templates of View and Tensor; included by tensor.h only.
#pragma once

#include "netc/tensor.h"

namespace netc {

namespace detail {

/// Throws Error (usage) for a wrong number of indices or one out of range.
std::int64_t element_offset(const Extents& index, const Extents& shape, const Extents& strides);

/// Throws Error (mismatch) unless the shapes are equal.
void require_same_shape(const Extents& expected, const Extents& found);

/// Throws Error (mismatch) unless a tensor of this shape has so many elements.
void require_count(const Extents& shape, std::size_t elements);

/// Walks over the rows (the innermost dimension) of a tensor in row-major order of its logical indices.
class RowWalk {
 public:
  explicit RowWalk(const Extents& shape);

  bool done() const { return remaining_ == 0; }
  void next();
  std::int64_t length() const { return length_; }
  /// Where the row starts, and how far apart its elements are, in a tensor with these strides.
  std::int64_t offset(const Extents& strides) const;
  std::int64_t step(const Extents& strides) const { return outer_ < strides.size() ? strides[outer_] : 1; }

 private:
  Extents shape_;
  Extents index_;
  int outer_;
  std::int64_t length_;
  std::int64_t remaining_;
};

/// The order in which elements are copied between two layouts: in runs along a dimension in which one of them has its
/// neighbours. Runs are short, so that the lines of the cache which the other layout touches in one are still there in
/// the next.
struct CopyOrder {
  static constexpr std::int64_t run = 16;

  CopyOrder(const Extents& shape, const Extents& to_strides, const Extents& from_strides);

  Extents shape;  // but for the dimension of runs
  Extents to_strides;
  Extents from_strides;
  std::int64_t extent = 1;  // of the dimension of runs
  std::int64_t to_step = 1;
  std::int64_t from_step = 1;
};

/// Calls copy(to, from) at all indices of the dimensions from `dimension` to `end`.
template <class T, class Copy>
void for_all_indices(const CopyOrder& order, int dimension, int end, T* to, const T* from, const Copy& copy) {
  if (dimension == end) return copy(to, from);
  for (std::int64_t i = 0; i < order.shape[dimension]; ++i) {
    for_all_indices(order, dimension + 1, end, to + i * order.to_strides[dimension],
                    from + i * order.from_strides[dimension], copy);
  }
}

/// Four elements, as processors load and store them.
template <class T>
struct Four {
  using Vector __attribute__((vector_size(4 * sizeof(T)))) = T;

  explicit Four(const T* from) { std::memcpy(&elements, from, sizeof(elements)); }
  explicit Four(Vector vector) : elements(vector) {}
  void store(T* to) const { std::memcpy(to, &elements, sizeof(elements)); }

  Vector elements;
};

/// to[c, r] = from[r, c] of four rows and four columns; the elements of a row lie side by side.
template <class T>
void transpose_four(const T* from, std::int64_t from_row, T* to, std::int64_t to_row) {
  const auto a = Four<T>(from).elements;
  const auto b = Four<T>(from + from_row).elements;
  const auto c = Four<T>(from + 2 * from_row).elements;
  const auto d = Four<T>(from + 3 * from_row).elements;
  const auto left_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const auto left_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const auto right_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const auto right_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  Four<T>(__builtin_shufflevector(left_ab, left_cd, 0, 1, 4, 5)).store(to);
  Four<T>(__builtin_shufflevector(left_ab, left_cd, 2, 3, 6, 7)).store(to + to_row);
  Four<T>(__builtin_shufflevector(right_ab, right_cd, 0, 1, 4, 5)).store(to + 2 * to_row);
  Four<T>(__builtin_shufflevector(right_ab, right_cd, 2, 3, 6, 7)).store(to + 3 * to_row);
}

/// The same of any number of rows and columns. Rows are far apart and short, so that processors do not foresee what the
/// next call reads: asking for it turns weights of 512x512x3x3 around at 4.7 in place of 3.5 GB/s (2026-11).
template <class T>
void transpose(const T* from, std::int64_t from_row, T* to, std::int64_t to_row, std::int64_t rows,
               std::int64_t columns) {
  constexpr std::int64_t ahead = 256 / sizeof(T);
  for (std::int64_t r = 0; r < rows; ++r) __builtin_prefetch(from + r * from_row + ahead);
  const std::int64_t whole_rows = rows / 4 * 4;
  const std::int64_t whole_columns = columns / 4 * 4;
  for (std::int64_t c = 0; c < whole_columns; c += 4) {
    for (std::int64_t r = 0; r < whole_rows; r += 4)
      transpose_four(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      to[c * to_row + r] = from[r * from_row + c];
  }
}

/// Runs of one layout become columns of the other's rows where its neighbours lie along the innermost dimension.
template <class T>
void copy_elements(const CopyOrder& order, T* to, const T* from) {
  const int dimensions = order.shape.size();
  if (order.to_step == 1 && order.from_step == 1) {
    return for_all_indices(order, 0, dimensions, to, from, [&](T* t, const T* f) { std::copy_n(f, order.extent, t); });
  }
  const int last = dimensions - 1;
  const bool from_rows = last >= 0 && order.to_step == 1 && order.from_strides[last] == 1;
  const bool to_rows = last >= 0 && order.from_step == 1 && order.to_strides[last] == 1;
  for (std::int64_t i = 0; i < order.extent; i += CopyOrder::run) {
    const std::int64_t count = std::min(CopyOrder::run, order.extent - i);
    T* first_to = to + i * order.to_step;
    const T* first_from = from + i * order.from_step;
    if (from_rows) {
      for_all_indices(order, 0, last, first_to, first_from, [&](T* t, const T* f) {
        transpose(f, order.from_step, t, order.to_strides[last], count, order.shape[last]);
      });
    } else if (to_rows) {
      for_all_indices(order, 0, last, first_to, first_from, [&](T* t, const T* f) {
        transpose(f, order.from_strides[last], t, order.to_step, order.shape[last], count);
      });
    } else {
      for_all_indices(order, 0, dimensions, first_to, first_from, [&](T* t, const T* f) {
        for (std::int64_t k = 0; k < count; ++k) t[k * order.to_step] = f[k * order.from_step];
      });
    }
  }
}

}  // namespace detail

template <class T>
T& View<T>::at(const Extents& index) const {
  return data_[detail::element_offset(index, shape_, strides_)];
}

template <class T>
template <class F>
void View<T>::for_each(F f) const {
  for (detail::RowWalk row(shape_); !row.done(); row.next()) {
    T* element = data_ + row.offset(strides_);
    const std::int64_t step = row.step(strides_);
    for (std::int64_t i = 0; i < row.length(); ++i) f(element[i * step]);
  }
}

template <class T>
const View<T>& View<T>::operator+=(T value) const requires(!std::is_const_v<T>) {
  for_each([value](T& element) { element += value; });
  return *this;
}

template <class T>
const View<T>& View<T>::operator*=(T value) const requires(!std::is_const_v<T>) {
  for_each([value](T& element) { element *= value; });
  return *this;
}

template <class T>
void View<T>::fill(T value) const requires(!std::is_const_v<T>) {
  for_each([value](T& element) { element = value; });
}

template <class T>
void View<T>::copy_from(View<const T> other) const requires(!std::is_const_v<T>) {
  detail::require_same_shape(shape_, other.shape());
  detail::copy_elements(detail::CopyOrder(shape_, strides_, other.strides()), data_, other.data());
}

template <class T>
std::vector<std::remove_const_t<T>> View<T>::to_vector() const {
  std::vector<std::remove_const_t<T>> elements;
  elements.reserve(static_cast<std::size_t>(size()));
  for_each([&elements](T& element) { elements.push_back(element); });
  return elements;
}

template <class T>
Tensor<T>::Tensor(Extents shape, std::vector<T> elements) : shape_(shape), elements_(std::move(elements)) {
  detail::require_count(shape_, elements_.size());
}

}  // namespace netc
