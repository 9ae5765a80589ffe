// One element of a tensor as a formula over elements of others: what `fn`, `layer` and tensor functions compute.
//
// Formulas are immutable and cheap to copy. The functions below build them and simplify as they go, also towards forms
// that neither overflow nor cancel: log(1 + exp(x)) becomes softplus(x), and so on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace netc {

struct Function;
class Formula;

/// How the elements along some indices become one.
enum class Reduction : std::uint8_t { none, sum, max, min, cumsum, reversed_cumsum };

/// An index and the whole numbers that it runs over: 0 up to, without, the extent (see Shape for symbolic ones).
struct Index {
  std::string name;
  std::int64_t extent = 0;
  bool operator==(const Index&) const = default;
};

class Formula {
 public:
  enum class Kind : std::uint8_t {
    number,  // `number`
    index,   // the value of index `id`
    extent,  // of a symbolic dimension: `id` as in Shape
    read,    // the element of tensor `id` at `operands`; 0 outside
    apply,   // `function` of `operands`
    reduce,  // `reduction` of operands[0] over `indices`; of a cumsum the element at operands[1]
  };

  struct Node {
    Kind kind = Kind::number;
    double number = 0;
    int id = 0;
    const Function* function = nullptr;
    Reduction reduction = Reduction::none;
    std::vector<int> indices;
    std::vector<Formula> operands;
    int depth = 1;  // of operands in operands: what walks over formulas recurses
    int size = 1;   // the parts that such a walk meets, however many of them are shared; at most `endless`
  };
  static constexpr int endless = 1 << 29;

  Formula(double number = 0);   // NOLINT(google-explicit-constructor): numbers are formulas
  explicit Formula(Node node);  // depth and size follow from the operands

  const Node* operator->() const { return node_.get(); }
  bool is_number(double value) const { return node_->kind == Kind::number && node_->number == value; }
  bool is_number() const { return node_->kind == Kind::number; }
  /// Whether this is an application of the function of that name.
  bool is(std::string_view function) const;
  const Formula& operand(std::size_t i) const { return node_->operands[i]; }
  bool operator==(const Formula& other) const;

 private:
  std::shared_ptr<const Node> node_;
};

// ---- Construction ---------------------------------------------------------------------------------------------------

Formula index(int id);
Formula extent(int symbol);
Formula read(int tensor, std::vector<Formula> at);
Formula reduce(Reduction reduction, std::vector<int> indices, Formula body);
/// The sum of `body` for `index` from 0 to `last`.
Formula cumsum(int index, Formula body, Formula last);
/// `function` must be one of functions(); as many operands as it takes.
Formula apply(std::string_view function, std::vector<Formula> operands);

Formula operator+(const Formula& a, const Formula& b);
Formula operator-(const Formula& a, const Formula& b);
Formula operator*(const Formula& a, const Formula& b);
Formula operator/(const Formula& a, const Formula& b);
Formula operator-(const Formula& a);
Formula select(const Formula& condition, const Formula& yes, const Formula& no);

// ---- Questions ------------------------------------------------------------------------------------------------------

/// A whole number built of indices and integers alone, as the places of elements are.
bool is_whole(const Formula& formula);

/// sum of coefficients[i] * index i + offset
struct Affine {
  static constexpr std::int64_t far = std::int64_t{1} << 31;  // what does not fit 32 bits is cut to this
  std::map<int, std::int64_t> coefficients;
  std::int64_t offset = 0;
};
/// Nothing when the formula is no such sum.
std::optional<Affine> affine(const Formula& formula);

/// The indices that the formula depends on, without those that its reductions run over.
std::set<int> free_indices(const Formula& formula);

/// Every read in it, in order; equal ones once.
std::vector<Formula> reads(const Formula& formula);

/// Calls `change` on every part from the inside out; where it returns a formula, that takes the part's place.
Formula rewrite(const Formula& formula, const std::function<std::optional<Formula>(const Formula&)>& change);

/// `formula` with free indices replaced.
Formula substitute(const Formula& formula, std::map<int, Formula> places);

/// The derivative with respect to what `variable` (a read) reads. A formula without reductions. Nothing when a function
/// on the way has none; `culprit` is its name.
std::optional<Formula> derivative(const Formula& formula, const Formula& variable, std::string& culprit);

/// As one would write it: "x[n, c] * gamma[c]", with these names.
std::string print(const Formula& formula, const std::vector<std::string>& tensors, const std::vector<Index>& indices);

}  // namespace netc
