// Views of tensors that somebody else owns, and tensors that own their elements.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "netc/error.h"

namespace netc {

enum class DType : std::uint8_t { f32, i32, u8, bf16 };  // bf16: kernels among themselves only

/// Bytes of an element.
constexpr int size_of(DType type) {
  return type == DType::u8 ? 1 : type == DType::bf16 ? 2 : 4;
}

/// "f32"
std::string to_string(DType type);

constexpr int max_rank = 6;

/// Up to six extents or strides, without allocation.
class Extents {
 public:
  Extents() = default;
  Extents(std::initializer_list<std::int64_t> values);
  explicit Extents(const std::vector<std::int64_t>& values);

  int size() const { return size_; }
  std::int64_t operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) { return values_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + size_; }
  void push_back(std::int64_t value);
  bool operator==(const Extents& other) const;

 private:
  std::array<std::int64_t, max_rank> values_{};
  int size_ = 0;
};

/// "[4,1,28,28]"
std::string to_string(const Extents& extents);

/// Product of the extents; 1 for a scalar.
std::int64_t count(const Extents& extents);

/// Row-major strides, in elements.
Extents contiguous_strides(const Extents& shape);

/// Whether these strides are row-major; where an extent is 1, the stride says nothing.
bool are_contiguous(const Extents& strides, const Extents& shape);

/// A strided window on elements that somebody else owns; as cheap to copy as a pointer. Indices are logical
/// (PyTorch's order: conv weights [out, in / groups, kh, kw]), whatever order the kernels store.
template <class T>
class View {
 public:
  View() = default;
  View(T* data, Extents shape) : data_(data), shape_(shape), strides_(contiguous_strides(shape)) {}
  View(T* data, Extents shape, Extents strides) : data_(data), shape_(shape), strides_(strides) {}
  /// A view of constants from a view of variables.
  operator View<const T>() const { return {data_, shape_, strides_}; }  // NOLINT(google-explicit-constructor)

  T* data() const { return data_; }
  const Extents& shape() const { return shape_; }
  const Extents& strides() const { return strides_; }
  int rank() const { return shape_.size(); }
  std::int64_t size() const { return count(shape_); }
  bool contiguous() const { return are_contiguous(strides_, shape_); }

  /// One element, `w(0, 0) = 42`; throws Error (usage) for a wrong number of indices or one out of range.
  template <class... Index>
  T& operator()(Index... index) const {
    return at({static_cast<std::int64_t>(index)...});
  }
  T& at(const Extents& index) const;

  /// Calls `f(element)` in row-major order of the logical indices.
  template <class F>
  void for_each(F f) const;

  const View& operator+=(T value) const requires(!std::is_const_v<T>);
  const View& operator*=(T value) const requires(!std::is_const_v<T>);
  void fill(T value) const requires(!std::is_const_v<T>);
  /// Copies from a view of the same shape; throws Error (mismatch).
  void copy_from(View<const T> other) const requires(!std::is_const_v<T>);
  /// All elements in row-major order.
  std::vector<std::remove_const_t<T>> to_vector() const;

 private:
  T* data_ = nullptr;
  Extents shape_;
  Extents strides_;
};

/// Owns its elements, row-major, zero at first.
template <class T>
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Extents shape) : shape_(shape), elements_(static_cast<std::size_t>(count(shape))) {}
  /// Throws Error (mismatch) unless there are as many elements as the shape holds.
  Tensor(Extents shape, std::vector<T> elements);

  const Extents& shape() const { return shape_; }
  std::int64_t size() const { return static_cast<std::int64_t>(elements_.size()); }
  T* data() { return elements_.data(); }
  const T* data() const { return elements_.data(); }
  View<T> view() { return {elements_.data(), shape_}; }
  View<const T> view() const { return {elements_.data(), shape_}; }

 private:
  Extents shape_;
  std::vector<T> elements_;
};

}  // namespace netc

#include "netc/tensor_inl.h"
