// Instructions, one by one, against the same computation in C++.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "driver.h"

namespace netc {
namespace {

using test::Driver;

/// Registers of a type: %rs for two bytes, %r for four, %rd for eight.
template <class T>
std::string register_of(int index) {
  return (sizeof(T) <= 2 ? "%rs" : sizeof(T) == 4 ? "%r" : "%rd") + std::to_string(index);
}

template <class T>
std::string bits_of() {
  return ".b" + std::to_string(8 * sizeof(T));
}

/// Text that loads a thread's value from the array that a parameter points to; address in %rd30.
template <class T>
std::string load(int index) {
  const std::string parameter = "p" + std::to_string(index);
  return "  ld.param.b64 %rd30, [" + parameter + "];\n  mad.wide.u32 %rd30, %r60, " + std::to_string(sizeof(T)) +
         ", %rd30;\n  ld.global" + bits_of<T>() + " " + register_of<T>(index) + ", [%rd30];\n";
}

/// What `body` leaves in the result's register 9, from operands in registers 1, 2, ... of their widths, a thread for
/// each element.
template <class R, class... A>
std::vector<R> evaluate(const std::string& body, const std::vector<A>&... operands) {
  const Driver driver;
  const std::size_t count = std::max({operands.size()...});
  std::string parameters = ".param .u64 p0";
  std::string text = "  mov.u32 %r60, %tid.x;\n";
  int index = 0;
  ((parameters += ", .param .u64 p" + std::to_string(++index), text += load<A>(index)), ...);
  text += "  " + body + "\n  ld.param.b64 %rd30, [p0];\n  mad.wide.u32 %rd30, %r60, " + std::to_string(sizeof(R)) +
          ", %rd30;\n  st.global" + bits_of<R>() + " [%rd30], " + register_of<R>(9) + ";";
  const Driver::Address result = driver.allocate(count * sizeof(R));
  Driver::Shape shape;
  shape.block[0] = static_cast<unsigned>(count);
  REQUIRE(driver.launch(test::kernel(parameters, text), shape, result, driver.upload(operands)...) == 0);
  return driver.download<R>(result, count);
}

/// Values worth trying, and all pairs of them in two lists.
template <class T>
std::vector<T> values() {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_floating_point_v<T>) {
    return {T(0), T(-0.0), T(1), T(-1), T(0.75), T(-2.5), T(3.1415927), T(1e-3), T(-1e6), T(7), Limits::infinity()};
  } else {
    return {0, 1, 2, 3, 7, 31, 33, 100, static_cast<T>(-1), static_cast<T>(-7), Limits::max(), Limits::min()};
  }
}

template <class T>
std::pair<std::vector<T>, std::vector<T>> pairs() {
  std::pair<std::vector<T>, std::vector<T>> result;
  for (T a : values<T>()) {
    for (T b : values<T>()) {
      result.first.push_back(a);
      result.second.push_back(b);
    }
  }
  return result;
}

template <class T>
bool same(T a, T b) {
  return a == b || (a != a && b != b);
}

template <class T, class R = T, class Expected>
void check_binary(const std::string& instruction, const Expected& expected) {
  CAPTURE(instruction);
  const auto [a, b] = pairs<T>();
  const std::string body =
      instruction + " " + register_of<R>(9) + ", " + register_of<T>(1) + ", " + register_of<T>(2) + ";";
  const std::vector<R> results = evaluate<R>(body, a, b);
  for (std::size_t i = 0; i < results.size(); ++i) {
    CAPTURE(a[i]);
    CAPTURE(b[i]);
    CHECK(same(results[i], expected(a[i], b[i])));
  }
}

template <class T, class R = T, class Expected>
void check_unary(const std::string& instruction, const Expected& expected, double tolerance = 0) {
  CAPTURE(instruction);
  const std::vector<T> a = values<T>();
  const std::vector<R> results = evaluate<R>(instruction + " " + register_of<R>(9) + ", " + register_of<T>(1) + ";", a);
  for (std::size_t i = 0; i < results.size(); ++i) {
    CAPTURE(a[i]);
    const R wanted = expected(a[i]);
    CHECK((same(results[i], wanted) || std::abs(static_cast<double>(results[i]) - static_cast<double>(wanted)) <=
                                           tolerance * std::abs(static_cast<double>(wanted))));
  }
}

using I16 = std::int16_t;
using I32 = std::int32_t;
using I64 = std::int64_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

TEST_CASE("sums and products") {
  check_binary<float>("add.f32", [](float a, float b) { return a + b; });
  check_binary<double>("sub.f64", [](double a, double b) { return a - b; });
  check_binary<float>("mul.rn.ftz.f32", [](float a, float b) { return a * b; });
  check_binary<U32>("add.s32", [](U32 a, U32 b) { return a + b; });
  check_binary<U64>("sub.s64", [](U64 a, U64 b) { return a - b; });
  check_binary<U32>("mul.lo.s32", [](U32 a, U32 b) { return a * b; });
  check_binary<I32>("mul.hi.s32", [](I32 a, I32 b) { return static_cast<I32>(I64{a} * b >> 32); });
  check_binary<U32>("mul.hi.u32", [](U32 a, U32 b) { return static_cast<U32>(U64{a} * b >> 32); });
  check_binary<I32, I64>("mul.wide.s32", [](I32 a, I32 b) { return I64{a} * b; });
  check_binary<U16, U32>("mul.wide.u16", [](U16 a, U16 b) { return U32{a} * b; });
}

}  // namespace
}  // namespace netc
