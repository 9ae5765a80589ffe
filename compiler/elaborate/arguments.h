// Binds the arguments of a call to the names that an operator, block or rule takes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/elaborate/report.h"
#include "compiler/elaborate/values.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/operator.h"
#include "dsl/ast.h"

namespace netc {

/// A name that a callee takes.
struct Formal {
  std::string name;
  bool required = true;
};

using Bindings = std::map<std::string, Argument>;

/// The arguments by name. Unknown, missing, surplus and duplicate ones are reported, all of one call; then there is no
/// result.
std::optional<Bindings> bind_arguments(const std::string& callee, const std::vector<Formal>& formals,
                                       const std::vector<Argument>& arguments, const Span& call, Reporter& reporter);

/// Whether `value` is of the type that the parameter `formal` of a block, layer or fn asks for, if it does; what is
/// wrong is reported at `span`.
bool check_type(const ast::Node& formal, const Constant& value, const Span& span, Reporter& reporter);

/// All attributes of a call of `op`: given or by default, of the right type and in range. Nothing after an error.
std::optional<Attributes> bind_attributes(const Operator& op, const std::vector<Argument>& arguments, const Span& call,
                                          Reporter& reporter);

}  // namespace netc
