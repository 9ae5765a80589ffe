// What to say about a syntax error, and where to go on after it.
#pragma once

#include <string>

#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc {

/// A place in the text of a source.
using Cursor = const char*;

/// The diagnostic for an error at `at` (just behind the token before it), where the grammar wanted `wanted` in the
/// statement that begins at `start`.
Diagnostic unexpected(const Source& source, Cursor at, const std::string& wanted, Cursor start);

/// Where parsing goes on after an error at `error` in the statement that begins at `start`: behind its `;`, at the `}`
/// around it, or, when only the `;` was missing, at the next line. Brackets match up to `end`. Always beyond `start`.
Cursor next_statement(Cursor start, Cursor error, Cursor end, const std::string& wanted);

/// The same for a definition: also behind its `}`, or at the word that begins the next definition.
Cursor next_definition(Cursor start, Cursor error, Cursor end, const std::string& wanted);

}  // namespace netc
