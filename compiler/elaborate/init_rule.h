// How parameters begin: the rules of torch.nn.init, and distributions of one's own.
#pragma once

#include <optional>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/report.h"
#include "dsl/ast.h"
#include "netc/recipe.h"

namespace netc {

/// The rule that `expression` stands for: a number, `xavier_uniform(gain = 2)`, the name of a `dist`. Nothing after an
/// error, which has been reported.
std::optional<Initializer> read_initializer(const ast::Node& expression, const Environment& environment,
                                            Reporter& reporter);

/// As one would write it, without arguments: "xavier_uniform".
const char* rule_name(Initializer::Rule rule);

/// Whether a rule, or a part of a mixture, scales by the fans of a parameter, as PyTorch defines them for weights only.
bool needs_fans(const Initializer& initializer);

}  // namespace netc
