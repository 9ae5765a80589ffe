// Tokens of PTX.
#include "lexer.h"

#include <fmt/format.h>

#include <cctype>

#include "ptx.h"

namespace netc::emulator {
namespace {

bool in_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '%' || c == '$' || c == ':';
}

bool in_number(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

Lexer::Lexer(std::string_view text) : source_(text) {
  token_ = read();
}

void Lexer::skip_blanks() {
  while (position_ < source_.size()) {
    const std::string_view rest = source_.substr(position_);
    if (std::isspace(static_cast<unsigned char>(rest[0])) != 0) {
      if (rest[0] == '\n') ++line_;
      ++position_;
    } else if (rest.starts_with("//")) {
      position_ = std::min(source_.find('\n', position_), source_.size());
    } else {
      return;
    }
  }
}

Token Lexer::scan(Token::Kind kind, bool (*belongs)(char)) {
  const std::size_t first = position_;
  while (position_ < source_.size() && belongs(source_[position_])) ++position_;
  return {kind, source_.substr(first, position_ - first), line_};
}

Token Lexer::read() {
  skip_blanks();
  if (position_ == source_.size()) return {Token::Kind::end, "", line_};
  const char c = source_[position_];
  if (std::isdigit(static_cast<unsigned char>(c)) != 0) return scan(Token::Kind::number, in_number);
  if (in_word(c) && c != ':') {
    Token word = scan(Token::Kind::word, in_word);
    while (word.text.back() == ':') {  // a label's; within words colons are scopes, as in `ld::evict`
      word.text.remove_suffix(1);
      --position_;
    }
    return word;
  }
  if (c == '"') {
    const std::size_t close = source_.find('"', position_ + 1);
    if (close == std::string_view::npos) throw PtxError(line_, "a string without an end");
    const Token string{Token::Kind::string, source_.substr(position_, close + 1 - position_), line_};
    position_ = close + 1;
    return string;
  }
  return {Token::Kind::punctuation, source_.substr(position_++, 1), line_};
}

Token Lexer::next() {
  const Token taken = token_;
  taken_ = static_cast<std::size_t>(taken.text.data() - source_.data()) + taken.text.size();
  token_ = read();
  return taken;
}

bool Lexer::take(std::string_view text) {
  if (token_.text != text || token_.kind == Token::Kind::string) return false;
  next();
  return true;
}

void Lexer::expect(std::string_view text) {
  const Token token = token_;
  if (!take(text)) throw PtxError(token.line, fmt::format("`{}` where `{}` belongs", token.text, text));
}

std::string_view Lexer::text_since(const Token& first) const {
  const auto begin = static_cast<std::size_t>(first.text.data() - source_.data());
  return source_.substr(begin, taken_ - begin);
}

}  // namespace netc::emulator
