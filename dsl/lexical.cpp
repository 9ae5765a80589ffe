// Tokens of the language, and the scan that makes a file safe to parse.
#include "dsl/lexical.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dsl/utf8.h"

namespace netc {
namespace {

// ---- Words that are taken -------------------------------------------------------------------------------------------

constexpr std::string_view language_words[] = {
    "add",  "block", "concat", "dist",  "else",   "example",    "expect", "false", "fn",
    "from", "if",    "import", "in",    "init",   "input",      "layer",  "let",   "loss",
    "mix",  "model", "output", "param", "repeat", "sequential", "shared", "train", "true",
};

// Generated members, functions and namespaces have the names of the `.net` file. The last line are names that a header
// may define as macros, or that the generated namespaces must not hide.
constexpr std::string_view cpp_words[] = {
    "alignas",     "alignof",  "and",        "and_eq",    "asm",       "auto",         "bitand",
    "bitor",       "bool",     "break",      "case",      "catch",     "char",         "char16_t",
    "char32_t",    "char8_t",  "class",      "co_await",  "co_return", "co_yield",     "compl",
    "concept",     "const",    "const_cast", "consteval", "constexpr", "constinit",    "continue",
    "decltype",    "default",  "delete",     "do",        "double",    "dynamic_cast", "else",
    "enum",        "explicit", "export",     "extern",    "false",     "float",        "for",
    "friend",      "goto",     "if",         "inline",    "int",       "long",         "mutable",
    "namespace",   "new",      "noexcept",   "not",       "not_eq",    "nullptr",      "operator",
    "or",          "or_eq",    "private",    "protected", "public",    "register",     "reinterpret_cast",
    "requires",    "return",   "short",      "signed",    "sizeof",    "static",       "static_assert",
    "static_cast", "struct",   "switch",     "template",  "this",      "thread_local", "throw",
    "true",        "try",      "typedef",    "typeid",    "typename",  "typeof",       "union",
    "unsigned",    "using",    "virtual",    "void",      "volatile",  "wchar_t",      "while",
    "xor",         "xor_eq",   "EOF",        "INFINITY",  "NAN",       "NULL",         "assert",
    "errno",       "linux",    "main",       "netc",      "std",       "stderr",       "stdin",
    "stdout",      "unix",
};

template <std::size_t size>
bool contains(const std::string_view (&words)[size], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

// ---- Characters -----------------------------------------------------------------------------------------------------

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_letter(c) || is_digit(c);
}

template <typename Predicate>
std::size_t count_while(std::string_view text, std::size_t from, Predicate predicate) {
  std::size_t end = from;
  while (end < text.size() && predicate(text[end])) ++end;
  return end - from;
}

/// What follows `token` in `text`, behind blanks.
std::string_view following(std::string_view text, std::string_view token) {
  text.remove_prefix(token.size());
  text.remove_prefix(match_blanks(text).size());
  return text;
}

bool begins_digits(std::string_view text, std::size_t at) {
  return at < text.size() && is_digit(text[at]);
}

// ---- The scan -------------------------------------------------------------------------------------------------------

class Scanner {
 public:
  Scanner(const Source& source, Diagnostics& diagnostics)
      : source_(source), text_(source.text), diagnostics_(diagnostics) {}

  /// Returns whether the file is clean.
  bool run();

 private:
  void step();
  void skip_comment();
  void skip_foreign_comment(std::string_view end);
  void skip_string();
  void skip_escape();
  void skip_stray_text();
  bool skip_text();
  void open_bracket();
  void close_bracket();
  void begin_line();
  void report_open_brackets();
  std::string_view rest() const { return text_.substr(at_); }
  Span span(std::size_t begin, std::size_t length) const;
  void report(const char* code, const Span& place, std::string message, std::string help, std::vector<Note> notes = {});
  void stop() { at_ = text_.size(); }

  struct Bracket {
    std::size_t offset, indentation;  // of its line
  };

  const Source& source_;
  std::string_view text_;
  Diagnostics& diagnostics_;
  std::size_t at_ = 0;
  std::size_t line_ = 0;         // where the line begins
  std::size_t indentation_ = 0;  // how many blanks lead it
  std::vector<Bracket> open_;
  std::optional<Bracket> suspect_;  // a `{` whose `}` stands further left than it should
  bool reported_encoding_ = false;
  bool clean_ = true;
};

bool Scanner::run() {
  if (!check_size(source_, diagnostics_)) return false;
  if (text_.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  begin_line();
  while (at_ < text_.size() && !diagnostics_.full()) step();
  if (!open_.empty() && clean_) report_open_brackets();
  return clean_;
}

void Scanner::step() {
  const std::string_view text = rest();
  if (text.starts_with("//")) return skip_comment();
  if (text.starts_with("/*")) return skip_foreign_comment("*/");
  switch (text[0]) {
    case '#':
      return skip_foreign_comment("\n");
    case '"':
      return skip_string();
    case '(':
    case '[':
    case '{':
      return open_bracket();
    case ')':
    case ']':
    case '}':
      return close_bracket();
    default:
      if (static_cast<unsigned char>(text[0]) >= 0x80) return skip_stray_text();
      skip_text();
      if (text[0] == '\n') begin_line();
  }
}

void Scanner::skip_comment() {
  while (at_ < text_.size() && text_[at_] != '\n') skip_text();
}

void Scanner::skip_foreign_comment(std::string_view end) {
  report("N101", span(at_, end.size()), "this begins no comment", "comments begin with // and end with the line");
  at_ = std::min(text_.find(end, at_), text_.size());
}

void Scanner::skip_string() {
  const std::size_t begin = at_++;
  while (at_ < text_.size() && text_[at_] != '\n') {
    if (text_[at_] == '"') {
      ++at_;
      return;
    }
    text_[at_] == '\\' ? skip_escape() : static_cast<void>(skip_text());
  }
  report("N105", span(begin, at_ - begin), "this string is not closed on its line", "add the closing \"");
}

void Scanner::skip_escape() {
  const char escaped = at_ + 1 < text_.size() ? text_[at_ + 1] : '\n';
  if (escaped == '"' || escaped == '\\') {
    at_ += 2;
    return;
  }
  report("N105", span(at_, 1), "a backslash that escapes nothing", R"(write \\ for a backslash and \" for a quote)");
  ++at_;
}

/// Text beyond ASCII outside comments and strings.
void Scanner::skip_stray_text() {
  const std::size_t begin = at_;
  bool readable = true;
  while (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80) readable = skip_text() && readable;
  if (!readable) return;
  report("N103", span(begin, at_ - begin), "only comments and strings may hold such characters",
         "names are ASCII letters, digits and _");
}

/// Passes one character. Reports what is no text and returns false for it.
bool Scanner::skip_text() {
  const std::string_view text = rest();
  const CodePoint point = decode(text);
  const std::size_t begin = at_;
  at_ += std::max<std::size_t>(point.length, 1);
  if (point.length == 0) {
    // One report tells it all: a file in another encoding has many such bytes.
    if (!reported_encoding_) report("N102", span(begin, 1), "this is not UTF-8", "save the file as UTF-8");
    reported_encoding_ = true;
    return false;
  }
  if (text[0] == '\n' || text[0] == '\t' || text.starts_with("\r\n")) return true;
  if (!is_control(point.value) && !is_bidi_control(point.value)) return true;
  const char* kind = is_control(point.value) ? "a control character" : "a character that reorders the text around it";
  report("N102", span(begin, point.length), fmt::format("{}, U+{:04X}", kind, static_cast<unsigned>(point.value)),
         "remove it");
  return false;
}

void Scanner::begin_line() {
  line_ = at_;
  indentation_ = count_while(text_, at_, [](char c) { return c == ' ' || c == '\t'; });
}

void Scanner::open_bracket() {
  open_.push_back({at_++, indentation_});
  if (open_.size() <= max_bracket_depth) return;
  report("N107", span(open_.back().offset, 1), fmt::format("brackets nest more than {} deep", max_bracket_depth),
         "give the inner part a name with `block` or `let`");
  stop();
}

void Scanner::close_bracket() {
  const char closer = text_[at_];
  if (open_.empty()) {
    report("N106", span(at_, 1), fmt::format("`{}` closes nothing", closer), "remove it, or open its bracket above");
    return stop();
  }
  const Bracket bracket = open_.back();
  const char opener = text_[bracket.offset];
  if (closer != (opener == '(' ? ')' : opener == '[' ? ']' : '}')) {
    report("N106", span(at_, 1), fmt::format("`{}` does not close `{}`", closer, opener), "",
           {{"opened here", span(bracket.offset, 1)}});
    return stop();
  }
  // In a file that is indented, a `}` to the left of the line that opened it is the `}` of something further out.
  const bool leads_line = at_ == line_ + indentation_;
  if (closer == '}' && leads_line && indentation_ < bracket.indentation && !suspect_) suspect_ = bracket;
  open_.pop_back();
  ++at_;
}

void Scanner::report_open_brackets() {
  const std::size_t end = text_.find_last_not_of(" \t\r\n");
  const std::size_t opener = open_.back().offset;
  std::vector<Note> notes = {{"opened here", span(opener, 1)}};
  if (suspect_) {
    notes.push_back({"or this `{` misses its `}`: the one it got stands further left", span(suspect_->offset, 1)});
  }
  report("N106", span(end, 1), fmt::format("the file ends inside `{}`", text_[opener]), "", std::move(notes));
}

Span Scanner::span(std::size_t begin, std::size_t length) const {
  return {&source_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(begin + length)};
}

void Scanner::report(const char* code, const Span& place, std::string message, std::string help,
                     std::vector<Note> notes) {
  clean_ = false;
  diagnostics_.add({code, place, std::move(message), "", std::move(notes), std::move(help)});
}

// ---- Names ----------------------------------------------------------------------------------------------------------

void report_name(const char* code, const Span& name, std::string_view problem, Diagnostics& diagnostics) {
  const std::string_view text = name.text();
  const std::string shown = text.size() > max_name_length ? fmt::format("{}…", text.substr(0, 20)) : std::string(text);
  diagnostics.add({code, name, fmt::format("`{}` {}", shown, problem), "", {}, "choose another name"});
}

/// What names and labels share. Returns false when it reported.
bool check_spelling(const Span& name, Diagnostics& diagnostics) {
  const std::string_view text = name.text();
  const bool kept_by_cpp = text.find("__") != std::string_view::npos ||
                           (text.size() > 1 && text[0] == '_' && text[1] >= 'A' && text[1] <= 'Z');
  if (text.size() > max_name_length) {
    report_name("N103", name, fmt::format("has {} characters, more than {}", text.size(), max_name_length),
                diagnostics);
  } else if (kept_by_cpp) {
    report_name("N103", name, "is of a form that C++ keeps for itself", diagnostics);
  } else if (contains(cpp_words, text)) {
    report_name("N104", name, "is reserved in C++", diagnostics);
  } else {
    return true;
  }
  return false;
}

}  // namespace

bool scan(const Source& source, Diagnostics& diagnostics) {
  return Scanner(source, diagnostics).run();
}

bool check_size(const Source& source, Diagnostics& diagnostics) {
  if (source.text.size() <= max_file_size) return true;
  diagnostics.add({"N107",
                   {&source, 0, 0},
                   fmt::format("the file has more than {} bytes", max_file_size),
                   "",
                   {},
                   source.path.ends_with(".tiles") ? "" : "write `repeat` and `block` in place of copies"});
  return false;
}

const std::vector<std::string>& statement_words() {
  static const std::vector<std::string> words{"let",   "input", "output", "shared", "expect", "loss",       "init",
                                              "train", "add",   "concat", "from",   "repeat", "sequential", "if"};
  return words;
}

void check_name(const Span& name, Diagnostics& diagnostics) {
  if (!check_spelling(name, diagnostics)) return;
  if (contains(language_words, name.text())) report_name("N104", name, "is a word of the language", diagnostics);
}

void check_label(const Span& label, Diagnostics& diagnostics) {
  if (!check_spelling(label, diagnostics)) return;
  const std::string_view text = label.text();
  const bool is_number = match_digits(text).size() == text.size();
  if (is_digit(text[0]) && !is_number) report_name("N103", label, "is neither a name nor a number", diagnostics);
}

// ---- Tokens ---------------------------------------------------------------------------------------------------------

std::string_view match_blanks(std::string_view text) {
  std::size_t end = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
  const auto is_blank = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  for (;;) {
    end += count_while(text, end, is_blank);
    if (!text.substr(end).starts_with("//")) return text.substr(0, end);
    end = std::min(text.find('\n', end), text.size());
  }
}

std::string_view match_word(std::string_view text) {
  return text.substr(0, count_while(text, 0, is_word));
}

std::string_view match_identifier(std::string_view text) {
  return begins_digits(text, 0) ? std::string_view{} : match_word(text);
}

std::string_view match_name(std::string_view text) {
  const std::string_view word = match_identifier(text);
  return contains(language_words, word) || contains(cpp_words, word) ? std::string_view{} : word;
}

std::string_view match_boolean(std::string_view text) {
  const std::string_view word = match_word(text);
  return word == "true" || word == "false" ? word : std::string_view{};
}

std::string_view match_number(std::string_view text) {
  std::size_t end = count_while(text, 0, is_digit);
  if (end == 0) return {};
  if (text.substr(end).starts_with('.') && begins_digits(text, end + 1))
    end += 1 + count_while(text, end + 1, is_digit);
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    std::size_t digits = end + 1;
    if (digits < text.size() && (text[digits] == '-' || text[digits] == '+')) ++digits;
    if (begins_digits(text, digits)) end = digits + count_while(text, digits, is_digit);
  }
  return end < text.size() && is_letter(text[end]) ? std::string_view{} : text.substr(0, end);
}

std::string_view match_string(std::string_view text) {
  if (!text.starts_with('"')) return {};
  for (std::size_t i = 1; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '"') return text.substr(0, i + 1);
    if (text[i] == '\\') ++i;
  }
  return {};
}

std::string_view match_path(std::string_view text) {
  std::size_t end = count_while(text, 0, is_word);
  while (end > 0 && end + 1 < text.size() && text[end] == '.' && is_word(text[end + 1])) {
    end += 1 + count_while(text, end + 1, is_word);
  }
  return text.substr(0, end);
}

std::string_view match_digits(std::string_view text) {
  return text.substr(0, count_while(text, 0, is_digit));
}

std::string_view match_infix(std::string_view text) {
  if (text.starts_with("->") || text.starts_with("**")) return {};
  // The longer first.
  for (const std::string_view infix : {"||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^"}) {
    if (text.starts_with(infix)) return text.substr(0, infix.size());
  }
  return {};
}

std::string_view match_prefix(std::string_view text) {
  const bool is_minus = text.starts_with('-') && !text.starts_with("->");
  const bool is_not = text.starts_with('!') && !text.starts_with("!=");
  return is_minus || is_not ? text.substr(0, 1) : std::string_view{};
}

std::string_view match_label(std::string_view text) {
  const std::string_view word = match_word(text);
  return following(text, word).starts_with(':') ? word : std::string_view{};
}

std::string_view match_argument_name(std::string_view text) {
  const std::string_view word = match_identifier(text);
  const std::string_view next = following(text, word);
  return next.starts_with('=') && !next.starts_with("==") ? word : std::string_view{};
}

std::string_view match_equation_head(std::string_view text) {
  const std::string_view word = match_identifier(text);
  return following(text, word).starts_with('[') ? word : std::string_view{};
}

std::string_view match_range_index(std::string_view text) {
  const std::string_view word = match_identifier(text);
  return match_word(following(text, word)) == "in" ? word : std::string_view{};
}

std::string_view match_unpacking(std::string_view text) {
  if (!text.starts_with('(')) return {};
  std::string_view rest = text;
  do {
    rest = following(rest, rest.substr(0, 1));
    const std::string_view word = match_identifier(rest);
    if (word.empty()) return {};
    rest = following(rest, word);
  } while (rest.starts_with(','));
  if (!rest.starts_with(')') || match_word(following(rest, ")")) != "in") return {};
  return text.substr(0, text.size() - rest.size() + 1);
}

}  // namespace netc
