// The lowest level of the language: characters, blanks, words, numbers, strings, and the scan that runs before the
// grammar.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc {

constexpr std::size_t max_file_size = 4 << 20;
constexpr std::size_t max_bracket_depth = 256;
constexpr std::size_t max_name_length = 64;

/// False, and an error at its beginning, for a file that is too large.
bool check_size(const Source& source, Diagnostics& diagnostics);

/// Looks at every byte once, before the grammar does: UTF-8, hidden characters, strings, brackets and their depth.
/// After a clean scan the brackets match, so the grammar's recursion is bounded and recovery can count brackets.
/// Returns false when it reported an error.
bool scan(const Source& source, Diagnostics& diagnostics);

/// The words that may begin a statement of a block or model.
const std::vector<std::string>& statement_words();

/// Reports a declared name that C++ or the language keeps for itself, or that is too long.
void check_name(const Span& name, Diagnostics& diagnostics);

/// The same for a label, which may be a number or a word of the language.
void check_label(const Span& label, Diagnostics& diagnostics);

// ---- Tokens: each function returns how `text` begins, or "" when it begins with something else ----------------------

/// Spaces, line ends, comments and a byte order mark.
std::string_view match_blanks(std::string_view text);
/// Letters, digits and `_`, in any order.
std::string_view match_word(std::string_view text);
/// A word that does not begin with a digit.
std::string_view match_identifier(std::string_view text);
/// An identifier that neither the language nor C++ has taken.
std::string_view match_name(std::string_view text);
/// The word `true` or `false`.
std::string_view match_boolean(std::string_view text);
/// 12, 0.5, 1e-3. A point needs digits on both sides, so `0..4` and `t.0` are no floats; `12a` is no number.
std::string_view match_number(std::string_view text);
/// With its quotes, within one line.
std::string_view match_string(std::string_view text);
/// Words joined by points: `conv`, `features.10.weight`.
std::string_view match_path(std::string_view text);
/// Digits: the element after `.` in `t.0`.
std::string_view match_digits(std::string_view text);
/// An operator between two operands; `->` is none.
std::string_view match_infix(std::string_view text);
/// `-` or `!` before an operand.
std::string_view match_prefix(std::string_view text);
/// A word that `:` follows.
std::string_view match_label(std::string_view text);
/// An identifier that `=` follows, but not `==`.
std::string_view match_argument_name(std::string_view text);
/// An identifier that `[` follows.
std::string_view match_equation_head(std::string_view text);
/// An identifier that the word `in` follows.
std::string_view match_range_index(std::string_view text);
/// `(a, b)` that the word `in` follows.
std::string_view match_unpacking(std::string_view text);

}  // namespace netc
