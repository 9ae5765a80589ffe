// Instructions in which the lanes of a warp exchange values: shuffles, votes, products of matrices.
#include <algorithm>
#include <array>
#include <bit>

#include "../fault.h"
#include "elementwise.h"
#include "instruction_set.h"

namespace netc::emulator {
namespace {

constexpr std::uint32_t kUndefined = 0xffffffff;  // NaN, what reading from a lane that is not there gives

enum class Shuffle : std::int64_t { up, down, butterfly, index };

struct Source {
  int lane;
  bool within;
};

// The lane to read from. `control` holds the highest lane of a segment, and from bit 8 on the bits that tell segments
// apart.
Source shuffle_source(Shuffle kind, int lane, std::uint32_t operand, std::uint32_t control) {
  const int segment = static_cast<int>(control >> 8 & 31);
  const int limit = (lane & segment) | (static_cast<int>(control & 31) & ~segment);
  const int amount = static_cast<int>(operand & 31);
  switch (kind) {
    case Shuffle::up:
      return {lane - amount, lane - amount >= limit};
    case Shuffle::down:
      return {lane + amount, lane + amount <= limit};
    case Shuffle::butterfly:
      return {lane ^ amount, (lane ^ amount) <= limit};
    case Shuffle::index:
      break;
  }
  const int chosen = (lane & segment) | (amount & ~segment);
  return {chosen, chosen <= limit};
}

void shuffle(Warp& warp, const Instruction& instruction, Mask mask) {
  std::array<std::uint32_t, kWarpSize> values;
  std::copy_n(warp.row<std::uint32_t>(instruction.rows[1]), kWarpSize, values.begin());
  const auto* operand = warp.row<std::uint32_t>(instruction.rows[2]);
  const auto* control = warp.row<std::uint32_t>(instruction.rows[3]);
  auto* result = warp.row<std::uint32_t>(instruction.list[0]);
  Mask found = 0;
  std::array<std::uint32_t, kWarpSize> received{};
  for (Mask rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    const Source source =
        shuffle_source(static_cast<Shuffle>(instruction.immediate), lane, operand[lane], control[lane]);
    const int from = source.within ? source.lane : lane;
    received[static_cast<std::size_t>(lane)] =
        (mask >> from & 1) != 0 ? values[static_cast<std::size_t>(from)] : kUndefined;
    if (source.within) found |= Mask{1} << lane;
  }
  for_lanes(mask, [&](int lane) { result[lane] = received[static_cast<std::size_t>(lane)]; });
  if (instruction.list.size() > 1) {
    Mask& predicate = warp.predicate(instruction.list[1]);
    predicate = (predicate & ~mask) | found;
  }
}

// shfl.sync.down.b32 d|p, a, lanes, control, membermask;
void translate_shuffle(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  if (size_of(statement.type()) != 4) decoder.fail("values of 32 bits only");
  Instruction& instruction = decoder.emit(shuffle);
  const Operand& result = decoder.operand(0);
  const bool two = result.kind == Operand::Kind::list;
  instruction.flow = Flow::warp;
  instruction.list.push_back(decoder.destination(two ? result.items[0] : result, Type::b32));
  if (two) instruction.list.push_back(decoder.predicate(result.items[1]));
  for (std::size_t i = 1; i <= 3; ++i) instruction.rows[i] = decoder.source(decoder.operand(i), Type::b32);
  instruction.rows[0] = decoder.source(decoder.operand(4), Type::b32);
  instruction.immediate = static_cast<std::int64_t>(statement.has("up")     ? Shuffle::up
                                                    : statement.has("down") ? Shuffle::down
                                                    : statement.has("bfly") ? Shuffle::butterfly
                                                                            : Shuffle::index);
}

enum class Vote { ballot, any, all };

template <Vote kind>
void vote(Warp& warp, const Instruction& instruction, Mask mask) {
  Mask in_favour = warp.predicate(instruction.rows[2]) & mask;
  if constexpr (kind == Vote::ballot) {
    auto* result = warp.row<std::uint32_t>(instruction.rows[1]);
    for_lanes(mask, [&](int lane) { result[lane] = in_favour; });
  } else {
    const bool holds = kind == Vote::any ? in_favour != 0 : in_favour == mask;
    Mask& result = warp.predicate(instruction.rows[1]);
    result = holds ? result | mask : result & ~mask;
  }
}

// vote.sync.any.pred p, q, membermask;
void translate_vote(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const bool ballots = statement.has("ballot");
  Instruction& instruction = decoder.emit(ballots                ? vote<Vote::ballot>
                                          : statement.has("any") ? vote<Vote::any>
                                                                 : vote<Vote::all>);
  instruction.flow = Flow::warp;
  instruction.rows[1] = decoder.destination(decoder.operand(0), ballots ? Type::b32 : Type::predicate);
  instruction.rows[2] = decoder.predicate(decoder.operand(1));
  instruction.rows[0] = decoder.source(decoder.operand(2), Type::b32);
}

// D = A B + C with A of 16 x k, B of k x 8, sums and C in f32. Lane 4 g + t holds rows g and g + 8 of A, column g of B.
constexpr int kRows = 16;
constexpr int kColumns = 8;
constexpr int kDeepest = 16;

struct Fragments {
  float a[kRows][kDeepest] = {};
  float b[kDeepest][kColumns] = {};
  float d[kRows][kColumns] = {};
};

/// The registers of a lane: of the result, of A, of B, of C.
class ProductRegisters {
 public:
  ProductRegisters(Warp& warp, const Instruction& instruction) : warp_(warp), list_(instruction.list) {}

  std::uint32_t a(std::size_t index, int lane) const { return value(4 + index, lane); }
  std::uint32_t b(std::size_t index, int lane) const { return value(list_.size() - 4 - b_count() + index, lane); }
  float c(std::size_t index, int lane) const { return std::bit_cast<float>(value(list_.size() - 4 + index, lane)); }
  float& d(std::size_t index, int lane) const { return warp_.row<float>(list_[index])[lane]; }
  /// Of those of B; A has twice as many.
  std::size_t b_count() const { return (list_.size() - 8) / 3; }

 private:
  std::uint32_t value(std::size_t index, int lane) const { return warp_.row<std::uint32_t>(list_[index])[lane]; }

  Warp& warp_;
  const std::vector<Row>& list_;
};

/// A register holds the 19 bits of a number that tensor cores read: of every four terms, number t.
struct Tf32Terms {
  static constexpr int each = 1;
  static int term(int half, int t, int /*part*/) { return t + 4 * half; }
  static float read(std::uint32_t bits, int /*part*/) { return std::bit_cast<float>(bits & 0xffffe000); }
};

/// A register holds two numbers: of every eight terms, numbers 2 t and 2 t + 1.
struct Bf16Terms {
  static constexpr int each = 2;
  static int term(int half, int t, int part) { return 2 * t + part + 8 * half; }
  static float read(std::uint32_t bits, int part) {
    return std::bit_cast<float>(part == 0 ? bits << 16 : bits & 0xffff0000);
  }
};

template <class Terms>
Fragments gather(const ProductRegisters& registers) {
  Fragments matrices;
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const int g = lane / 4;
    const int t = lane % 4;
    for (std::size_t half = 0; half < registers.b_count(); ++half) {
      for (int part = 0; part < Terms::each; ++part) {
        const int term = Terms::term(static_cast<int>(half), t, part);
        matrices.a[g][term] = Terms::read(registers.a(2 * half, lane), part);
        matrices.a[g + 8][term] = Terms::read(registers.a(2 * half + 1, lane), part);
        matrices.b[term][g] = Terms::read(registers.b(half, lane), part);
      }
    }
    for (std::size_t i = 0; i < 4; ++i)
      matrices.d[g + 8 * (i / 2)][2 * t + static_cast<int>(i % 2)] = registers.c(i, lane);
  }
  return matrices;
}

template <class Terms>
void multiply_matrices(Warp& warp, const Instruction& instruction, Mask mask) {
  if (mask != kAllLanes) throw Fault(Result::illegal_instruction, "a product of matrices needs all 32 lanes");
  const ProductRegisters registers(warp, instruction);
  const int depth = static_cast<int>(instruction.immediate);
  Fragments matrices = gather<Terms>(registers);
  for (int row = 0; row < kRows; ++row) {
    for (int k = 0; k < depth; ++k) {
      for (int column = 0; column < kColumns; ++column) {
        matrices.d[row][column] += matrices.a[row][k] * matrices.b[k][column];
      }
    }
  }
  for (int lane = 0; lane < kWarpSize; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      registers.d(i, lane) =
          matrices
              .d[static_cast<std::size_t>(lane / 4) + 8 * (i / 2)][static_cast<std::size_t>(2 * (lane % 4)) + i % 2];
    }
  }
  warp.count_multiply_adds(std::int64_t{kRows} * kColumns * depth);
}

// mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {d}, {a}, {b}, {c};
void translate_mma(Decoder& decoder) {
  const Statement& statement = decoder.statement();
  const bool tf32 = statement.has("tf32");
  const bool bf16 = statement.has("bf16");
  if (tf32 == bf16) decoder.fail("products of TF32 or of bf16 only");
  Instruction& instruction = decoder.emit(tf32 ? multiply_matrices<Tf32Terms> : multiply_matrices<Bf16Terms>);
  instruction.flow = Flow::warp;
  instruction.immediate = statement.has("m16n8k16") ? 16 : statement.has("m16n8k8") ? 8 : 4;
  for (std::size_t i = 0; i < 4; ++i) {
    for (const Operand& item : decoder.operand(i).items) instruction.list.push_back(decoder.source(item, Type::b32));
  }
  const std::int64_t terms_a_register = tf32 ? 4 : 8;
  const auto expected = static_cast<std::size_t>(8 + 3 * instruction.immediate / terms_a_register);
  if (instruction.list.size() != expected) decoder.fail("another number of registers than the shape needs");
}

void active_mask(Warp& warp, const Instruction& instruction, Mask mask) {
  auto* result = warp.row<std::uint32_t>(instruction.rows[0]);
  for_lanes(mask, [&](int lane) { result[lane] = mask; });
}

void translate_active_mask(Decoder& decoder) {
  emit_uniform(decoder, active_mask, 0);
}

}  // namespace

std::vector<InstructionEntry> warp_instructions() {
  return {{"shfl", translate_shuffle, "sync up down bfly idx"},
          {"vote", translate_vote, "sync ballot any all"},
          {"activemask", translate_active_mask},
          {"mma", translate_mma, "sync aligned m16n8k16 m16n8k8 m16n8k4 row col"}};
}

}  // namespace netc::emulator
