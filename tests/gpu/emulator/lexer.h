// Tokens of PTX.
#pragma once

#include <string_view>

namespace netc::emulator {

struct Token {
  enum class Kind { word, number, string, punctuation, end };
  Kind kind = Kind::end;
  std::string_view text;
  int line = 0;
};

/// Reads token by token; comments and line breaks do not count. Words include dots and the marks `%`, `$` and `_`:
/// `ld.global.nc.b32`, `%r12`, `.reg`, `$L__BB0_1`.
class Lexer {
 public:
  explicit Lexer(std::string_view text);

  const Token& peek() const { return token_; }
  Token next();
  bool take(std::string_view text);
  /// Takes a token that must be there.
  void expect(std::string_view text);
  /// The source from the start of `first` to the end of the token taken last, on one line.
  std::string_view text_since(const Token& first) const;

 private:
  void skip_blanks();
  Token read();
  Token scan(Token::Kind kind, bool (*belongs)(char));

  std::string_view source_;
  std::size_t position_ = 0;
  std::size_t taken_ = 0;  ///< end of the token taken last
  int line_ = 1;
  Token token_;
};

}  // namespace netc::emulator
