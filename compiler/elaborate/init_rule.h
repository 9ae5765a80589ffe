// How parameters begin: the rules of torch.nn.init, and distributions of one's own.
#pragma once

#include <optional>
#include <string>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "compiler/graph/graph.h"
#include "dsl/ast.h"
#include "netc/recipe.h"

namespace netc {

/// The rule that `expression` stands for: a number, `xavier_uniform(gain = 2)`, the name of a `dist`. Nothing after an
/// error, which has been reported.
std::optional<Initializer> read_initializer(const ast::Node& expression, const Environment& environment,
                                            Reporter& reporter);

/// As one would write it, without arguments: "xavier_uniform".
const char* rule_name(Initializer::Rule rule);

/// Whether the rule can draw this parameter: a rule, or a part of a mixture, may scale by the parameter's fans, the
/// numbers of a weight's inputs and outputs, which a bias has not. False after an error at `span`.
bool check_fans(const Initializer& initializer, const std::string& parameter, const Shape& shape, const Span& span,
                Reporter& reporter);

}  // namespace netc
