// and, or, xor, not, shifts, and what moves bits about. Predicates are bits of lanes: the same operations work on them.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

struct And {
  template <class T>
  static T apply(T a, T b) {
    return a & b;
  }
};

struct Or {
  template <class T>
  static T apply(T a, T b) {
    return a | b;
  }
};

struct ExclusiveOr {
  template <class T>
  static T apply(T a, T b) {
    return a ^ b;
  }
};

struct Not {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(~a);
  }
};

// Shifts by the width or more leave nothing, or the sign.
struct ShiftLeft {
  template <class T>
  static T apply(T a, std::uint32_t count) {
    return count >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << count);
  }
  template <class T>
  static Handler handler() {
    return elementwise<ShiftLeft, T, T, std::uint32_t>;
  }
};

struct ShiftRight {
  template <class T>
  static T apply(T a, std::uint32_t count) {
    constexpr std::uint32_t kWidth = 8 * sizeof(T);
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(a >> std::min(count, kWidth - 1));
    } else {
      return count >= kWidth ? T{0} : static_cast<T>(a >> count);
    }
  }
  template <class T>
  static Handler handler() {
    return elementwise<ShiftRight, T, T, std::uint32_t>;
  }
};

template <bool left, bool wraps>
struct FunnelShift {
  static std::uint32_t apply(std::uint32_t low, std::uint32_t high, std::uint32_t count) {
    const std::uint64_t both = std::uint64_t{high} << 32 | low;
    const std::uint32_t amount = wraps ? count & 31 : std::min<std::uint32_t>(count, 32);
    return static_cast<std::uint32_t>(left ? both << amount >> 32 : both >> amount);
  }
};

struct CountOnes {
  template <class T>
  static std::uint32_t apply(T a) {
    return static_cast<std::uint32_t>(std::popcount(a));
  }
};

struct CountLeadingZeros {
  template <class T>
  static std::uint32_t apply(T a) {
    return static_cast<std::uint32_t>(std::countl_zero(a));
  }
};

struct Reverse {
  template <class T>
  static T apply(T a) {
    T result = 0;
    for (std::size_t bit = 0; bit < 8 * sizeof(T); ++bit) result = static_cast<T>(result << 1 | (a >> bit & 1));
    return result;
  }
};

struct ExtractField {
  template <class T>
  static T apply(T a, std::uint32_t position, std::uint32_t length) {
    constexpr std::uint32_t kWidth = 8 * sizeof(T);
    position = std::min(position & 255, kWidth);
    length = std::min(length & 255, kWidth);
    if (length == 0) return 0;
    T shifted = ShiftRight::apply(a, position);
    const std::uint32_t unused = kWidth - length;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<T>(static_cast<T>(static_cast<std::make_unsigned_t<T>>(shifted) << unused) >> unused);
    } else {
      return static_cast<T>(static_cast<T>(shifted << unused) >> unused);
    }
  }
  template <class T>
  static Handler handler() {
    return elementwise<ExtractField, T, T, std::uint32_t, std::uint32_t>;
  }
};

// Four bytes chosen from eight by the digits of a selector; the digit's high bit spreads the byte's sign.
struct Permute {
  static std::uint32_t apply(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
    const std::uint64_t bytes = std::uint64_t{b} << 32 | a;
    std::uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t digit = selector >> (4 * i) & 15;
      std::uint32_t byte = static_cast<std::uint32_t>(bytes >> (8 * (digit & 7))) & 255;
      if (digit >= 8) byte = (byte & 128) != 0 ? 255 : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
};

/// All lanes of a predicate at once.
template <class Operation, bool unary>
void on_predicates(Warp& warp, const Instruction& instruction, Mask mask) {
  const Mask a = warp.predicate(instruction.rows[1]);
  Mask value;
  if constexpr (unary) {
    value = Operation::apply(a);
  } else {
    value = Operation::apply(a, warp.predicate(instruction.rows[2]));
  }
  Mask& result = warp.predicate(instruction.rows[0]);
  result = (result & ~mask) | (value & mask);
}

template <class Operation, bool unary = false>
void translate_logical(Decoder& decoder) {
  constexpr std::size_t kOperands = unary ? 1 : 2;
  if (decoder.statement().type() == Type::predicate) {
    emit_uniform(decoder, on_predicates<Operation, unary>, kOperands);
  } else {
    using Maker = std::conditional_t<unary, Unary<Operation>, Binary<Operation>>;
    emit_uniform(decoder, integer_handler<Maker>(decoder.statement().type()), kOperands);
  }
}

/// The first operand has the statement's type, the others count bits.
template <class Operation, std::size_t counts>
void translate_counted(Decoder& decoder) {
  const Type type = decoder.statement().type();
  Instruction& instruction = decoder.emit(integer_handler<Operation>(type));
  instruction.rows[0] = decoder.destination(decoder.operand(0), type);
  instruction.rows[1] = decoder.source(decoder.operand(1), type);
  for (std::size_t i = 2; i < 2 + counts; ++i) instruction.rows[i] = decoder.source(decoder.operand(i), Type::b32);
}

/// The low bits of a, as many as `list[0]` says, in place of those of b from a position on.
template <class T>
void insert_field(Warp& warp, const Instruction& instruction, Mask mask) {
  constexpr std::uint32_t kWidth = 8 * sizeof(T);
  const T* a = warp.row<T>(instruction.rows[1]);
  const T* b = warp.row<T>(instruction.rows[2]);
  const auto* position = warp.row<std::uint32_t>(instruction.rows[3]);
  const auto* length = warp.row<std::uint32_t>(instruction.list[0]);
  T* result = warp.row<T>(instruction.rows[0]);
  for_lanes(mask, [&](int lane) {
    const std::uint32_t from = position[lane] & 255;
    const std::uint32_t bits = length[lane] & 255;
    const T ones = bits >= kWidth ? ~T{0} : static_cast<T>((T{1} << bits) - 1);
    const T field = from >= kWidth ? T{0} : static_cast<T>(ones << from);
    result[lane] = static_cast<T>((b[lane] & ~field) | (from >= kWidth ? T{0} : a[lane] << from & field));
  });
}

// bfi.b32 d, a, b, position, length;
void translate_insert(Decoder& decoder) {
  const Type type = decoder.statement().type();
  Instruction& instruction =
      decoder.emit(size_of(type) == 8 ? insert_field<std::uint64_t> : insert_field<std::uint32_t>);
  instruction.rows[0] = decoder.destination(decoder.operand(0), type);
  for (std::size_t i = 1; i <= 2; ++i) instruction.rows[i] = decoder.source(decoder.operand(i), type);
  instruction.rows[3] = decoder.source(decoder.operand(3), Type::b32);
  instruction.list.push_back(decoder.source(decoder.operand(4), Type::b32));
}

template <class Operation>
void translate_count(Decoder& decoder) {
  const Type type = decoder.statement().type();
  Instruction& instruction = decoder.emit(size_of(type) == 8 ? elementwise<Operation, std::uint32_t, std::uint64_t>
                                                             : elementwise<Operation, std::uint32_t, std::uint32_t>);
  instruction.rows[0] = decoder.destination(decoder.operand(0), Type::b32);
  instruction.rows[1] = decoder.source(decoder.operand(1), type);
}

template <class Operation>
constexpr Handler three_words = elementwise<Operation, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;

void translate_funnel(Decoder& decoder) {
  const bool wraps = decoder.statement().has("wrap");
  const bool left = decoder.statement().has("l");
  emit_uniform(decoder,
               left ? (wraps ? three_words<FunnelShift<true, true>> : three_words<FunnelShift<true, false>>)
                    : (wraps ? three_words<FunnelShift<false, true>> : three_words<FunnelShift<false, false>>),
               3);
}

void translate_permute(Decoder& decoder) {
  emit_uniform(decoder, three_words<Permute>, 3);
}

void translate_reverse(Decoder& decoder) {
  emit_uniform(decoder, integer_handler<Unary<Reverse>>(decoder.statement().type()), 1);
}

}  // namespace

std::vector<InstructionEntry> bit_instructions() {
  return {{"and", translate_logical<And>},
          {"or", translate_logical<Or>},
          {"xor", translate_logical<ExclusiveOr>},
          {"not", translate_logical<Not, true>},
          {"shl", translate_counted<ShiftLeft, 1>},
          {"shr", translate_counted<ShiftRight, 1>},
          {"bfe", translate_counted<ExtractField, 2>},
          {"bfi", translate_insert},
          {"shf", translate_funnel, "l r wrap clamp"},
          {"prmt", translate_permute},
          {"brev", translate_reverse},
          {"popc", translate_count<CountOnes>},
          {"clz", translate_count<CountLeadingZeros>}};
}

}  // namespace netc::emulator
