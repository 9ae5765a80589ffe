// From `Kernel` to `Program`.
#include "decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "instructions/instruction_set.h"

namespace netc::emulator {
namespace {

// In the order of `Special`.
constexpr std::array<std::string_view, 15> kSpecials = {"%tid.x",    "%tid.y",    "%tid.z",   "%ntid.x",  "%ntid.y",
                                                        "%ntid.z",   "%ctaid.x",  "%ctaid.y", "%ctaid.z", "%nctaid.x",
                                                        "%nctaid.y", "%nctaid.z", "%laneid",  "%warpid",  "%clock"};

std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

Decoder::Decoder(const Kernel& kernel, Symbols symbols) : kernel_(kernel), symbols_(std::move(symbols)) {
  program_.name = kernel.name;
  program_.statements = kernel.statements;
  place_parameters();
  place_variables();
}

void Decoder::place_parameters() {
  std::int64_t offset = 0;
  for (const Variable& parameter : kernel_.parameters) {
    offset = round_up(offset, std::max(parameter.alignment, std::min<std::int64_t>(parameter.bytes, 8)));
    program_.parameter_offsets.push_back(static_cast<int>(offset));
    program_.parameter_bytes.push_back(static_cast<int>(parameter.bytes));
    offset += parameter.bytes;
  }
  program_.parameters_size = static_cast<int>(offset);
}

// Those of a size that only the launch knows lie behind the others.
void Decoder::place_variables() {
  std::int64_t local = 0;
  std::int64_t shared = 0;
  for (const Variable& variable : kernel_.variables) {
    std::int64_t& end = variable.space == Space::local ? local : shared;
    end = round_up(end, variable.alignment);
    symbols_[variable.name] = static_cast<std::uint64_t>(end);
    end += variable.bytes;
  }
  program_.local_bytes = static_cast<int>(round_up(local, 16));
  program_.shared_bytes = static_cast<int>(round_up(shared, 16));
}

void Decoder::fail(std::string_view reason) const {
  throw PtxError(statement_->line, fmt::format("{}: `{}` in {}", reason, statement_->text, kernel_.name));
}

const Operand& Decoder::operand(std::size_t index) const {
  if (index >= statement_->operands.size()) fail("an operand is missing");
  return statement_->operands[index];
}

Row Decoder::new_row(int bytes) {
  constexpr std::size_t kVector = 32;
  const std::size_t begin = program_.register_image.size() * sizeof(std::uint32_t);
  const std::size_t padded = (static_cast<std::size_t>(bytes) + kVector - 1) / kVector * kVector;
  program_.register_image.resize((begin + padded) / sizeof(std::uint32_t));
  return static_cast<Row>(begin);
}

Row Decoder::register_row(const std::string& name, Type* type) {
  if (!kernel_.find_register(name, type)) fail(fmt::format("`{}` is not declared", name));
  const auto [entry, is_new] = rows_.try_emplace(name, kNoRow);
  if (is_new) entry->second = new_row(*type == Type::predicate ? size_of(*type) : kWarpSize * size_of(*type));
  return entry->second;
}

Row Decoder::special(const std::string& name) {
  const auto found = std::find(kSpecials.begin(), kSpecials.end(), name);
  if (found == kSpecials.end()) return kNoRow;
  const auto [entry, is_new] = rows_.try_emplace(name, kNoRow);
  if (is_new) {
    entry->second = new_row(kWarpSize * 4);
    program_.specials.emplace_back(static_cast<Special>(found - kSpecials.begin()), entry->second);
  }
  return entry->second;
}

Row Decoder::constant(std::uint64_t bits, int width) {
  const auto [entry, is_new] = constants_.try_emplace({bits, width}, kNoRow);
  if (is_new) {
    entry->second = new_row(kWarpSize * width);
    auto* row = reinterpret_cast<std::uint8_t*>(program_.register_image.data()) + entry->second;
    for (int lane = 0; lane < kWarpSize; ++lane)
      std::memcpy(row + lane * width, &bits, static_cast<std::size_t>(width));
  }
  return entry->second;
}

std::uint64_t Decoder::immediate(const Operand& operand, Type type) {
  if (operand.kind == Operand::Kind::float64 && type == Type::f32) {
    return std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(operand.bits)));
  }
  if (operand.kind == Operand::Kind::integer && (type == Type::f32 || type == Type::f64))
    fail("an integer where a float belongs");
  return operand.bits;
}

bool Decoder::is_register(const Operand& operand) const {
  Type type{};
  return operand.kind == Operand::Kind::name && kernel_.find_register(operand.name, &type);
}

int Decoder::width(const Operand& operand, int otherwise) const {
  Type type{};
  const bool found = operand.kind == Operand::Kind::name && kernel_.find_register(operand.name, &type);
  return found ? size_of(type) : otherwise;
}

Row Decoder::source(const Operand& operand, Type type) {
  if (operand.kind == Operand::Kind::name) {
    if (is_register(operand)) return destination(operand, type);
    const Row row = special(operand.name);
    if (row != kNoRow) return row;
    const auto symbol = symbols_.find(operand.name);
    if (symbol == symbols_.end()) fail(fmt::format("`{}` is not declared", operand.name));
    return constant(symbol->second, size_of(type));
  }
  if (operand.kind == Operand::Kind::address || operand.kind == Operand::Kind::list ||
      operand.kind == Operand::Kind::sink) {
    fail("an operand of another kind");
  }
  return constant(immediate(operand, type), size_of(type));
}

Row Decoder::destination(const Operand& operand, Type type) {
  Type declared{};
  const Row row = register_row(operand.name, &declared);
  if ((declared == Type::predicate) != (type == Type::predicate) || size_of(declared) != size_of(type)) {
    fail(fmt::format("`{}` has another width than the instruction", operand.name));
  }
  return row;
}

Row Decoder::wide_register(const Operand& operand) {
  if (operand.kind == Operand::Kind::sink) return kNoRow;
  Type declared{};
  return register_row(operand.name, &declared);
}

Row Decoder::predicate(const Operand& operand) {
  return destination(operand, Type::predicate);
}

Row Decoder::carry() {
  const auto [entry, is_new] = rows_.try_emplace("carry", kNoRow);
  if (is_new) entry->second = new_row(size_of(Type::predicate));
  return entry->second;
}

void Decoder::address(const Operand& operand, Instruction& instruction) {
  if (operand.kind != Operand::Kind::address) fail("an address is missing");
  Operand base = operand;
  base.kind = Operand::Kind::name;
  instruction.immediate = static_cast<std::int64_t>(operand.bits);
  if (operand.name.empty()) {
    instruction.rows[1] = constant(0, 8);
  } else {
    instruction.narrow_address = width(base, 8) == 4;
    instruction.rows[1] = source(base, instruction.narrow_address ? Type::b32 : Type::b64);
  }
}

const Variable* Decoder::find_parameter(const std::string& name, int* offset) const {
  for (std::size_t i = 0; i < kernel_.parameters.size(); ++i) {
    if (kernel_.parameters[i].name != name) continue;
    *offset = program_.parameter_offsets[i];
    return &kernel_.parameters[i];
  }
  return nullptr;
}

void Decoder::limit_shared_unit(int bytes) {
  program_.shared_unit = std::min(program_.shared_unit, bytes);
}

Instruction& Decoder::emit(Handler handler) {
  if (handler == nullptr) fail("the emulator does not know this instruction for this type");
  Instruction& instruction = program_.instructions.emplace_back();
  instruction.run = handler;
  return instruction;
}

int Decoder::target() const {
  const auto label = kernel_.labels.find(operand(0).name);
  if (label == kernel_.labels.end()) fail("no such label");
  return label->second;
}

void Decoder::decode_statement(const Statement& statement) {
  statement_ = &statement;
  const std::size_t first = program_.instructions.size();
  decode_instruction(*this);
  Instruction& instruction = program_.instructions.back();
  if (program_.instructions.size() != first + 1) fail("not one instruction");
  instruction.statement = &statement;
  if (instruction.flow == Flow::branch) instruction.target = target();
  if (!statement.guard.empty()) {
    Type type{};
    instruction.guard = register_row(statement.guard, &type);
    instruction.guard_negated = statement.guard_negated;
    if (type != Type::predicate) fail("the guard is no predicate");
  }
}

Program Decoder::decode() {
  for (const Statement& statement : program_.statements) decode_statement(statement);
  Instruction end;
  end.flow = Flow::exit;
  end.statement = program_.statements.empty() ? nullptr : &program_.statements.back();
  program_.instructions.push_back(end);
  return std::move(program_);
}

Program decode(const Kernel& kernel, const Symbols& symbols) {
  return Decoder(kernel, symbols).decode();
}

}  // namespace netc::emulator
