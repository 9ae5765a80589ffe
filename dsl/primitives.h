// The terminals of the grammar as X3 parsers. Each decides by one look at the text whether it is meant, passes the
// blanks before itself, and leaves the text untouched when it is not: so the grammar never has to backtrack over what
// it stored, needs no skipper, and is safe on any byte.
#pragma once

#include <algorithm>
#include <boost/spirit/home/x3.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "dsl/ast.h"
#include "dsl/lexical.h"

namespace netc::grammar {

namespace x3 = boost::spirit::x3;
using Iterator = const char*;

/// What the rules share, reached through X3's context: the tag is the type itself.
struct State {
  const Source& source;
  Diagnostics& diagnostics;

  Span span(std::string_view text) const {
    const auto begin = static_cast<std::uint32_t>(text.data() - source.text.data());
    return {&source, begin, begin + static_cast<std::uint32_t>(text.size())};
  }
};

/// The attribute of a terminal: a piece of the source.
struct Token {
  std::string_view text;
};

inline std::string_view view(Iterator first, Iterator last) {
  return {first, static_cast<std::size_t>(last - first)};
}

inline std::string_view behind_blanks(Iterator first, Iterator last) {
  std::string_view text = view(first, last);
  text.remove_prefix(match_blanks(text).size());
  return text;
}

// ---- Parsers without an attribute -----------------------------------------------------------------------------------

template <typename Derived>
struct Silent : x3::parser<Derived> {
  using attribute_type = x3::unused_type;
  static constexpr bool has_attribute = false;
};

/// A word of the language: not the beginning of a longer word.
struct Word : Silent<Word> {
  std::string_view spelling;

  constexpr explicit Word(std::string_view word) : spelling(word) {}

  template <typename Context, typename Result, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context&, Result&, Attribute&) const {
    const std::string_view text = behind_blanks(first, last);
    if (match_word(text) != spelling) return false;
    first = text.data() + spelling.size();
    return true;
  }
};

/// A punctuation mark. `description` is how errors call it where more than the mark could have stood.
struct Mark : Silent<Mark> {
  std::string_view spelling;
  std::string_view description;

  constexpr explicit Mark(std::string_view mark, std::string_view says = "") : spelling(mark), description(says) {}

  template <typename Context, typename Result, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context&, Result&, Attribute&) const {
    const std::string_view text = behind_blanks(first, last);
    if (!text.starts_with(spelling)) return false;
    if (spelling == "=" && text.starts_with("==")) return false;
    if (spelling == "." && text.starts_with("..")) return false;
    first = text.data() + spelling.size();
    return true;
  }
};

/// The end of a statement: `;`, as many as there are, or nothing before or after a `}`.
struct StatementEnd : Silent<StatementEnd> {
  template <typename Context, typename Result, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context&, Result&, Attribute&) const {
    const bool after_brace = first[-1] == '}';  // a statement stands before, so there is a character
    std::string_view text = behind_blanks(first, last);
    bool found = after_brace || text.starts_with('}');
    for (; text.starts_with(';'); text = behind_blanks(first, last)) {
      first = text.data() + 1;
      found = true;
    }
    return found;
  }
};

struct FileEnd : Silent<FileEnd> {
  template <typename Context, typename Result, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context&, Result&, Attribute&) const {
    return behind_blanks(first, last).empty();
  }
};

/// Parses nothing and sets the kind of the rule's node.
struct As : Silent<As> {
  ast::Kind kind;

  constexpr explicit As(ast::Kind node_kind) : kind(node_kind) {}

  template <typename Context, typename Attribute>
  bool parse(Iterator&, const Iterator&, const Context&, ast::Node& node, Attribute&) const {
    node.kind = kind;
    return true;
  }
};

/// Parses nothing and calls `function` on the rule's node.
template <typename Function>
struct Then : Silent<Then<Function>> {
  Function function;

  constexpr explicit Then(Function callee) : function(callee) {}

  template <typename Context, typename Attribute>
  bool parse(Iterator&, const Iterator&, const Context& context, ast::Node& node, Attribute&) const {
    return function(node, x3::get<State>(context));
  }
};

// ---- Parsers of one token -------------------------------------------------------------------------------------------

/// Gives the text that `match` (of lexical.h) finds behind the blanks.
struct Terminal : x3::parser<Terminal> {
  using attribute_type = Token;
  static constexpr bool has_attribute = true;
  using Matcher = std::string_view (*)(std::string_view);

  Matcher match;
  std::string_view description;

  constexpr Terminal(Matcher matcher, std::string_view says) : match(matcher), description(says) {}

  template <typename Context, typename Result, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context&, Result&, Attribute& attribute) const {
    const std::string_view token = match(behind_blanks(first, last));
    if (token.empty()) return false;
    if constexpr (!std::is_same_v<std::remove_const_t<Attribute>, x3::unused_type>) attribute.text = token;
    first = token.data() + token.size();
    return true;
  }
};

// ---- Spans ----------------------------------------------------------------------------------------------------------

/// Notes in the rule's node where the text of `Subject` begins and ends. `on_success` could not: in a rule with
/// semantic actions X3 passes it no node.
template <typename Subject>
struct Spanned : x3::unary_parser<Subject, Spanned<Subject>> {
  static constexpr bool handles_container = Subject::handles_container;

  constexpr explicit Spanned(const Subject& inner) : x3::unary_parser<Subject, Spanned<Subject>>(inner) {}

  template <typename Context, typename Attribute>
  bool parse(Iterator& first, const Iterator& last, const Context& context, ast::Node& node,
             Attribute& attribute) const {
    const Iterator begin = behind_blanks(first, last).data();
    if (!this->subject.parse(first, last, context, node, attribute)) return false;
    node.span = x3::get<State>(context).span(view(begin, std::max(begin, first)));  // an empty file consumes nothing
    return true;
  }
};

template <typename Parser>
auto spanned(const Parser& parser) {
  return Spanned<Parser>(parser);
}

}  // namespace netc::grammar

// ---- What an expectation says that it wanted ------------------------------------------------------------------------

namespace boost::spirit::x3 {

template <>
struct get_info<netc::grammar::Word> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::Word& word) const { return "`" + std::string(word.spelling) + "`"; }
};

template <>
struct get_info<netc::grammar::Mark> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::Mark& mark) const {
    return mark.description.empty() ? "`" + std::string(mark.spelling) + "`" : std::string(mark.description);
  }
};

template <>
struct get_info<netc::grammar::StatementEnd> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::StatementEnd&) const { return "`;`"; }
};

template <>
struct get_info<netc::grammar::FileEnd> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::FileEnd&) const { return "the end"; }
};

template <>
struct get_info<netc::grammar::Terminal> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::Terminal& terminal) const { return std::string(terminal.description); }
};

template <typename Subject>
struct get_info<netc::grammar::Spanned<Subject>> {
  using result_type = std::string;
  std::string operator()(const netc::grammar::Spanned<Subject>& spanned) const { return what(spanned.subject); }
};

template <typename Subject, typename Action>
struct get_info<action<Subject, Action>> {
  using result_type = std::string;
  std::string operator()(const action<Subject, Action>& parser) const { return what(parser.subject); }
};

template <typename Left, typename Right>
struct get_info<sequence<Left, Right>> {
  using result_type = std::string;
  std::string operator()(const sequence<Left, Right>& parser) const { return what(parser.left); }
};

template <typename Left, typename Right>
struct get_info<alternative<Left, Right>> {
  using result_type = std::string;
  std::string operator()(const alternative<Left, Right>& parser) const {
    return what(parser.left) + " or " + what(parser.right);
  }
};

}  // namespace boost::spirit::x3
