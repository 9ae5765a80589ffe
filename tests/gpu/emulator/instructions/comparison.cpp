// setp, selp.
#include <cmath>

#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

struct Equal {
  template <class T>
  static bool apply(T a, T b) {
    return a == b;
  }
};

struct Less {
  template <class T>
  static bool apply(T a, T b) {
    return a < b;
  }
};

struct LessOrEqual {
  template <class T>
  static bool apply(T a, T b) {
    return a <= b;
  }
};

struct Unordered {
  template <class T>
  static bool apply(T a, T b) {
    return a != a || b != b;
  }
};

/// a > b is b < a.
template <class Comparison>
struct Swapped {
  template <class T>
  static bool apply(T a, T b) {
    return Comparison::apply(b, a);
  }
};

template <class Comparison>
struct Negated {
  template <class T>
  static bool apply(T a, T b) {
    return !Comparison::apply(a, b);
  }
};

/// Equal or different, but of numbers only.
struct OrderedNotEqual {
  template <class T>
  static bool apply(T a, T b) {
    return a < b || a > b;
  }
};

enum class Combination : std::int64_t { none, both, either, one };

// p|q = comparison, its negation; combined with a predicate where the statement says so.
template <class Comparison, class T>
void compare(Warp& warp, const Instruction& instruction, Mask mask) {
  const T* a = warp.row<T>(instruction.rows[1]);
  const T* b = warp.row<T>(instruction.rows[2]);
  Mask holds = 0;
  for (int lane = 0; lane < kWarpSize; ++lane) holds |= Mask{Comparison::apply(a[lane], b[lane])} << lane;
  Mask fails = ~holds;
  if (instruction.rows[3] != kNoRow) {
    const Mask other = warp.predicate(instruction.rows[3]);
    const auto combine = [&](Mask value) {
      switch (static_cast<Combination>(instruction.immediate)) {
        case Combination::both:
          return value & other;
        case Combination::either:
          return value | other;
        default:
          return value ^ other;
      }
    };
    holds = combine(holds);
    fails = combine(fails);
  }
  Mask& result = warp.predicate(instruction.rows[0]);
  result = (result & ~mask) | (holds & mask);
  if (!instruction.list.empty()) {
    Mask& negation = warp.predicate(instruction.list[0]);
    negation = (negation & ~mask) | (fails & mask);
  }
}

template <class Comparison>
struct Compare {
  template <class T>
  static Handler handler() {
    return compare<Comparison, T>;
  }
};

Handler comparison_handler(std::string_view name, Type type) {
  const bool floating = is_float(type);
  if (name == "eq") return number_handler<Compare<Equal>>(type);
  if (name == "ne") {
    return floating ? float_handler<Compare<OrderedNotEqual>>(type) : integer_handler<Compare<Negated<Equal>>>(type);
  }
  if (name == "lt" || name == "lo") return number_handler<Compare<Less>>(type);
  if (name == "le" || name == "ls") return number_handler<Compare<LessOrEqual>>(type);
  if (name == "gt" || name == "hi") return number_handler<Compare<Swapped<Less>>>(type);
  if (name == "ge" || name == "hs") return number_handler<Compare<Swapped<LessOrEqual>>>(type);
  if (name == "equ") return float_handler<Compare<Negated<OrderedNotEqual>>>(type);
  if (name == "neu") return float_handler<Compare<Negated<Equal>>>(type);
  if (name == "ltu") return float_handler<Compare<Negated<Swapped<LessOrEqual>>>>(type);
  if (name == "leu") return float_handler<Compare<Negated<Swapped<Less>>>>(type);
  if (name == "gtu") return float_handler<Compare<Negated<LessOrEqual>>>(type);
  if (name == "geu") return float_handler<Compare<Negated<Less>>>(type);
  if (name == "nan") return float_handler<Compare<Unordered>>(type);
  if (name == "num") return float_handler<Compare<Negated<Unordered>>>(type);
  return nullptr;
}

Combination combination(const Statement& statement) {
  return statement.has("and")   ? Combination::both
         : statement.has("or")  ? Combination::either
         : statement.has("xor") ? Combination::one
                                : Combination::none;
}

void translate_setp(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const Type type = statement.type();
  Instruction& instruction = decoder.emit(comparison_handler(statement.modifiers.at(0), type));
  const Operand& result = decoder.operand(0);
  const bool two = result.kind == Operand::Kind::list;
  instruction.rows[0] = decoder.predicate(two ? result.items[0] : result);
  if (two) instruction.list = {decoder.predicate(result.items[1])};
  instruction.rows[1] = decoder.source(decoder.operand(1), type);
  instruction.rows[2] = decoder.source(decoder.operand(2), type);
  const Combination combined = combination(statement);
  if (combined != Combination::none) instruction.rows[3] = decoder.predicate(decoder.operand(3));
  instruction.immediate = static_cast<std::int64_t>(combined);
}

template <class T>
void select(Warp& warp, const Instruction& instruction, Mask mask) {
  const T* a = warp.row<T>(instruction.rows[1]);
  const T* b = warp.row<T>(instruction.rows[2]);
  const Mask chosen = warp.predicate(instruction.rows[3]);
  T* result = warp.row<T>(instruction.rows[0]);
  for_lanes(mask, [&](int lane) { result[lane] = (chosen >> lane & 1) != 0 ? a[lane] : b[lane]; });
}

void translate_selp(Decoder& decoder) {
  const Type type = decoder.statement().type();
  const int size = size_of(type);
  Instruction& instruction = emit_uniform(decoder,
                                          size == 2   ? select<std::uint16_t>
                                          : size == 4 ? select<std::uint32_t>
                                                      : select<std::uint64_t>,
                                          2);
  instruction.rows[3] = decoder.predicate(decoder.operand(3));
}

}  // namespace

std::vector<InstructionEntry> comparison_instructions() {
  return {{"setp", translate_setp, "eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu nan num and or xor ftz"},
          {"selp", translate_selp}};
}

}  // namespace netc::emulator
