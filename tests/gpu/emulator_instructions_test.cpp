// Instructions, one by one, against the same computation in C++.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
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
  check_binary<U64>("mul.hi.u64", [](U64 a, U64 b) {
    const U64 middle = (a & 0xffffffff) * (b >> 32) + ((a & 0xffffffff) * (b & 0xffffffff) >> 32);
    const U64 other = (a >> 32) * (b & 0xffffffff) + (middle & 0xffffffff);
    return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
  });
}

TEST_CASE("multiply-adds") {
  const auto [a, b] = pairs<float>();
  const std::vector<float> fused = evaluate<float>("fma.rn.f32 %r9, %r1, %r2, 0f3DCCCCCD;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same(fused[i], std::fma(a[i], b[i], 0.1F)));
  const auto [m, n] = pairs<U32>();
  const std::vector<U32> low = evaluate<U32>("mad.lo.s32 %r9, %r1, %r2, 5;", m, n);
  const std::vector<U64> wide = evaluate<U64>("mad.wide.u32 %rd9, %r1, %r2, 5;", m, n);
  for (std::size_t i = 0; i < m.size(); ++i) {
    CHECK(low[i] == m[i] * n[i] + 5);
    CHECK(wide[i] == U64{m[i]} * n[i] + 5);
  }
}

TEST_CASE("carries pass from word to word") {
  const auto [a, b] = pairs<U64>();
  const std::vector<U64> sum = evaluate<U64>(
      "mov.b64 {%r1, %r2}, %rd1; mov.b64 {%r3, %r4}, %rd2; add.cc.u32 %r5, %r1, %r3; addc.u32 %r6, %r2, %r4; "
      "mov.b64 %rd9, {%r5, %r6};",
      a, b);
  const std::vector<U64> product = evaluate<U64>(
      "mov.b64 {%r1, %r2}, %rd1; mov.b64 {%r3, %r4}, %rd2; mul.lo.u32 %r5, %r1, %r3; mul.hi.u32 %r6, %r1, %r3; "
      "mad.lo.cc.u32 %r7, %r1, %r3, %r5; madc.hi.u32 %r8, %r1, %r3, %r6; mov.b64 %rd9, {%r7, %r8};",
      a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(sum[i] == a[i] + b[i]);
    const U64 low = U64{static_cast<U32>(a[i])} * static_cast<U32>(b[i]);
    CHECK(product[i] == 2 * low);
  }
}

TEST_CASE("quotients") {
  check_binary<float>("div.rn.f32", [](float a, float b) { return a / b; });
  check_binary<double>("div.rn.f64", [](double a, double b) { return a / b; });
  const std::vector<I32> a = {7, -7, 100, -100, 5, 0};
  const std::vector<I32> b = {2, 2, -7, -7, 5, 3};
  const std::vector<I32> quotients = evaluate<I32>("div.s32 %r9, %r1, %r2;", a, b);
  const std::vector<I32> remainders = evaluate<I32>("rem.s32 %r9, %r1, %r2;", a, b);
  CHECK(quotients == std::vector<I32>{3, -3, -14, 14, 1, 0});
  CHECK(remainders == std::vector<I32>{1, -1, 2, -2, 0, 0});
}

TEST_CASE("least, greatest, signs") {
  check_binary<I32>("min.s32", [](I32 a, I32 b) { return std::min(a, b); });
  check_binary<U32>("max.u32", [](U32 a, U32 b) { return std::max(a, b); });
  check_binary<I64>("max.s64", [](I64 a, I64 b) { return std::max(a, b); });
  check_binary<float>("max.f32", [](float a, float b) { return std::max(a, b); });
  check_unary<float>("abs.f32", [](float a) { return std::abs(a); });
  check_unary<double>("neg.f64", [](double a) { return -a; });
  check_binary<float>("copysign.f32", [](float a, float b) { return std::copysign(b, a); });
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(evaluate<float>("min.f32 %r9, %r1, %r2;", std::vector<float>{nan, 2}, std::vector<float>{1, nan}) ==
        std::vector<float>{1, 2});
}

TEST_CASE("bits") {
  check_binary<U32>("and.b32", [](U32 a, U32 b) { return a & b; });
  check_binary<U64>("or.b64", [](U64 a, U64 b) { return a | b; });
  check_binary<U16>("xor.b16", [](U16 a, U16 b) { return static_cast<U16>(a ^ b); });
  check_unary<U32>("not.b32", [](U32 a) { return ~a; });
  check_binary<U32>("shl.b32", [](U32 a, U32 b) { return b > 31 ? 0 : a << b; });
  check_binary<U32>("shr.u32", [](U32 a, U32 b) { return b > 31 ? 0 : a >> b; });
  check_binary<I32>("shr.s32", [](I32 a, I32 b) { return a >> std::min(static_cast<U32>(b), 31U); });
  check_unary<U32>("popc.b32", [](U32 a) { return static_cast<U32>(std::popcount(a)); });
  check_unary<U64, U32>("clz.b64", [](U64 a) { return static_cast<U32>(std::countl_zero(a)); });
  const std::vector<U32> a = {0x12345678, 0x80000001};
  CHECK(evaluate<U32>("shf.l.wrap.b32 %r9, 0xf0000000, %r1, 36;", a) == std::vector<U32>{0x2345678f, 0x1f});
  CHECK(evaluate<U32>("shf.r.clamp.b32 %r9, %r1, 0xf, 40;", a) == std::vector<U32>{0xf, 0xf});
  CHECK(evaluate<U32>("prmt.b32 %r9, %r1, 0xaabbccdd, 0x7b06;", a) == std::vector<U32>{0xaa0078bb, 0xaaff01bb});
  CHECK(evaluate<U32>("bfe.s32 %r9, %r1, 4, 4;", a) == std::vector<U32>{7, 0});
  CHECK(evaluate<U32>("bfi.b32 %r9, %r1, 1431655765, 8, 12;", a) == std::vector<U32>{0x55567855, 0x55500155});
  CHECK(evaluate<U32>("bfi.b32 %r9, %r1, 7, 24, 20;", a) == std::vector<U32>{0x78000007, 0x01000007});
  CHECK(evaluate<U32>("bfi.b32 %r9, %r1, 7, 32, 4;", a) == std::vector<U32>{7, 7});
  CHECK(evaluate<U32>("bfe.s32 %r9, %r1, 28, 4;", a) == std::vector<U32>{1, 0xfffffff8});
  CHECK(evaluate<U32>("brev.b32 %r9, %r1;", a) == std::vector<U32>{0x1e6a2c48, 0x80000001});
}

template <class T, class Expected>
void check_comparison(const std::string& comparison, const Expected& expected) {
  CAPTURE(comparison);
  auto [a, b] = pairs<T>();
  if constexpr (std::is_floating_point_v<T>) a[3] = b[17] = std::numeric_limits<T>::quiet_NaN();
  const std::string operands = register_of<T>(1) + ", " + register_of<T>(2);
  const std::vector<U32> results = evaluate<U32>(comparison + " %p1, " + operands + "; selp.b32 %r9, 7, 5, %p1;", a, b);
  for (std::size_t i = 0; i < results.size(); ++i) CHECK(results[i] == (expected(a[i], b[i]) ? 7 : 5));
}

TEST_CASE("comparisons") {
  check_comparison<I32>("setp.lt.s32", [](I32 a, I32 b) { return a < b; });
  check_comparison<U32>("setp.ge.u32", [](U32 a, U32 b) { return a >= b; });
  check_comparison<U64>("setp.ne.b64", [](U64 a, U64 b) { return a != b; });
  check_comparison<U16>("setp.hi.u16", [](U16 a, U16 b) { return a > b; });
  const auto ordered = [](auto a, auto b) { return a == a && b == b; };
  check_comparison<float>("setp.eq.f32", [](float a, float b) { return a == b; });
  check_comparison<float>("setp.ne.f32", [&](float a, float b) { return ordered(a, b) && a != b; });
  check_comparison<float>("setp.neu.f32", [](float a, float b) { return a != b; });
  check_comparison<float>("setp.equ.f32", [&](float a, float b) { return !ordered(a, b) || a == b; });
  check_comparison<double>("setp.gt.f64", [](double a, double b) { return a > b; });
  check_comparison<float>("setp.ltu.f32", [](float a, float b) { return !(a >= b); });
  check_comparison<float>("setp.leu.f32", [](float a, float b) { return !(a > b); });
  check_comparison<float>("setp.gtu.f32", [](float a, float b) { return !(a <= b); });
  check_comparison<float>("setp.geu.f32", [](float a, float b) { return !(a < b); });
  check_comparison<float>("setp.nan.f32", [&](float a, float b) { return !ordered(a, b); });
  check_comparison<float>("setp.num.f32", ordered);
}

TEST_CASE("predicates are combined, negated and copied") {
  const auto [a, b] = pairs<I32>();
  const std::vector<U32> results = evaluate<U32>(
      "setp.lt.s32 %p1, %r1, %r2; setp.gt.and.s32 %p2|%p3, %r1, 0, %p1; not.pred %p4, %p3; xor.pred %p5, %p2, %p4; "
      "mov.pred %p6, %p5; selp.b32 %r9, 1, 0, %p2; selp.b32 %r8, 2, 0, %p3; add.s32 %r9, %r9, %r8; "
      "selp.b32 %r8, 4, 0, %p6; add.s32 %r9, %r9, %r8;",
      a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both = a[i] > 0 && a[i] < b[i];
    const bool other = a[i] <= 0 && a[i] < b[i];
    CHECK(results[i] == (both ? 1U : 0U) + (other ? 2U : 0U) + (both != !other ? 4U : 0U));
  }
}

template <class To, class From>
To clamped(From value) {
  if (value != value) return 0;
  if (value >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  if (value <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return static_cast<To>(value);
}

TEST_CASE("conversions") {
  check_unary<I32, I64>("cvt.s64.s32", [](I32 a) { return I64{a}; });
  check_unary<U32, U64>("cvt.u64.u32", [](U32 a) { return U64{a}; });
  check_unary<U64, U32>("cvt.u32.u64", [](U64 a) { return static_cast<U32>(a); });
  check_unary<I32, I32>("cvt.s32.s8", [](I32 a) { return I32{static_cast<std::int8_t>(a)}; });
  check_unary<I32, U16>("cvt.sat.u8.s32", [](I32 a) { return static_cast<U16>(std::clamp(a, 0, 255)); });
  check_unary<I32, float>("cvt.rn.f32.s32", [](I32 a) { return static_cast<float>(a); });
  check_unary<U64, double>("cvt.rn.f64.u64", [](U64 a) { return static_cast<double>(a); });
  check_unary<float, I32>("cvt.rzi.s32.f32", [](float a) { return clamped<I32>(std::trunc(a)); });
  check_unary<float, I32>("cvt.rni.s32.f32", [](float a) { return clamped<I32>(std::nearbyint(a)); });
  check_unary<float, U32>("cvt.rmi.u32.f32", [](float a) { return clamped<U32>(std::floor(a)); });
  check_unary<double, I64>("cvt.rpi.s64.f64", [](double a) { return clamped<I64>(std::ceil(a)); });
  check_unary<float>("cvt.rmi.f32.f32", [](float a) { return std::floor(a); });
  check_unary<float>("cvt.sat.f32.f32", [](float a) { return std::clamp(a, 0.0F, 1.0F); });
  check_unary<double, float>("cvt.rn.f32.f64", [](double a) { return static_cast<float>(a); });
  const std::vector<float> numbers = {1.0F, -2.5F, 65504.0F, 0.1F};
  CHECK(evaluate<U16>("cvt.rn.f16.f32 %rs9, %r1;", numbers) == std::vector<U16>{0x3c00, 0xc100, 0x7bff, 0x2e66});
  CHECK(evaluate<U16>("cvt.rn.bf16.f32 %rs9, %r1;", numbers) == std::vector<U16>{0x3f80, 0xc020, 0x4780, 0x3dcd});
  CHECK(evaluate<float>("cvt.rn.f16.f32 %rs1, %r1; cvt.f32.f16 %r9, %rs1;", numbers)[3] == doctest::Approx(0.09997559));
  CHECK(evaluate<U32>("cvt.rna.tf32.f32 %r9, %r1;", std::vector<U32>{0x3f800fff, 0x3f801000, 0xbf803000}) ==
        std::vector<U32>{0x3f800000, 0x3f802000, 0xbf804000});
  // The first operand is the upper half.
  CHECK(evaluate<U32>("cvt.rn.bf16x2.f32 %r9, %r1, %r2;", std::vector<float>{1, 3.140625F},
                      std::vector<float>{-2, 1.00390625F}) == std::vector<U32>{0x3f80c000, 0x40493f80});
}

TEST_CASE("registers are packed and unpacked") {
  const std::vector<U32> low = {1, 0xffffffff};
  const std::vector<U32> high = {2, 0x12345678};
  CHECK(evaluate<U64>("mov.b64 %rd9, {%r1, %r2};", low, high) == std::vector<U64>{0x200000001, 0x12345678ffffffff});
  CHECK(evaluate<U16>("mov.b32 {_, %rs9}, %r1;", high) == std::vector<U16>{0, 0x1234});
}

TEST_CASE("roots and approximations") {
  check_unary<float>("sqrt.rn.f32", [](float a) { return std::sqrt(a); });
  check_unary<double>("rcp.rn.f64", [](double a) { return 1 / a; });
  constexpr double kTolerance = 1e-6;
  check_unary<float>(
      "rsqrt.approx.ftz.f32", [](float a) { return 1 / std::sqrt(a); }, kTolerance);
  check_unary<float>(
      "ex2.approx.ftz.f32", [](float a) { return std::exp2(a); }, kTolerance);
  check_unary<float>(
      "lg2.approx.f32", [](float a) { return std::log2(a); }, kTolerance);
  check_unary<float>(
      "sin.approx.f32", [](float a) { return std::sin(a); }, kTolerance);
  check_unary<float>(
      "cos.approx.f32", [](float a) { return std::cos(a); }, kTolerance);
  check_unary<float>(
      "tanh.approx.f32", [](float a) { return std::tanh(a); }, kTolerance);
}

TEST_CASE("subnormal numbers become zero where the kernel says so") {
  const std::vector<float> tiny = {1e-39F, -1e-40F};
  CHECK(evaluate<float>("add.f32 %r9, %r1, %r1;", tiny)[0] == 2e-39F);
  CHECK(evaluate<float>("add.ftz.f32 %r9, %r1, %r1;", tiny) == std::vector<float>{0, 0});
}

TEST_CASE("lanes take different ways and meet again") {
  std::vector<U32> counts(64);
  for (U32 i = 0; i < counts.size(); ++i) counts[i] = i * 7 % 19;
  // The sum of 1 to n where n is even, of their squares where it is odd; then what the next lane has.
  const std::vector<U32> results = evaluate<U32>(
      R"(mov.b32 %r9, 0;
         mov.b32 %r2, 0;
         and.b32 %r3, %r1, 1;
         setp.eq.b32 %p1, %r3, 1;
LOOP:    setp.ge.u32 %p2, %r2, %r1;
         @%p2 bra DONE;
         add.s32 %r2, %r2, 1;
         @!%p1 bra EVEN;
         mad.lo.s32 %r9, %r2, %r2, %r9;
         bra.uni LOOP;
EVEN:    add.s32 %r9, %r9, %r2;
         bra LOOP;
DONE:    shfl.sync.down.b32 %r9|%p3, %r9, 1, 31, -1;)",
      counts);
  const auto sum = [&](std::size_t i) {
    U32 total = 0;
    for (U32 k = 1; k <= counts[i]; ++k) total += counts[i] % 2 == 0 ? k : k * k;
    return total;
  };
  for (std::size_t i = 0; i < counts.size(); ++i) CHECK(results[i] == sum(i % 32 == 31 ? i : i + 1));
}

std::vector<U32> shuffled(const std::string& arguments, int width = 32) {
  std::vector<U32> lanes(static_cast<std::size_t>(width));
  for (U32 i = 0; i < lanes.size(); ++i) lanes[i] = i;
  return evaluate<U32>("shfl.sync." + arguments + ", -1; selp.b32 %r8, 100, 0, %p1; add.s32 %r9, %r9, %r8;", lanes);
}

TEST_CASE("shuffles") {
  const std::vector<U32> up = shuffled("up.b32 %r9|%p1, %r1, 3, 0");
  const std::vector<U32> across = shuffled("bfly.b32 %r9|%p1, %r1, 5, 31");
  const std::vector<U32> segments = shuffled("down.b32 %r9|%p1, %r1, 2, 6151");  // of 8 lanes: 24 << 8 | 7
  const std::vector<U32> chosen = shuffled("idx.b32 %r9|%p1, %r1, 4, 31");
  for (U32 lane = 0; lane < 32; ++lane) {
    CHECK(up[lane] == (lane < 3 ? lane : lane - 3 + 100));
    CHECK(across[lane] == (lane ^ 5) + 100);
    CHECK(segments[lane] == (lane % 8 < 6 ? lane + 2 + 100 : lane));
    CHECK(chosen[lane] == 104);
  }
}

TEST_CASE("votes") {
  std::vector<U32> lanes(32);
  for (U32 i = 0; i < 32; ++i) lanes[i] = i;
  const std::string below = "setp.lt.u32 %p1, %r1, 3; ";
  CHECK(evaluate<U32>(below + "vote.sync.ballot.b32 %r9, %p1, -1;", lanes) == std::vector<U32>(32, 7));
  CHECK(evaluate<U32>(below + "vote.sync.any.pred %p2, %p1, -1; selp.b32 %r9, 1, 0, %p2;", lanes)[31] == 1);
  CHECK(evaluate<U32>(below + "vote.sync.all.pred %p2, %p1, -1; selp.b32 %r9, 1, 0, %p2;", lanes)[0] == 0);
}

TEST_CASE("products of matrices") {
  // A of 16 x 8, B of 8 x 8; lane 4 g + t holds rows g and g + 8, columns t and t + 4.
  const auto a = [](U32 row, U32 column) { return static_cast<float>(row) - 2.0F * static_cast<float>(column) + 0.5F; };
  const auto b = [](U32 row, U32 column) { return static_cast<float>(row * column) - 3.0F; };
  std::vector<float> a0(32), a1(32), a2(32), a3(32), b0(32), b1(32);
  for (U32 lane = 0; lane < 32; ++lane) {
    const U32 g = lane / 4;
    const U32 t = lane % 4;
    a0[lane] = a(g, t);
    a1[lane] = a(g + 8, t);
    a2[lane] = a(g, t + 4);
    a3[lane] = a(g + 8, t + 4);
    b0[lane] = b(t, g);
    b1[lane] = b(t + 4, g);
  }
  const std::string multiply =
      "mov.b32 %r10, 0f3F800000; mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%r11, %r12, %r13, %r14}, "
      "{%r1, %r2, %r3, %r4}, {%r5, %r6}, {%r10, %r10, %r10, %r10}; mov.b32 %r9, ";
  for (U32 part = 0; part < 4; ++part) {
    const std::vector<float> d =
        evaluate<float>(multiply + "%r1" + std::to_string(part + 1) + ";", a0, a1, a2, a3, b0, b1);
    for (U32 lane = 0; lane < 32; ++lane) {
      float expected = 1;
      for (U32 k = 0; k < 8; ++k) expected += a(lane / 4 + 8 * (part / 2), k) * b(k, 2 * (lane % 4) + part % 2);
      CHECK(d[lane] == expected);
    }
  }
}

U32 pair_of_bfloats(float low, float high) {
  return (std::bit_cast<U32>(high) & 0xffff0000) | std::bit_cast<U32>(low) >> 16;
}

TEST_CASE("products of matrices of bf16") {
  // A of 16 x 16, B of 16 x 8; lane 4 g + t holds rows g and g + 8, columns 2 t, 2 t + 1, 2 t + 8 and 2 t + 9.
  const auto a = [](U32 row, U32 column) { return static_cast<float>(row) - 2.0F * static_cast<float>(column) + 0.5F; };
  const auto b = [](U32 row, U32 column) { return static_cast<float>(row * column) - 3.0F; };
  std::vector<U32> a0(32), a1(32), a2(32), a3(32), b0(32), b1(32);
  for (U32 lane = 0; lane < 32; ++lane) {
    const U32 g = lane / 4;
    const U32 k = 2 * (lane % 4);
    a0[lane] = pair_of_bfloats(a(g, k), a(g, k + 1));
    a1[lane] = pair_of_bfloats(a(g + 8, k), a(g + 8, k + 1));
    a2[lane] = pair_of_bfloats(a(g, k + 8), a(g, k + 9));
    a3[lane] = pair_of_bfloats(a(g + 8, k + 8), a(g + 8, k + 9));
    b0[lane] = pair_of_bfloats(b(k, g), b(k + 1, g));
    b1[lane] = pair_of_bfloats(b(k + 8, g), b(k + 9, g));
  }
  const std::string multiply =
      "mov.b32 %r10, 0f3F800000; mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r11, %r12, %r13, %r14}, "
      "{%r1, %r2, %r3, %r4}, {%r5, %r6}, {%r10, %r10, %r10, %r10}; mov.b32 %r9, ";
  for (U32 part = 0; part < 4; ++part) {
    const std::vector<float> d =
        evaluate<float>(multiply + "%r1" + std::to_string(part + 1) + ";", a0, a1, a2, a3, b0, b1);
    for (U32 lane = 0; lane < 32; ++lane) {
      float expected = 1;
      for (U32 k = 0; k < 16; ++k) expected += a(lane / 4 + 8 * (part / 2), k) * b(k, 2 * (lane % 4) + part % 2);
      CHECK(d[lane] == expected);
    }
  }
}

TEST_CASE("copies to shared memory are there when they were waited for") {
  const Driver driver;
  std::vector<U32> numbers(64);
  for (U32 i = 0; i < numbers.size(); ++i) numbers[i] = 1000 + i;
  const Driver::Address from = driver.upload(numbers);
  const Driver::Address to = driver.allocate(4 * 32);
  const std::string body = R"(
    ld.param.b64 %rd1, [from];
    ld.param.b64 %rd2, [to];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd3, %r1, 16;
    add.s64 %rd1, %rd1, %rd3;
    shl.b32 %r2, %r1, 6;
    add.s32 %r3, %r2, 16;
    add.s32 %r4, %r2, 32;
    cp.async.cg.shared.global [%r2], [%rd1], 16;
    cp.async.commit_group;
    cp.async.ca.shared.global [%r3], [%rd1], 4;
    mov.b32 %r5, 0;
    cp.async.ca.shared.global [%r4], [%rd1+99999], 8, %r5;
    cp.async.commit_group;
    cp.async.wait_group 1;
    ld.shared.v2.b32 {%r6, %r7}, [%r2+8];
    ld.shared.b32 %r8, [%r3];
    cp.async.wait_all;
    ld.shared.b32 %r9, [%r3];
    ld.shared.v2.b32 {%r10, %r11}, [%r4];
    shl.b32 %r12, %r1, 5;
    cvt.u64.u32 %rd4, %r12;
    add.s64 %rd2, %rd2, %rd4;
    st.global.v4.b32 [%rd2], {%r6, %r7, %r8, %r9};
    st.global.v2.b32 [%rd2+16], {%r10, %r11};)";
  const Driver::Shape shape{{1, 1, 1}, {4, 1, 1}, 256};
  REQUIRE(driver.launch(test::kernel(".param .u64 from, .param .u64 to", body), shape, from, to) == 0);
  const std::vector<U32> values = driver.download<U32>(to, 32);
  for (U32 i = 0; i < 4; ++i) {
    const std::vector<U32> expected{1002 + 4 * i, 1003 + 4 * i, 0xffffffff, 1000 + 4 * i, 0, 0};
    CHECK(std::vector<U32>(&values[8 * i], &values[8 * i + 6]) == expected);
  }
}

TEST_CASE("loads and stores of every width") {
  const Driver driver;
  std::vector<std::uint8_t> bytes(64);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(0x80 + 3 * i);
  const Driver::Address from = driver.upload(bytes);
  const Driver::Address to = driver.upload(std::vector<std::uint8_t>(64));
  const std::string body = R"(
    ld.param.b64 %rd1, [from];
    ld.param.b64 %rd2, [to];
    cvta.to.global.u64 %rd1, %rd1;
    ld.global.nc.v4.b32 {%r1, %r2, %r3, %r4}, [%rd1+16];
    st.global.v4.b32 [%rd2], {%r4, %r3, %r2, %r1};
    ld.global.s8 %r5, [%rd1+1];
    st.global.b32 [%rd2+16], %r5;
    ld.global.u16 %r6, [%rd1+2];
    st.global.b32 [%rd2+20], %r6;
    ld.global.v2.b64 {%rd3, _}, [%rd1+32];
    st.b64 [%rd2+24], %rd3;
    st.global.b8 [%rd2+32], %r1;)";
  Driver::Shape shape;
  shape.block[0] = 1;
  REQUIRE(driver.launch(test::kernel(".param .u64 from, .param .u64 to", body), shape, from, to) == 0);
  std::vector<std::uint8_t> expected(64);
  for (std::size_t word = 0; word < 4; ++word) std::copy_n(&bytes[28 - 4 * word], 4, &expected[4 * word]);
  std::copy_n(std::array<std::uint8_t, 8>{0x83, 0xff, 0xff, 0xff, 0x86, 0x89, 0, 0}.begin(), 8, &expected[16]);
  std::copy_n(&bytes[32], 8, &expected[24]);
  expected[32] = bytes[16];
  CHECK(driver.download<std::uint8_t>(to, 64) == expected);
}

TEST_CASE("local memory belongs to a thread, constants to all") {
  const Driver driver;
  const Driver::Address result = driver.allocate(4 * 32);
  const std::string body = R"(
    .local .align 4 .b8 depot[16];
    mov.u32 %r1, %tid.x;
    mov.b64 %rd1, depot;
    cvta.local.u64 %rd2, %rd1;
    st.local.b32 [%rd1+4], %r1;
    ld.b32 %r2, [%rd2+4];
    mov.b64 %rd3, table;
    ld.const.b32 %r3, [%rd3+4];
    add.s32 %r2, %r2, %r3;
    ld.param.b64 %rd4, [result];
    mad.wide.u32 %rd4, %r1, 4, %rd4;
    st.global.b32 [%rd4], %r2;)";
  std::string ptx = test::kernel(".param .u64 result", body);
  ptx.insert(ptx.find(".visible"), ".const .align 4 .b8 table[8] = {1, 0, 0, 0, 232, 3, 0, 0};\n");
  REQUIRE(driver.launch(ptx, {}, result) == 0);
  const std::vector<U32> values = driver.download<U32>(result, 32);
  for (U32 i = 0; i < 32; ++i) CHECK(values[i] == 1000 + i);
}

TEST_CASE("atomic operations") {
  const Driver driver;
  const Driver::Address sums = driver.upload(std::vector<U32>{5, 0, 0xff, 100, 1});
  const std::string body = R"(
    ld.param.b64 %rd1, [sums];
    mov.u32 %r1, %tid.x;
    atom.global.add.u32 %r2, [%rd1], 2;
    red.global.add.f32 [%rd1+4], 0f3F000000;
    mov.b32 %r3, 1;
    shl.b32 %r3, %r3, %r1;
    red.global.and.b32 [%rd1+8], %r3;
    red.global.min.u32 [%rd1+12], %r1;
    add.s32 %r4, %r1, 2;
    add.s32 %r5, %r1, 1;
    atom.global.cas.b32 %r6, [%rd1+16], %r5, %r4;)";
  REQUIRE(driver.launch(test::kernel(".param .u64 sums", body), {}, sums) == 0);
  CHECK(driver.download<U32>(sums, 5) == std::vector<U32>{69, std::bit_cast<U32>(16.0F), 0, 0, 33});
}

TEST_CASE("threads of three dimensions know where they are") {
  const Driver driver;
  const Driver::Shape shape{{2, 3, 2}, {4, 3, 5}, 0};
  const Driver::Address result = driver.allocate(4 * 720);
  const std::string body = R"(
    mov.u32 %r1, %ctaid.z; mov.u32 %r2, %nctaid.y; mov.u32 %r3, %ctaid.y; mad.lo.s32 %r4, %r1, %r2, %r3;
    mov.u32 %r1, %nctaid.x; mov.u32 %r3, %ctaid.x; mad.lo.s32 %r4, %r4, %r1, %r3;
    mov.u32 %r1, %ntid.z; mov.u32 %r3, %tid.z; mad.lo.s32 %r4, %r4, %r1, %r3;
    mov.u32 %r1, %ntid.y; mov.u32 %r3, %tid.y; mad.lo.s32 %r4, %r4, %r1, %r3;
    mov.u32 %r1, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.s32 %r4, %r4, %r1, %r3;
    ld.param.b64 %rd1, [result]; mad.wide.u32 %rd1, %r4, 4, %rd1; st.global.b32 [%rd1], %r4;)";
  REQUIRE(driver.launch(test::kernel(".param .u64 result", body), shape, result) == 0);
  const std::vector<U32> values = driver.download<U32>(result, 720);
  for (U32 i = 0; i < values.size(); ++i) CHECK(values[i] == i);
}

}  // namespace
}  // namespace netc
