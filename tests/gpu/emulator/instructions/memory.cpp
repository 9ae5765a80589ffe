// ld, ldu, st.
#include <cstring>
#include <type_traits>

#include "access.h"
#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

constexpr int kWidest = 16;  // bytes of an access

std::array<const std::uint8_t*, kWarpSize> locate_all(Warp& warp, const Instruction& instruction, Mask mask) {
  std::array<const std::uint8_t*, kWarpSize> places{};
  const Addresses lanes = addresses(warp, instruction);
  if (within_range(warp, instruction, mask, lanes)) {
    for (std::size_t lane = 0; lane < kWarpSize; ++lane) places[lane] = DeviceMemory::host(lanes[lane]);
    return places;
  }
  for_lanes(mask, [&](int lane) {
    Address address = lanes[static_cast<std::size_t>(lane)];
    const Space space = resolve(instruction.space, &address);
    const std::uint8_t*& place = places[static_cast<std::size_t>(lane)];
    if (space == Space::shared) {
      const std::uint32_t at = locate_shared(warp, instruction, lane, address);
      place = warp.launch().shared.read(at, instruction.width, warp.accessor(lane));
    } else {
      place = locate(warp, instruction, space, lane, address);
    }
  });
  return places;
}

/// Extends the sign of a signed value.
template <class Register, class Stored>
Register extended(Stored value) {
  using Widest = std::conditional_t<std::is_signed_v<Stored>, std::int64_t, std::uint64_t>;
  return static_cast<Register>(Widest{value});
}

template <class Stored, class Register>
void load(Warp& warp, const Instruction& instruction, Mask mask) {
  const auto places = locate_all(warp, instruction, mask);
  for (std::size_t i = 0; i < instruction.list.size(); ++i) {
    if (instruction.list[i] == kNoRow) continue;
    auto* result = warp.row<Register>(instruction.list[i]);
    for_lanes(mask, [&](int lane) {
      Stored value;
      std::memcpy(&value, places[static_cast<std::size_t>(lane)] + i * sizeof(Stored), sizeof(Stored));
      result[lane] = extended<Register>(value);
    });
  }
}

template <class Stored, class Register>
void store(Warp& warp, const Instruction& instruction, Mask mask) {
  const Addresses lanes = addresses(warp, instruction);
  const bool fast = within_range(warp, instruction, mask, lanes);
  for_lanes(mask, [&](int lane) {
    std::uint8_t values[kWidest];
    for (std::size_t i = 0; i < instruction.list.size(); ++i) {
      const auto value = static_cast<Stored>(warp.row<Register>(instruction.list[i])[lane]);
      std::memcpy(values + i * sizeof(Stored), &value, sizeof(Stored));
    }
    Address address = lanes[static_cast<std::size_t>(lane)];
    const Space space = resolve(instruction.space, &address);
    if (space == Space::shared) {
      const std::uint32_t at = locate_shared(warp, instruction, lane, address);
      warp.launch().shared.write(at, values, instruction.width, warp.accessor(lane));
    } else {
      std::uint8_t* place = fast ? DeviceMemory::host(address) : locate(warp, instruction, space, lane, address);
      std::memcpy(place, values, instruction.width);
    }
  });
}

struct Load {
  template <class Stored, class Register>
  static constexpr Handler handler = load<Stored, Register>;
};

struct Store {
  template <class Stored, class Register>
  static constexpr Handler handler = store<Stored, Register>;
};

template <class Kind, class Stored>
Handler handler_for_register(int width) {
  switch (width) {
    case 2:
      return Kind::template handler<Stored, std::uint16_t>;
    case 4:
      return Kind::template handler<Stored, std::uint32_t>;
    case 8:
      return Kind::template handler<Stored, std::uint64_t>;
    default:
      return nullptr;
  }
}

// Signed types extend their sign to a wider register.
template <class Kind>
Handler access_handler(Type type, int width) {
  if (width < size_of(type)) return nullptr;
  const bool with_sign = is_signed(type) && !is_float(type);
  switch (size_of(type)) {
    case 1:
      return with_sign ? handler_for_register<Kind, std::int8_t>(width)
                       : handler_for_register<Kind, std::uint8_t>(width);
    case 2:
      return with_sign ? handler_for_register<Kind, std::int16_t>(width)
                       : handler_for_register<Kind, std::uint16_t>(width);
    case 4:
      return with_sign ? handler_for_register<Kind, std::int32_t>(width)
                       : handler_for_register<Kind, std::uint32_t>(width);
    default:
      return handler_for_register<Kind, std::uint64_t>(width);
  }
}

/// The registers of an access, one or several.
std::vector<Operand> registers(const Operand& operand) {
  return operand.kind == Operand::Kind::list ? operand.items : std::vector<Operand>{operand};
}

// Register width: of the first that is one.
int register_width(const Decoder& decoder, const std::vector<Operand>& operands, Type type) {
  for (const Operand& operand : operands) {
    if (decoder.is_register(operand)) return decoder.width(operand, 0);
  }
  return std::max(size_of(type), 2);
}

template <class Kind>
void translate_transfer(Decoder& decoder, const Operand& data, const Operand& address) {
  const Type type = decoder.statement().type();
  const std::vector<Operand> operands = registers(data);
  const int width = register_width(decoder, operands, type);
  Instruction& instruction = decoder.emit(access_handler<Kind>(type, width));
  const Type whole = width == 2 ? Type::b16 : width == 4 ? Type::b32 : Type::b64;
  for (const Operand& operand : operands) {
    const bool sink = operand.kind == Operand::Kind::sink;
    instruction.list.push_back(sink ? kNoRow : decoder.source(operand, whole));
  }
  const int bytes = size_of(type) * static_cast<int>(operands.size());
  if (bytes > kWidest) decoder.fail("an access of more than 16 bytes");
  translate_access(decoder, instruction, address, bytes);
}

template <class Stored, class Register>
void load_parameter(Warp& warp, const Instruction& instruction, Mask mask) {
  const std::uint8_t* place = warp.launch().parameters.data() + instruction.immediate;
  for (const Row row : instruction.list) {
    Stored value;
    std::memcpy(&value, place, sizeof(Stored));
    place += sizeof(Stored);
    auto* result = warp.row<Register>(row);
    for_lanes(mask, [&](int lane) { result[lane] = extended<Register>(value); });
  }
}

struct LoadParameter {
  template <class Stored, class Register>
  static constexpr Handler handler = load_parameter<Stored, Register>;
};

void translate_parameter(Decoder& decoder) {
  const Type type = decoder.statement().type();
  const std::vector<Operand> operands = registers(decoder.operand(0));
  const Operand& address = decoder.operand(1);
  int offset = 0;
  const Variable* parameter = decoder.find_parameter(address.name, &offset);
  if (parameter == nullptr) decoder.fail("no such parameter");
  const std::int64_t bytes = size_of(type) * static_cast<std::int64_t>(operands.size());
  const auto inner = static_cast<std::int64_t>(address.bits);
  if (inner < 0 || inner + bytes > parameter->bytes) decoder.fail("beyond the parameter");
  const int width = register_width(decoder, operands, type);
  Instruction& instruction = decoder.emit(access_handler<LoadParameter>(type, width));
  for (const Operand& operand : operands) instruction.list.push_back(decoder.wide_register(operand));
  instruction.immediate = offset + inner;
}

void translate_load(Decoder& decoder) {
  if (decoder.statement().has("param")) {
    translate_parameter(decoder);
  } else {
    translate_transfer<Load>(decoder, decoder.operand(0), decoder.operand(1));
  }
}

void translate_store(Decoder& decoder) {
  translate_transfer<Store>(decoder, decoder.operand(1), decoder.operand(0));
}

constexpr std::string_view kModifiers =
    "global shared local const param v2 v4 nc volatile relaxed weak cta gpu sys ca cg cs lu cv wb wt L1::evict_last "
    "L1::evict_first L1::no_allocate L2::64B L2::128B L2::256B";

}  // namespace

std::vector<InstructionEntry> memory_instructions() {
  return {{"ld", translate_load, kModifiers}, {"ldu", translate_load, kModifiers}, {"st", translate_store, kModifiers}};
}

}  // namespace netc::emulator
