// add, sub, mul, mad, fma, div, rem, min, max, abs, neg, and sums with carries.
#include <cmath>
#include <limits>
#include <type_traits>

#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a + b);
  }
};

struct Subtract {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a - b);
  }
};

struct Multiply {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a * b);
  }
};

// Dividing integers by zero, or the least one by -1, traps on the host; the device gives some value.
struct Divide {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return std::numeric_limits<T>::max();
      if (std::is_signed_v<T> && b == static_cast<T>(-1)) return static_cast<T>(T{0} - a);
    }
    return static_cast<T>(a / b);
  }
};

struct Remainder {
  template <class T>
  static T apply(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};

// Of a number and NaN, the number.
struct Minimum {
  template <class T>
  static T apply(T a, T b) {
    return b != b || a < b ? a : b;
  }
};

struct Maximum {
  template <class T>
  static T apply(T a, T b) {
    return b != b || a > b ? a : b;
  }
};

struct CopySign {
  template <class T>
  static T apply(T sign, T magnitude) {
    using Host = std::conditional_t<std::is_same_v<T, Half>, float, T>;
    return static_cast<T>(std::copysign(static_cast<Host>(magnitude), static_cast<Host>(sign)));
  }
};

struct Absolute {
  template <class T>
  static T apply(T a) {
    if constexpr (std::is_integral_v<T>) {
      return a < T{0} ? static_cast<T>(T{0} - a) : a;
    } else {
      return CopySign::apply(T{1}, a);
    }
  }
};

struct Negate {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(-a);
  }
};

struct FusedMultiplyAdd {
  template <class T>
  static T apply(T a, T b, T c) {
    if constexpr (std::is_same_v<T, Half>) {
      return static_cast<Half>(std::fma(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)));
    } else {
      return std::fma(a, b, c);
    }
  }
};

struct MultiplyAdd {
  template <class T>
  static T apply(T a, T b, T c) {
    return static_cast<T>(a * b + c);
  }
};

__extension__ using SignedOf128 = __int128;
__extension__ using UnsignedOf128 = unsigned __int128;

template <class T>
struct DoubleWidth;
template <>
struct DoubleWidth<std::int16_t> {
  using type = std::int32_t;
};
template <>
struct DoubleWidth<std::uint16_t> {
  using type = std::uint32_t;
};
template <>
struct DoubleWidth<std::int32_t> {
  using type = std::int64_t;
};
template <>
struct DoubleWidth<std::uint32_t> {
  using type = std::uint64_t;
};
template <>
struct DoubleWidth<std::int64_t> {
  using type = SignedOf128;
};
template <>
struct DoubleWidth<std::uint64_t> {
  using type = UnsignedOf128;
};
template <class T>
using Wide = typename DoubleWidth<T>::type;

struct MultiplyHigh {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(Wide<T>{a} * Wide<T>{b} >> 8 * sizeof(T));
  }
};

struct MultiplyHighAdd {
  template <class T>
  static T apply(T a, T b, T c) {
    return static_cast<T>(MultiplyHigh::apply(a, b) + c);
  }
};

struct MultiplyWide {
  template <class T>
  static Wide<T> apply(T a, T b) {
    return Wide<T>{a} * Wide<T>{b};
  }
  template <class T>
  static Handler handler() {
    return elementwise<MultiplyWide, Wide<T>, T, T>;
  }
};

struct MultiplyWideAdd {
  template <class T>
  static Wide<T> apply(T a, T b, Wide<T> c) {
    return Wide<T>{a} * Wide<T>{b} + c;
  }
  template <class T>
  static Handler handler() {
    return elementwise<MultiplyWideAdd, Wide<T>, T, T, Wide<T>>;
  }
};

void count_and_fuse_float(Warp& warp, const Instruction& instruction, Mask mask) {
  warp.count_multiply_adds(std::popcount(mask));
  elementwise<FusedMultiplyAdd, float, float, float, float>(warp, instruction, mask);
}

void count_and_fuse_double(Warp& warp, const Instruction& instruction, Mask mask) {
  warp.count_multiply_adds(std::popcount(mask));
  elementwise<FusedMultiplyAdd, double, double, double, double>(warp, instruction, mask);
}

void translate_fma(Decoder& decoder) {
  const Type type = decoder.statement().type();
  const Handler handler = type == Type::f32   ? count_and_fuse_float
                          : type == Type::f64 ? count_and_fuse_double
                                              : float_handler<Ternary<FusedMultiplyAdd>>(type);
  emit_uniform(decoder, handler, 3);
}

Type double_width(Type type) {
  switch (type) {
    case Type::s16:
      return Type::s32;
    case Type::u16:
      return Type::u32;
    case Type::s32:
      return Type::s64;
    default:
      return Type::u64;
  }
}

void translate_wide(Decoder& decoder, std::size_t operands) {
  const Type type = decoder.statement().type();
  const Type wide = double_width(type);
  if (size_of(type) == 8) decoder.fail("no product of 128 bits");
  const Handler handler = operands == 2 ? integer_handler<MultiplyWide>(type) : integer_handler<MultiplyWideAdd>(type);
  Instruction& instruction = decoder.emit(handler);
  instruction.rows[0] = decoder.destination(decoder.operand(0), wide);
  instruction.rows[1] = decoder.source(decoder.operand(1), type);
  instruction.rows[2] = decoder.source(decoder.operand(2), type);
  if (operands == 3) instruction.rows[3] = decoder.source(decoder.operand(3), wide);
}

void translate_mul(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (statement.has("wide")) {
    translate_wide(decoder, 2);
  } else if (statement.has("hi")) {
    emit_uniform(decoder, integer_handler<Binary<MultiplyHigh>>(statement.type()), 2);
  } else {
    translate_binary<Multiply>(decoder);
  }
}

enum class CarryTerm { first, product_low, product_high };

// d = term + addend + carry, with the carry out kept for the next instruction; `immediate` says which carries count.
constexpr std::int64_t kCarryIn = 1;
constexpr std::int64_t kCarryOut = 2;

template <CarryTerm term>
void add_with_carry(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto* a = warp.row<std::uint32_t>(instruction.rows[1]);
  const auto* b = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* addend = term == CarryTerm::first ? b : warp.row<std::uint32_t>(instruction.rows[3]);
  auto* result = warp.row<std::uint32_t>(instruction.rows[0]);
  Mask& carry = warp.predicate(instruction.list[0]);
  for_lanes(mask, [&](int lane) {
    const std::uint64_t product = std::uint64_t{a[lane]} * b[lane];
    const std::uint64_t first = term == CarryTerm::first         ? a[lane]
                                : term == CarryTerm::product_low ? product & 0xffffffffU
                                                                 : product >> 32;
    const std::uint64_t in = (instruction.immediate & kCarryIn) != 0 ? carry >> lane & 1 : 0;
    const std::uint64_t sum = first + addend[lane] + in;
    result[lane] = static_cast<std::uint32_t>(sum);
    if ((instruction.immediate & kCarryOut) != 0) {
      carry = (carry & ~(Mask{1} << lane)) | static_cast<Mask>(sum >> 32) << lane;
    }
  });
}

void translate_with_carry(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (size_of(statement.type()) != 4 || is_float(statement.type())) decoder.fail("carries of 32 bits only");
  const bool adds = statement.opcode.starts_with("add");
  const Handler handler = adds                  ? add_with_carry<CarryTerm::first>
                          : statement.has("hi") ? add_with_carry<CarryTerm::product_high>
                                                : add_with_carry<CarryTerm::product_low>;
  Instruction& instruction = emit_uniform(decoder, handler, adds ? 2 : 3);
  instruction.list = {decoder.carry()};
  instruction.immediate = (statement.opcode.ends_with('c') ? kCarryIn : 0) | (statement.has("cc") ? kCarryOut : 0);
}

void translate_add(Decoder& decoder) {
  decoder.statement().has("cc") ? translate_with_carry(decoder) : translate_binary<Add>(decoder);
}

void translate_mad(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const Type type = statement.type();
  if (statement.has("wide")) {
    translate_wide(decoder, 3);
  } else if (statement.has("cc")) {
    translate_with_carry(decoder);
  } else if (is_float(type)) {
    translate_fma(decoder);
  } else {
    emit_uniform(decoder,
                 statement.has("hi") ? integer_handler<Ternary<MultiplyHighAdd>>(type)
                                     : integer_handler<Ternary<MultiplyAdd>>(type),
                 3);
  }
}

void translate_rem(Decoder& decoder) {
  emit_uniform(decoder, integer_handler<Binary<Remainder>>(decoder.statement().type()), 2);
}

void translate_copysign(Decoder& decoder) {
  emit_uniform(decoder, float_handler<Binary<CopySign>>(decoder.statement().type()), 2);
}

}  // namespace

std::vector<InstructionEntry> arithmetic_instructions() {
  return {{"add", translate_add, "rn ftz cc"},
          {"addc", translate_with_carry, "cc"},
          {"sub", translate_binary<Subtract>, "rn ftz"},
          {"mul", translate_mul, "rn ftz lo hi wide"},
          {"mad", translate_mad, "rn ftz lo hi wide cc"},
          {"madc", translate_with_carry, "lo hi cc"},
          {"fma", translate_fma, "rn ftz"},
          {"div", translate_binary<Divide>, "rn ftz approx full"},
          {"rem", translate_rem},
          {"min", translate_binary<Minimum>, "ftz"},
          {"max", translate_binary<Maximum>, "ftz"},
          {"abs", translate_unary<Absolute>, "ftz"},
          {"neg", translate_unary<Negate>, "ftz"},
          {"copysign", translate_copysign}};
}

}  // namespace netc::emulator
