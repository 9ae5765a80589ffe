// Reads what `fn` and `layer` say: equations in index notation, formulas of elements, expressions over whole tensors.
// The result is a program: tensors, each computed from earlier ones by one comprehension.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "compiler/formula/comprehension.h"
#include "compiler/formula/tensor_algebra.h"
#include "dsl/ast.h"

namespace netc {

/// A tensor that has a name, and where it got its extents.
struct ScopedTensor {
  TensorValue value;
  Span span;
};

/// How far the reading of one definition has come, with the functions that it calls: they are copied where they are
/// called, and formulas are walked by recursion.
struct ReadingProgress {
  int depth = 0;                              // of expressions in expressions
  int expressions = 0;                        // read so far
  std::vector<const ast::Node*> functions{};  // that are open, the outermost first
  bool stopped = false;                       // at a limit, which has been reported

  static constexpr int max_depth = 500;
  static constexpr int max_expressions = 100'000;
  static constexpr int max_functions = 32;
  static constexpr int max_size = 10'000;  // of a formula, see Formula::Node
};

/// The tensors of one definition while it is read. Extents of parameters may be unknown (0) until an equation says
/// them.
class TensorProgram {
 public:
  /// Its first `tensors` tensors come from outside.
  TensorProgram(std::string name, int tensors) : splitter_(std::move(name), tensors), algebra_(indices_) {}
  TensorProgram(const TensorProgram&) = delete;
  TensorProgram& operator=(const TensorProgram&) = delete;

  TensorAlgebra& algebra() { return algebra_; }
  std::vector<Index>& indices() { return indices_; }
  ReadingProgress& progress() { return progress_; }
  const std::vector<Step>& steps() const { return splitter_.steps(); }

  int add_index(const std::string& name, std::int64_t extent);
  std::int64_t extent(int id) const { return indices_[static_cast<std::size_t>(id)].extent; }
  /// Computes the tensor and keeps it; returns it by its number.
  int keep(const TensorValue& value);
  TensorValue kept(const TensorValue& value);

 private:
  std::vector<Index> indices_;
  Splitter splitter_;
  TensorAlgebra algebra_;
  ReadingProgress progress_;
};

/// The names that a definition's text sees beside its environment.
struct TensorScope {
  std::map<std::string, ScopedTensor> tensors;
  std::map<std::string, std::int64_t> sizes;  // of dimensions: known, or symbolic as in Shape
  std::map<std::string, Formula> elements;    // of an elementwise function: its argument
  const ast::Node* function = nullptr;        // the one that is read: in it, its name is the built-in one's
};

/// `name[i, j] = …;` in a body: adds the tensor to the scope. False after an error.
bool read_equation(const ast::Node& equation, const Environment& environment, TensorScope& scope,
                   TensorProgram& program, Reporter& reporter);

/// `let name = value;` in a body: adds the value to `names`. False after an error.
bool read_let(const ast::Node& let, const TensorScope& scope, Environment& names, Reporter& reporter);

/// An expression over whole tensors.
std::optional<TensorValue> read_tensor(const ast::Node& expression, const Environment& environment, TensorScope& scope,
                                       TensorProgram& program, Reporter& reporter);

/// The value of an elementwise `fn` where its argument is `x`, with the arguments of `call` behind the first.
std::optional<Formula> apply_elementwise(const Declaration& function, const std::vector<Argument>& arguments,
                                         const Formula& x, const Span& call, TensorProgram& program,
                                         Reporter& reporter);

/// The value of a tensor function for these tensors.
std::optional<TensorValue> apply_tensor_function(const Declaration& function, const std::vector<TensorValue>& inputs,
                                                 const std::vector<Argument>& arguments, const Span& call,
                                                 TensorProgram& program, Reporter& reporter);

/// The parameters of a `fn` that are tensors: those with a type f32[…].
std::vector<const ast::Node*> tensor_parameters(const ast::Node& function);

/// Gives the dimensions of `type` (f32[m, k]) the extents of a tensor: names become sizes, numbers must agree. False
/// after an error.
bool bind_extents(const ast::Node& type, const std::string& what, const std::vector<std::int64_t>& extents,
                  const Environment& environment, const TensorAlgebra& algebra, TensorScope& scope, Reporter& reporter);

/// Whether the parameters of a block, layer or fn have names of their own; one that has not is reported.
bool has_distinct_parameters(const ast::Node& declaration, Reporter& reporter);

/// Declares the compile-time parameters of `declaration` (all but its tensors) in `names`, from `arguments` or their
/// defaults. False after an error.
bool bind_constants(const Declaration& declaration, const std::vector<Argument>& arguments, const Span& call,
                    Environment& names, Reporter& reporter);

}  // namespace netc
