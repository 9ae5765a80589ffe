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
  for (detail::RowWalk row(shape_); !row.done(); row.next()) {
    T* to = data_ + row.offset(strides_);
    const T* from = other.data() + row.offset(other.strides());
    const std::int64_t to_step = row.step(strides_);
    const std::int64_t from_step = row.step(other.strides());
    for (std::int64_t i = 0; i < row.length(); ++i) to[i * to_step] = from[i * from_step];
  }
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
