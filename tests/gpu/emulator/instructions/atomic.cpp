// atom, red: the lanes take turns.
#include <cstring>

#include "access.h"
#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

struct Add {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return static_cast<T>(old + a);
  }
};

struct Minimum {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return a < old ? a : old;
  }
};

struct Maximum {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return a > old ? a : old;
  }
};

struct And {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return old & a;
  }
};

struct Or {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return old | a;
  }
};

struct ExclusiveOr {
  template <class T>
  static T apply(T old, T a, T /*b*/) {
    return old ^ a;
  }
};

struct Exchange {
  template <class T>
  static T apply(T /*old*/, T a, T /*b*/) {
    return a;
  }
};

struct CompareAndSwap {
  template <class T>
  static T apply(T old, T a, T b) {
    return old == a ? b : old;
  }
};

std::uint8_t* place_of(Warp& warp, const Instruction& instruction, int lane, Address address) {
  const Space space = resolve(instruction.space, &address);
  if (space != Space::shared) return locate(warp, instruction, space, lane, address);
  return warp.launch().shared.update(locate_shared(warp, instruction, lane, address), instruction.width);
}

template <class Operation, class T>
void update(Warp& warp, const Instruction& instruction, Mask mask) {
  const Addresses lanes = addresses(warp, instruction);
  const T* a = warp.row<T>(instruction.rows[2]);
  const T* b = warp.row<T>(instruction.rows[3]);
  T* result = instruction.rows[0] == kNoRow ? nullptr : warp.row<T>(instruction.rows[0]);
  for (Mask rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    std::uint8_t* place = place_of(warp, instruction, lane, lanes[static_cast<std::size_t>(lane)]);
    T old;
    std::memcpy(&old, place, sizeof(T));
    const T value = Operation::apply(old, a[lane], b[lane]);
    std::memcpy(place, &value, sizeof(T));
    if (result != nullptr) result[lane] = old;
  }
}

template <class Operation>
struct Update {
  template <class T>
  static Handler handler() {
    return update<Operation, T>;
  }
};

Handler update_handler(const Statement& statement) {
  const Type type = statement.type();
  if (statement.has("add")) return number_handler<Update<Add>>(type);
  if (statement.has("min")) return integer_handler<Update<Minimum>>(type);
  if (statement.has("max")) return integer_handler<Update<Maximum>>(type);
  if (statement.has("and")) return integer_handler<Update<And>>(type);
  if (statement.has("or")) return integer_handler<Update<Or>>(type);
  if (statement.has("xor")) return integer_handler<Update<ExclusiveOr>>(type);
  if (statement.has("exch")) return integer_handler<Update<Exchange>>(type);
  if (statement.has("cas")) return integer_handler<Update<CompareAndSwap>>(type);
  return nullptr;
}

// atom d, [address], a, b;  red [address], a;
void translate_atomic(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const Type type = statement.type();
  const std::size_t address = statement.opcode == "atom" ? 1 : 0;
  Instruction& instruction = decoder.emit(update_handler(statement));
  if (address == 1 && decoder.operand(0).kind != Operand::Kind::sink) {
    instruction.rows[0] = decoder.destination(decoder.operand(0), type);
  }
  instruction.rows[2] = decoder.source(decoder.operand(address + 1), type);
  const bool two = statement.has("cas");
  instruction.rows[3] = two ? decoder.source(decoder.operand(address + 2), type) : instruction.rows[2];
  translate_access(decoder, instruction, decoder.operand(address), size_of(type));
}

constexpr std::string_view kModifiers =
    "global shared add min max and or xor exch cas relaxed acquire release acq_rel cta gpu sys noftz";

}  // namespace

std::vector<InstructionEntry> atomic_instructions() {
  return {{"atom", translate_atomic, kModifiers}, {"red", translate_atomic, kModifiers}};
}

}  // namespace netc::emulator
