// Instructions that compute each lane from the same lane of their operands.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "../decoder.h"
#include "../warp.h"

namespace netc::emulator {

/// d = Operation::apply(a, ...) for values of these types.
template <class Operation, class Result, class... Operands>
void elementwise(Warp& warp, const Instruction& instruction, Mask mask) {
  [&]<std::size_t... index>(std::index_sequence<index...>) {
    Result* result = warp.row<Result>(instruction.rows[0]);
    const std::tuple<const Operands*...> operands{warp.row<Operands>(instruction.rows[index + 1])...};
    for_lanes(mask, [&](int lane) {
      result[lane] = static_cast<Result>(Operation::apply(std::get<index>(operands)[lane]...));
    });
  }
  (std::index_sequence_for<Operands...>{});
}

template <class Operation>
struct Unary {
  template <class T>
  static Handler handler() {
    return elementwise<Operation, T, T>;
  }
};

template <class Operation>
struct Binary {
  template <class T>
  static Handler handler() {
    return elementwise<Operation, T, T, T>;
  }
};

template <class Operation>
struct Ternary {
  template <class T>
  static Handler handler() {
    return elementwise<Operation, T, T, T, T>;
  }
};

/// The handler for integers of a type; nullptr for others.
template <class Maker>
Handler integer_handler(Type type) {
  switch (type) {
    case Type::s16:
      return Maker::template handler<std::int16_t>();
    case Type::b16:
    case Type::u16:
      return Maker::template handler<std::uint16_t>();
    case Type::s32:
      return Maker::template handler<std::int32_t>();
    case Type::b32:
    case Type::u32:
      return Maker::template handler<std::uint32_t>();
    case Type::s64:
      return Maker::template handler<std::int64_t>();
    case Type::b64:
    case Type::u64:
      return Maker::template handler<std::uint64_t>();
    default:
      return nullptr;
  }
}

/// A float of 16 bits; the host computes with its value in 32 bits, which rounds as if it were exact.
struct Half {
  std::uint16_t bits;
  Half() = default;
  explicit Half(float value) : bits(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)) {}
  operator float() const { return _cvtsh_ss(bits); }  // NOLINT(google-explicit-constructor)
};

template <class Maker>
Handler float_handler(Type type) {
  switch (type) {
    case Type::f16:
      return Maker::template handler<Half>();
    case Type::f32:
      return Maker::template handler<float>();
    case Type::f64:
      return Maker::template handler<double>();
    default:
      return nullptr;
  }
}

template <class Maker>
Handler number_handler(Type type) {
  return is_float(type) ? float_handler<Maker>(type) : integer_handler<Maker>(type);
}

/// Emits an instruction whose operands all have the type that the statement's last modifier names.
inline Instruction& emit_uniform(Decoder& decoder, Handler handler, std::size_t operands) {
  const Type type = decoder.statement().type();
  Instruction& instruction = decoder.emit(handler);
  instruction.rows[0] = decoder.destination(decoder.operand(0), type);
  for (std::size_t i = 1; i <= operands; ++i) instruction.rows[i] = decoder.source(decoder.operand(i), type);
  return instruction;
}

template <class Operation>
void translate_unary(Decoder& decoder) {
  emit_uniform(decoder, number_handler<Unary<Operation>>(decoder.statement().type()), 1);
}

template <class Operation>
void translate_binary(Decoder& decoder) {
  emit_uniform(decoder, number_handler<Binary<Operation>>(decoder.statement().type()), 2);
}

}  // namespace netc::emulator
