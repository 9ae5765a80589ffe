// cvt, cvta, mov.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

enum class Rounding : std::uint8_t { none, nearest, down, up, to_zero };

/// What `immediate` holds of a conversion.
struct Mode {
  Rounding rounding = Rounding::none;  ///< to integers
  bool saturate = false;
  std::uint8_t source_width = 0;  ///< bytes of a lane's register
  std::uint8_t result_width = 0;
};

struct Bfloat {
  std::uint16_t bits;
  Bfloat() = default;
  explicit Bfloat(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = word + 0x7fff + (word >> 16 & 1);  // to nearest, ties to even
    bits = static_cast<std::uint16_t>((std::isnan(value) ? word | 0x400000 : rounded) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

template <class T>
constexpr bool is_number_of_host = std::is_arithmetic_v<T>;

/// The type in which the host computes with a value.
template <class T>
using Computed = std::conditional_t<is_number_of_host<T>, T, float>;

template <class T>
T rounded(T value, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest:
      return std::nearbyint(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      return std::ceil(value);
    case Rounding::to_zero:
      return std::trunc(value);
    case Rounding::none:
      break;
  }
  return value;
}

// Numbers beyond the range become its ends, NaN becomes 0.
template <class To, class From>
To clamped(From value) {
  if (value != value) return 0;
  const From low = static_cast<From>(std::numeric_limits<To>::min());
  const From high = static_cast<From>(std::numeric_limits<To>::max());  // may round up to a power of two
  if (value <= low) return std::numeric_limits<To>::min();
  if (value >= high) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

template <class To, class From>
To saturated(From value) {
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(value, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

template <class To, class From>
To converted(From value, const Mode& mode) {
  if constexpr (std::is_integral_v<To> && std::is_integral_v<From>) {
    return mode.saturate ? saturated<To>(value) : static_cast<To>(value);
  } else if constexpr (std::is_integral_v<To>) {
    return clamped<To>(rounded(value, mode.rounding));
  } else if constexpr (std::is_integral_v<From>) {
    return static_cast<To>(value);
  } else {
    const To result = static_cast<To>(rounded(value, mode.rounding));
    return mode.saturate ? std::fmin(std::fmax(result, To{0}), To{1}) : result;
  }
}

/// Writes a value to a register that may be wider: integers keep their sign there.
template <class T>
void write_register(std::uint8_t* at, T value, int width) {
  if constexpr (std::is_integral_v<T>) {
    const auto extended = static_cast<std::int64_t>(value);
    std::memcpy(at, &extended, static_cast<std::size_t>(width));
  } else {
    std::memcpy(at, &value, sizeof(T));
  }
}

template <class To, class From>
void convert(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto mode = std::bit_cast<Mode>(static_cast<std::uint32_t>(instruction.immediate));
  const auto* source = warp.row<std::uint8_t>(instruction.rows[1]);
  auto* result = warp.row<std::uint8_t>(instruction.rows[0]);
  for_lanes(mask, [&](int lane) {
    From value;
    std::memcpy(&value, source + lane * mode.source_width, sizeof(From));
    const auto computed = converted<Computed<To>>(static_cast<Computed<From>>(value), mode);
    write_register(result + lane * mode.result_width, static_cast<To>(computed), mode.result_width);
  });
}

template <class To>
Handler conversion_to(Type from) {
  switch (from) {
    case Type::u8:
      return convert<To, std::uint8_t>;
    case Type::s8:
      return convert<To, std::int8_t>;
    case Type::u16:
      return convert<To, std::uint16_t>;
    case Type::s16:
      return convert<To, std::int16_t>;
    case Type::u32:
      return convert<To, std::uint32_t>;
    case Type::s32:
      return convert<To, std::int32_t>;
    case Type::u64:
      return convert<To, std::uint64_t>;
    case Type::s64:
      return convert<To, std::int64_t>;
    case Type::f16:
      return convert<To, Half>;
    case Type::bf16:
      return convert<To, Bfloat>;
    case Type::f32:
      return convert<To, float>;
    case Type::f64:
      return convert<To, double>;
    default:
      return nullptr;
  }
}

Handler conversion(Type to, Type from) {
  switch (to) {
    case Type::u8:
      return conversion_to<std::uint8_t>(from);
    case Type::s8:
      return conversion_to<std::int8_t>(from);
    case Type::u16:
      return conversion_to<std::uint16_t>(from);
    case Type::s16:
      return conversion_to<std::int16_t>(from);
    case Type::u32:
      return conversion_to<std::uint32_t>(from);
    case Type::s32:
      return conversion_to<std::int32_t>(from);
    case Type::u64:
      return conversion_to<std::uint64_t>(from);
    case Type::s64:
      return conversion_to<std::int64_t>(from);
    case Type::f16:
      return conversion_to<Half>(from);
    case Type::bf16:
      return conversion_to<Bfloat>(from);
    case Type::f32:
      return conversion_to<float>(from);
    case Type::f64:
      return conversion_to<double>(from);
    default:
      return nullptr;
  }
}

/// The 19 bits that tensor cores read: to nearest, ties away from zero.
struct RoundToTf32 {
  static std::uint32_t apply(std::uint32_t bits) { return (bits + 0x1000) & 0xffffe000; }
};

Rounding rounding(const Statement& statement) {
  return statement.has("rni")   ? Rounding::nearest
         : statement.has("rmi") ? Rounding::down
         : statement.has("rpi") ? Rounding::up
         : statement.has("rzi") ? Rounding::to_zero
                                : Rounding::none;
}

void translate_tf32(Decoder& decoder) {
  Instruction& instruction = decoder.emit(elementwise<RoundToTf32, std::uint32_t, std::uint32_t>);
  instruction.rows[0] = decoder.destination(decoder.operand(0), Type::b32);
  instruction.rows[1] = decoder.source(decoder.operand(1), Type::f32);
}

struct PackBfloats {
  static std::uint32_t apply(float high, float low) {
    return std::uint32_t{Bfloat(high).bits} << 16 | Bfloat(low).bits;
  }
};

// cvt.rn.bf16x2.f32 d, high, low;
void translate_bfloats(Decoder& decoder) {
  Instruction& instruction = decoder.emit(elementwise<PackBfloats, std::uint32_t, float, float>);
  instruction.rows[0] = decoder.destination(decoder.operand(0), Type::b32);
  for (std::size_t i = 1; i <= 2; ++i) instruction.rows[i] = decoder.source(decoder.operand(i), Type::f32);
}

void translate_cvt(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (statement.has("bf16x2")) return translate_bfloats(decoder);
  const Type to = statement.type(1);
  const Type from = statement.type();
  if (to == Type::tf32) return translate_tf32(decoder);
  const Operand& result = decoder.operand(0);
  const Operand& source = decoder.operand(1);
  Mode mode;
  mode.rounding = rounding(statement);
  mode.saturate = statement.has("sat");
  mode.source_width = static_cast<std::uint8_t>(decoder.width(source, size_of(from)));
  mode.result_width = static_cast<std::uint8_t>(decoder.width(result, 0));
  if (mode.source_width < size_of(from) || mode.result_width < size_of(to)) decoder.fail("a register is too narrow");
  Instruction& instruction = decoder.emit(conversion(to, from));
  instruction.rows[0] = decoder.wide_register(result);
  instruction.rows[1] = decoder.is_register(source) ? decoder.wide_register(source) : decoder.source(source, from);
  instruction.immediate = std::bit_cast<std::uint32_t>(mode);
}

struct AddWindow {
  static void run(Warp& warp, const Instruction& instruction, Mask mask) {
    const auto* source = warp.row<std::uint64_t>(instruction.rows[1]);
    auto* result = warp.row<std::uint64_t>(instruction.rows[0]);
    const auto window = static_cast<std::uint64_t>(instruction.immediate);
    for_lanes(mask, [&](int lane) { result[lane] = source[lane] + window; });
  }
};

void translate_cvta(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const std::uint64_t window = statement.has("shared") ? kSharedWindow : statement.has("local") ? kLocalWindow : 0;
  Instruction& instruction = emit_uniform(decoder, size_of(statement.type()) == 8 ? AddWindow::run : nullptr, 1);
  instruction.immediate = static_cast<std::int64_t>(statement.has("to") ? ~window + 1 : window);
}

template <class T>
void move(Warp& warp, const Instruction& instruction, Mask mask) {
  const T* source = warp.row<T>(instruction.rows[1]);
  T* result = warp.row<T>(instruction.rows[0]);
  for_lanes(mask, [&](int lane) { result[lane] = source[lane]; });
}

void move_predicate(Warp& warp, const Instruction& instruction, Mask mask) {
  Mask& result = warp.predicate(instruction.rows[0]);
  result = (result & ~mask) | (warp.predicate(instruction.rows[1]) & mask);
}

void set_predicate(Warp& warp, const Instruction& instruction, Mask mask) {
  Mask& result = warp.predicate(instruction.rows[0]);
  result = instruction.immediate != 0 ? result | mask : result & ~mask;
}

// One register from several, or several from one; `immediate` is the number of bytes of a part.
void pack(Warp& warp, const Instruction& instruction, Mask mask) {
  const std::int64_t part = instruction.immediate;
  const std::int64_t whole = part * static_cast<std::int64_t>(instruction.list.size());
  auto* result = warp.row<std::uint8_t>(instruction.rows[0]);
  for (std::size_t i = 0; i < instruction.list.size(); ++i) {
    const auto* source = warp.row<std::uint8_t>(instruction.list[i]);
    for_lanes(mask, [&](int lane) {
      std::memcpy(result + lane * whole + static_cast<std::int64_t>(i) * part, source + lane * part,
                  static_cast<std::size_t>(part));
    });
  }
}

void unpack(Warp& warp, const Instruction& instruction, Mask mask) {
  const std::int64_t part = instruction.immediate;
  const std::int64_t whole = part * static_cast<std::int64_t>(instruction.list.size());
  const auto* source = warp.row<std::uint8_t>(instruction.rows[1]);
  for (std::size_t i = 0; i < instruction.list.size(); ++i) {
    if (instruction.list[i] == kNoRow) continue;
    auto* result = warp.row<std::uint8_t>(instruction.list[i]);
    for_lanes(mask, [&](int lane) {
      std::memcpy(result + lane * part, source + lane * whole + static_cast<std::int64_t>(i) * part,
                  static_cast<std::size_t>(part));
    });
  }
}

Type bits_of(int size) {
  return size == 1 ? Type::b8 : size == 2 ? Type::b16 : size == 4 ? Type::b32 : Type::b64;
}

void translate_parts(Decoder& decoder, bool packs) {
  const Type whole = decoder.statement().type();
  const Operand& parts = decoder.operand(packs ? 1 : 0);
  const int part = size_of(whole) / static_cast<int>(parts.items.size());
  Instruction& instruction = decoder.emit(packs ? pack : unpack);
  instruction.immediate = part;
  instruction.rows[packs ? 0 : 1] = decoder.source(decoder.operand(packs ? 0 : 1), whole);
  for (const Operand& item : parts.items) {
    const bool sink = item.kind == Operand::Kind::sink;
    instruction.list.push_back(sink ? kNoRow : decoder.source(item, bits_of(part)));
  }
}

void translate_mov(Decoder& decoder) {
  const Type type = decoder.statement().type();
  const Operand& source = decoder.operand(1);
  if (decoder.operand(0).kind == Operand::Kind::list || source.kind == Operand::Kind::list) {
    translate_parts(decoder, source.kind == Operand::Kind::list);
  } else if (type == Type::predicate && source.kind == Operand::Kind::integer) {
    Instruction& instruction = decoder.emit(set_predicate);
    instruction.rows[0] = decoder.predicate(decoder.operand(0));
    instruction.immediate = static_cast<std::int64_t>(source.bits);
  } else if (type == Type::predicate) {
    emit_uniform(decoder, move_predicate, 1);
  } else {
    const int size = size_of(type);
    emit_uniform(decoder, size == 2 ? move<std::uint16_t> : size == 4 ? move<std::uint32_t> : move<std::uint64_t>, 1);
  }
}

}  // namespace

std::vector<InstructionEntry> conversion_instructions() {
  return {{"cvt", translate_cvt, "rn rna rni rmi rpi rzi ftz sat bf16x2"},
          {"cvta", translate_cvta, "to global shared local const"},
          {"mov", translate_mov}};
}

}  // namespace netc::emulator
