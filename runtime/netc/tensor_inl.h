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

/// Calls copy_run(to, from) at all indices of the dimensions from `dimension` on.
template <class T, class CopyRun>
void copy_runs(const CopyOrder& order, int dimension, T* to, const T* from, const CopyRun& copy_run) {
  if (dimension == order.shape.size()) return copy_run(to, from);
  const std::int64_t extent = order.shape[dimension];
  const std::int64_t to_stride = order.to_strides[dimension];
  const std::int64_t from_stride = order.from_strides[dimension];
  const bool innermost = dimension + 1 == order.shape.size();
  for (std::int64_t i = 0; i < extent; ++i, to += to_stride, from += from_stride) {
    if (innermost) {
      copy_run(to, from);
    } else {
      copy_runs(order, dimension + 1, to, from, copy_run);
    }
  }
}

template <class T>
void copy_elements(const CopyOrder& order, T* to, const T* from) {
  const std::int64_t to_step = order.to_step;
  const std::int64_t from_step = order.from_step;
  if (to_step == 1 && from_step == 1) {
    return copy_runs(order, 0, to, from, [&](T* t, const T* f) { std::copy_n(f, order.extent, t); });
  }
  std::int64_t i = 0;
  for (; i + CopyOrder::run <= order.extent; i += CopyOrder::run) {
    // With a length and a step that the compiler knows: twice as fast.
    T* run = to + i * to_step;
    if (to_step == 1) {
      copy_runs(order, 0, run, from + i * from_step, [=](T* t, const T* f) {
        for (std::int64_t k = 0; k < CopyOrder::run; ++k) t[k] = f[k * from_step];
      });
    } else {
      copy_runs(order, 0, run, from + i * from_step, [=](T* t, const T* f) {
        for (std::int64_t k = 0; k < CopyOrder::run; ++k) t[k * to_step] = f[k * from_step];
      });
    }
  }
  const std::int64_t rest = order.extent - i;
  if (rest == 0) return;
  copy_runs(order, 0, to + i * to_step, from + i * from_step, [=](T* t, const T* f) {
    for (std::int64_t k = 0; k < rest; ++k) t[k * to_step] = f[k * from_step];
  });
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
