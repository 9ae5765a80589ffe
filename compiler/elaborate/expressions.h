// Evaluates the expressions of a `.net` file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/elaborate/report.h"
#include "compiler/elaborate/values.h"
#include "dsl/ast.h"

namespace netc {

/// A block, layer, fn or dist, and the names that its text sees.
struct Declaration {
  const ast::Node* node = nullptr;
  const class Environment* environment = nullptr;
};

/// Names and their values. Lists of statements nest: each has its own environment, and sees those around it. The
/// outermost is a file's, which also knows the declarations.
class Environment {
 public:
  Environment() = default;
  explicit Environment(const Environment* parent) : parent_(parent) {}

  /// False when the name is taken in this very list.
  bool add(const std::string& name, Constant value) { return values_.emplace(name, std::move(value)).second; }
  /// The innermost value of that name, or nullptr.
  const Constant* find(const std::string& name) const;
  /// The block, layer, fn or dist of that name, or nullptr.
  const Declaration* find_declaration(const std::string& name) const;

  std::map<std::string, Constant>& values() { return values_; }
  const std::map<std::string, Constant>& values() const { return values_; }
  std::map<std::string, Declaration>& declarations() { return declarations_; }
  const std::map<std::string, Declaration>& declarations() const { return declarations_; }

  /// Every name that can be seen here, for "did you mean".
  std::vector<std::string> value_names() const;
  std::vector<std::string> layer_names() const;
  std::vector<std::string> distribution_names() const;

 private:
  const Environment* parent_ = nullptr;
  std::map<std::string, Constant> values_;
  std::map<std::string, Declaration> declarations_;
};

/// The value of `expression`; unknown after an error, which has been reported.
Constant evaluate(const ast::Node& expression, const Environment& environment, Reporter& reporter);

/// The arguments of a call: those of `node`'s children, from `first` on, that are arguments.
std::vector<Argument> evaluate_arguments(const ast::Node& node, std::size_t first, const Environment& environment,
                                         Reporter& reporter);

/// Whether argument `i` of a call has no name, as tensors and elements have none; a name is reported.
bool is_by_position(const ast::Node& call, std::size_t i, Reporter& reporter);

/// One extent of a shape: a whole number of at least 1, or Shape::batch for `N`.
std::optional<std::int64_t> evaluate_extent(const ast::Node& expression, const Environment& environment,
                                            Reporter& reporter);

/// What a name stands for as a layer: a value that is a layer, a declaration, or an operator; an empty optional for
/// none.
std::optional<LayerReference> find_layer(const std::string& name, const Environment& environment);

}  // namespace netc
