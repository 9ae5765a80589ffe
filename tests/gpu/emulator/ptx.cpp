// Types of PTX, and what statements and kernels say about themselves.
#include "ptx.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace netc::emulator {
namespace {

struct TypeFacts {
  std::string_view name;
  int size;
  bool floating;
  bool with_sign;
};

// In the order of `Type`.
constexpr std::array<TypeFacts, 18> kTypes = {{{"pred", 4, false, false},
                                               {"b8", 1, false, false},
                                               {"b16", 2, false, false},
                                               {"b32", 4, false, false},
                                               {"b64", 8, false, false},
                                               {"u8", 1, false, false},
                                               {"u16", 2, false, false},
                                               {"u32", 4, false, false},
                                               {"u64", 8, false, false},
                                               {"s8", 1, false, true},
                                               {"s16", 2, false, true},
                                               {"s32", 4, false, true},
                                               {"s64", 8, false, true},
                                               {"f16", 2, true, true},
                                               {"bf16", 2, true, true},
                                               {"tf32", 4, true, true},
                                               {"f32", 4, true, true},
                                               {"f64", 8, true, true}}};

const TypeFacts& facts(Type type) {
  return kTypes[static_cast<std::size_t>(type)];
}

}  // namespace

PtxError::PtxError(int line, const std::string& message)
    : std::runtime_error(fmt::format("PTX, line {}: {}", line, message)) {}

int size_of(Type type) {
  return facts(type).size;
}

bool is_float(Type type) {
  return facts(type).floating;
}

bool is_signed(Type type) {
  return facts(type).with_sign;
}

bool parse_type(std::string_view name, Type* type) {
  const auto* found = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeFacts& t) { return t.name == name; });
  if (found == kTypes.end()) return false;
  *type = static_cast<Type>(found - kTypes.begin());
  return true;
}

bool Statement::has(std::string_view modifier) const {
  return std::find(modifiers.begin(), modifiers.end(), modifier) != modifiers.end();
}

Type Statement::type(int from_end) const {
  Type result{};
  const int index = static_cast<int>(modifiers.size()) - 1 - from_end;
  if (index < 0 || !parse_type(modifiers[static_cast<std::size_t>(index)], &result)) {
    throw PtxError(line, fmt::format("no type in `{}`", text));
  }
  return result;
}

bool Kernel::find_register(const std::string& register_name, Type* type) const {
  auto found = registers.find(register_name);
  if (found == registers.end()) {
    const std::size_t digits = register_name.find_last_not_of("0123456789") + 1;
    found = registers.find(register_name.substr(0, digits));
  }
  if (found == registers.end()) return false;
  *type = found->second;
  return true;
}

}  // namespace netc::emulator
