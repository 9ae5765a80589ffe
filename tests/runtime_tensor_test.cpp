// Extents, strided views, tensors.
#include <doctest/doctest.h>
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "netc/network.h"
#include "netc/tensor.h"
#include "tests/runtime_support.h"

namespace netc {
namespace {

using test::check_error;

TEST_CASE("extents print, compare, multiply") {
  const Extents shape{4, 1, 28, 28};
  CHECK(to_string(shape) == "[4,1,28,28]");
  CHECK(to_string(Extents{}) == "[]");
  CHECK(count(shape) == 3136);
  CHECK(count(Extents{}) == 1);
  CHECK(contiguous_strides(shape) == Extents{784, 784, 28, 1});
  CHECK_FALSE(Extents{2, 3} == Extents{2, 3, 1});
  check_error(ErrorKind::usage, {"at most 6"}, [] { Extents{1, 1, 1, 1, 1, 1, 1}; });
}

TEST_CASE("views read and write elements, and refuse indices outside") {
  Tensor<float> tensor({2, 3}, {0, 1, 2, 3, 4, 5});
  const View<float> w = tensor.view();
  CHECK(w(1, 2) == 5);
  w(0, 0) = 42;
  CHECK(tensor.data()[0] == 42);
  check_error(ErrorKind::usage, {"[2,0]", "[2,3]"}, [&] { w(2, 0); });
  check_error(ErrorKind::usage, {"[0,-1]"}, [&] { w(0, -1); });
  check_error(ErrorKind::usage, {"[0]"}, [&] { w(0); });
}

TEST_CASE("a tensor has as many elements as its shape holds") {
  check_error(ErrorKind::mismatch, {"[2,3] has 6 elements, 5 are given"}, [] {
    Tensor<float>({2, 3}, {1, 2, 3, 4, 5});
  });
}

TEST_CASE("whole views change at once") {
  Tensor<float> tensor({2, 2}, {0, 1, 2, 3});
  tensor.view() += 1;
  tensor.view() *= 2;
  CHECK(tensor.view().to_vector() == std::vector<float>{2, 4, 6, 8});
  tensor.view().fill(7);
  CHECK(tensor.view().to_vector() == std::vector<float>(4, 7.0f));
}

TEST_CASE("a strided view has the logical order of its indices") {
  // Stored [column][row]: logical shape [2, 3].
  std::vector<int> stored{0, 10, 1, 11, 2, 12};
  const View<int> view(stored.data(), {2, 3}, {1, 2});
  CHECK_FALSE(view.contiguous());
  CHECK(view(1, 2) == 12);
  CHECK(view.to_vector() == std::vector<int>{0, 1, 2, 10, 11, 12});
  Tensor<int> copy({2, 3});
  copy.view().copy_from(view);
  CHECK(copy.view().to_vector() == view.to_vector());
  copy.view() += 100;
  view.copy_from(copy.view());
  CHECK(stored == std::vector<int>{100, 110, 101, 111, 102, 112});
  check_error(ErrorKind::mismatch, {"expected shape [2,3]", "found [3,2]"}, [&] {
    view.copy_from(Tensor<int>({3, 2}).view());
  });
}

/// Row-major strides of the dimensions in another order.
Extents strides_in_order(const Extents& shape, const std::array<int, 4>& order) {
  Extents strides = shape;
  std::int64_t stride = 1;
  for (int i = 3; i >= 0; --i) {
    const int dimension = order[static_cast<std::size_t>(i)];
    strides[dimension] = stride;
    stride *= shape[dimension];
  }
  return strides;
}

TEST_CASE("copies between all orders of four dimensions") {
  const Extents shape{35, 4, 1, 19};
  std::vector<int> stored(static_cast<std::size_t>(count(shape)));
  std::iota(stored.begin(), stored.end(), 1);
  std::array<int, 4> order{0, 1, 2, 3};
  do {
    const View<const int> from(stored.data(), shape, strides_in_order(shape, order));
    std::array<int, 4> other{0, 1, 2, 3};
    do {
      std::vector<int> copied(stored.size());
      const View<int> to(copied.data(), shape, strides_in_order(shape, other));
      to.copy_from(from);
      REQUIRE(to.to_vector() == from.to_vector());
    } while (std::next_permutation(other.begin(), other.end()));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("scalars and empty tensors") {
  Tensor<float> scalar(Extents{});
  scalar.view()() = 3;
  Tensor<float> copy(Extents{});
  copy.view().copy_from(scalar.view());
  CHECK(copy.view()() == 3);
  Tensor<float>({3, 0}).view().copy_from(Tensor<float>({3, 0}).view());
  CHECK(scalar.view().to_vector() == std::vector<float>{3});
  CHECK(Tensor<float>({0, 3}).view().to_vector().empty());
  CHECK(Tensor<float>({3, 0}).view().to_vector().empty());
}

TEST_CASE("inputs must be contiguous") {
  std::vector<float> stored(6);
  check_error(ErrorKind::mismatch, {"contiguous"}, [&] { AnyView(View<float>(stored.data(), {2, 3}, {1, 2})); });
}

}  // namespace
}  // namespace netc
