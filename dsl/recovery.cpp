// Syntax errors: the message, the help for habits from other languages, and the way on.
#include "dsl/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "dsl/lexical.h"

namespace netc {
namespace {

constexpr std::string_view definition_words[] = {"import", "block", "model", "layer", "fn", "dist", "example"};
constexpr std::string_view of_definitions = "block, model";  // how what a file wants begins
constexpr std::string_view of_layers = "param, input";       // the same of a `layer`
constexpr std::string_view a_name = "a name";
constexpr std::string_view semicolon = "`;`";
constexpr std::string_view number_help =
    "numbers are written 12, 0.5 or 1e-3; the elements of a tuple are t.0 and t[i]";

std::string_view view(Cursor begin, Cursor end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

Cursor skip_blanks(Cursor at, Cursor end) {
  return at + match_blanks(view(at, end)).size();
}

/// The token with which `text` begins; one character of what is no token.
std::string_view token_at(std::string_view text) {
  for (const auto match : {match_number, match_word, match_string}) {
    if (const std::string_view token = match(text); !token.empty()) return token;
  }
  for (const std::string_view symbol : {"->", "**", "==", "!=", "<=", ">=", "..", "&&", "||", "++", "::"}) {
    if (text.starts_with(symbol)) return text.substr(0, symbol.size());
  }
  return text.substr(0, 1);
}

std::string describe(std::string_view token) {
  if (token.empty()) return "the end of the file";
  if (token.size() > max_name_length) return fmt::format("`{}…`", token.substr(0, max_name_length));
  return fmt::format("`{}`", token);
}

bool is_closer(std::string_view wanted) {
  return wanted == semicolon || wanted.ends_with("`)`") || wanted.ends_with("`]`") || wanted.ends_with("`}`");
}

bool starts_with_digit(std::string_view token) {
  return !token.empty() && token[0] >= '0' && token[0] <= '9';
}

/// Advice about a token as such, wherever it was found.
std::string_view token_help(std::string_view token) {
  if (token == "**") return "powers are written with ^";
  if (token == "and" || token == "or" || token == "not") return "logic is written && || !";
  if (token == "&" || token == "|") return "logic is written && and ||";
  if (token == "for" || token == "while") return "loops are written `repeat i in 0..4 { … }`";
  if (token == "'") return "strings stand in double quotes";
  if (token == "else") return "`else` follows the `}` of its `if` directly";
  if (token == "." || (starts_with_digit(token) && match_number(token).empty())) return number_help;
  return "";
}

/// Advice about a token in the place of what was wanted.
std::string_view place_help(std::string_view token, std::string_view wanted) {
  const bool statement = wanted == "a statement";
  const bool definition = wanted.starts_with(of_definitions);
  if (wanted == "a number") return number_help;
  if (token == "->" && statement) return "a chain goes on in its statement: remove the `;` before `->`";
  if (token == "+" && wanted == semicolon) return "branches are added with add { …; … }";
  if (token == "=" && wanted == semicolon) return "values are declared with `let name = …;`";
  if (token == "=" && (wanted == "`{`" || is_closer(wanted))) return "a comparison is written ==";
  if (token == "," && wanted == semicolon) return "statements and settings end with `;`";
  if (definition && !match_word(token).empty()) return "layers stand in a model or a block";
  if (wanted == "`:`" && token == ";") return "an input states its shape: `input image: f32[N, 1, 28, 28];`";
  return "";
}

/// What may begin a statement, in the place where `wanted` is missing.
std::vector<std::string> beginnings(std::string_view wanted) {
  if (wanted == semicolon) return statement_words();
  if (wanted.starts_with(of_layers)) return {"param", "input", "let"};
  if (!wanted.starts_with(of_definitions)) return {};
  std::vector<std::string> words(std::begin(definition_words), std::end(definition_words));
  words.emplace_back("let");
  return words;
}

/// For a misspelt word of the language: one that stands where a statement begins, or, as it reads like an operator, is
/// all of the statement in front of what was found.
std::string spelling_help(Cursor start, Cursor at, Cursor found, std::string_view token, std::string_view wanted) {
  if (wanted != semicolon) return did_you_mean(token, beginnings(wanted));
  if (std::find(at, found, '\n') != found) return "";  // this line is whole: only its `;` is missing
  const Cursor begin = skip_blanks(start, at);
  const std::string_view word = match_word(view(begin, at));
  return begin + word.size() == at ? did_you_mean(word, beginnings(wanted)) : "";
}

/// A reader looks for a missing `;` or `)` at the end of the line, not at the beginning of the next.
Span error_span(const Source& source, Cursor at, Cursor found, std::size_t length, bool closer) {
  const bool breaks_line = std::find(at, found, '\n') != found;
  const Cursor begin = closer && breaks_line ? at : found;
  const auto offset = static_cast<std::uint32_t>(begin - source.text.data());
  return {&source, offset, offset + static_cast<std::uint32_t>(begin == found ? length : 0)};
}

/// Steps over one token, so that brackets and `;` in strings and comments do not count.
Cursor skip_token(Cursor at, Cursor end) {
  at += std::max<std::size_t>(token_at(view(at, end)).size(), 1);
  return skip_blanks(at, end);
}

/// Calls `stop(token, next token, depth of brackets behind the token)` from `start` on until it says where to go on.
template <typename Stop>
Cursor walk(Cursor start, Cursor end, Stop stop) {
  int depth = 0;
  for (Cursor at = skip_blanks(start, end); at < end;) {
    if (*at == '(' || *at == '[' || *at == '{') ++depth;
    if (*at == ')' || *at == ']' || *at == '}') --depth;
    const Cursor next = skip_token(at, end);
    if (const Cursor found = stop(at, next, depth)) return found;
    at = next;
  }
  return end;
}

bool begins_statement(Cursor at, Cursor end) {
  const std::string_view word = match_word(view(at, end));
  return !word.empty() && word != "else";
}

bool begins_definition(Cursor at, Cursor end) {
  const std::string_view word = match_word(view(at, end));
  return std::find(std::begin(definition_words), std::end(definition_words), word) != std::end(definition_words);
}

/// The next line, when all that is wrong is a `;` missing at the end of this one.
Cursor next_line(Cursor error, Cursor end, const std::string& wanted) {
  const Cursor found = skip_blanks(error, end);
  const bool breaks_line = std::find(error, found, '\n') != found;
  return wanted == semicolon && breaks_line && begins_statement(found, end) ? found : nullptr;
}

}  // namespace

Diagnostic unexpected(const Source& source, Cursor at, const std::string& wanted, Cursor start) {
  const Cursor end = source.text.data() + source.text.size();
  const Cursor found = skip_blanks(at, end);
  const std::string_view token = token_at(view(found, end));
  const bool is_keyword = wanted == a_name && !match_identifier(token).empty();
  std::string help(is_keyword ? "choose another name" : token_help(token));
  if (help.empty()) help = spelling_help(start, at, found, token, wanted);
  if (help.empty()) help = place_help(token, wanted);
  return {is_keyword ? "N104" : "N101",
          error_span(source, at, found, token.size(), is_closer(wanted)),
          fmt::format("expected {}, found {}{}", wanted, is_keyword ? "the reserved word " : "", describe(token)),
          "",
          {},
          std::move(help)};
}

Cursor next_statement(Cursor start, Cursor error, Cursor end, const std::string& wanted) {
  if (const Cursor line = next_line(error, end, wanted)) return line;
  return walk(start, end, [&](Cursor at, Cursor next, int depth) -> Cursor {
    if (depth < 0) return at;
    if (depth > 0 || at < error) return nullptr;
    if (*at == ';') return at + 1;
    return *at == '}' && begins_statement(next, end) ? next : nullptr;
  });
}

Cursor next_definition(Cursor start, Cursor error, Cursor end, const std::string& wanted) {
  if (const Cursor line = next_line(error, end, wanted)) return line;
  return walk(start, end, [&](Cursor at, Cursor next, int depth) -> Cursor {
    if (depth > 0 || next < error) return nullptr;
    if (begins_definition(next, end)) return next;
    return at >= error && (*at == ';' || *at == '}') ? at + 1 : nullptr;
  });
}

}  // namespace netc
