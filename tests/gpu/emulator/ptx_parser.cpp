// From the text of PTX to `Module`.
#include <fmt/format.h>

#include <charconv>

#include "lexer.h"
#include "ptx.h"

namespace netc::emulator {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Module module();

 private:
  void directive();
  void version();
  void function(bool is_kernel);
  void parameters(Kernel& kernel);
  void body(Kernel& kernel);
  void body_directive(Kernel& kernel);
  void registers(Kernel& kernel);
  Variable variable(Space space);
  std::vector<std::uint8_t> initial_bytes(Type element);
  Statement statement();
  Operand operand();
  Operand simple_operand();
  Operand address();
  Operand list(std::string_view close);
  Operand number(bool negative);
  std::int64_t integer();
  Type type();
  void skip_line(int line);
  void skip_block();
  [[noreturn]] void fail(const Token& token, std::string_view expected) const;

  Lexer lexer_;
  Module module_;
};

void Parser::fail(const Token& token, std::string_view expected) const {
  throw PtxError(token.line, fmt::format("`{}` where {} belongs", token.text, expected));
}

Module Parser::module() {
  while (lexer_.peek().kind != Token::Kind::end) directive();
  if (module_.version == 0) throw PtxError(1, "no .version: this is no PTX");
  return std::move(module_);
}

void Parser::directive() {
  const Token word = lexer_.next();
  if (word.text == ".version") {
    version();
  } else if (word.text == ".target") {
    const Token target = lexer_.next();
    if (!target.text.starts_with("sm_")) fail(target, "sm_NUMBER");
    const std::string_view digits = target.text.substr(3);
    std::from_chars(digits.data(), digits.data() + digits.size(), module_.capability);
    skip_line(target.line);
  } else if (word.text == ".entry" || word.text == ".func") {
    function(word.text == ".entry");
  } else if (word.text == ".global" || word.text == ".const" || word.text == ".shared") {
    const Space space = word.text == ".const"    ? Space::constant
                        : word.text == ".shared" ? Space::shared
                                                 : Space::global;
    module_.variables.push_back(variable(space));
    lexer_.expect(";");
  } else if (word.text == ".section") {
    lexer_.next();
    skip_block();
  } else if (word.text == ".address_size" || word.text == ".file") {
    skip_line(word.line);
  } else if (word.text != ".visible" && word.text != ".weak" && word.text != ".extern") {
    fail(word, "a directive");
  }
}

void Parser::version() {
  const Token major = lexer_.next();
  const Token minor = lexer_.next();  // ".0"
  if (major.kind != Token::Kind::number || minor.text.size() != 2) fail(major, "a version");
  std::from_chars(major.text.data(), major.text.data() + major.text.size(), module_.version);
  module_.version = module_.version * 10 + (minor.text[1] - '0');
}

// Functions other than kernels are skipped: calling one is the error.
void Parser::function(bool is_kernel) {
  if (!is_kernel) {
    while (lexer_.peek().text != "{" && lexer_.peek().text != ";") lexer_.next();
    if (!lexer_.take(";")) skip_block();
    return;
  }
  Kernel kernel;
  kernel.name = lexer_.next().text;
  if (lexer_.take("(")) parameters(kernel);
  while (lexer_.peek().text != "{") lexer_.next();  // .maxntid and others that tune
  lexer_.expect("{");
  body(kernel);
  module_.kernels.push_back(std::move(kernel));
}

void Parser::parameters(Kernel& kernel) {
  while (!lexer_.take(")")) {
    lexer_.expect(".param");
    kernel.parameters.push_back(variable(Space::param));
    lexer_.take(",");
  }
}

void Parser::body(Kernel& kernel) {
  while (!lexer_.take("}")) {
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::end) fail(token, "`}`");
    if (token.text == "{") {
      lexer_.next();
      body(kernel);
    } else if (token.text.starts_with('.')) {
      body_directive(kernel);
    } else {
      Lexer ahead = lexer_;
      const std::string label(ahead.next().text);
      if (ahead.take(":")) {
        kernel.labels[label] = static_cast<int>(kernel.statements.size());
        lexer_ = ahead;
      } else {
        kernel.statements.push_back(statement());
      }
    }
  }
}

void Parser::body_directive(Kernel& kernel) {
  const Token word = lexer_.next();
  if (word.text == ".reg") {
    registers(kernel);
  } else if (word.text == ".shared" || word.text == ".local") {
    kernel.variables.push_back(variable(word.text == ".shared" ? Space::shared : Space::local));
    lexer_.expect(";");
  } else if (word.text == ".loc" || word.text == ".pragma") {
    skip_line(word.line);
  } else {
    fail(word, "a declaration or an instruction");
  }
}

// .reg .b32 %r<9>;  .reg .pred p, q;
void Parser::registers(Kernel& kernel) {
  const Type declared = type();
  do {
    const Token name = lexer_.next();
    if (lexer_.take("<")) {
      integer();
      lexer_.expect(">");
    }
    const auto [entry, is_new] = kernel.registers.try_emplace(std::string(name.text), declared);
    if (!is_new && entry->second != declared) fail(name, "a name not used before for registers of another type");
  } while (lexer_.take(","));
  lexer_.expect(";");
}

// .align 4 .b8 tile[1024] = {1, 2};  .u64 .ptr .global .align 1 kernel_param_0
Variable Parser::variable(Space space) {
  Variable result;
  result.space = space;
  Type element = Type::b8;
  while (lexer_.peek().text.starts_with('.')) {
    const Token word = lexer_.next();
    if (word.text == ".align") {
      result.alignment = integer();
    } else {
      parse_type(word.text.substr(1), &element);
    }
  }
  result.name = lexer_.next().text;
  std::int64_t count = 1;
  while (lexer_.take("[")) {
    count *= lexer_.peek().text == "]" ? 0 : integer();
    lexer_.expect("]");
  }
  result.bytes = count * size_of(element);
  if (space != Space::param) result.alignment = std::max<std::int64_t>(result.alignment, size_of(element));
  if (lexer_.take("=")) result.initial = initial_bytes(element);
  return result;
}

std::vector<std::uint8_t> Parser::initial_bytes(Type element) {
  std::vector<std::uint8_t> bytes;
  const Operand values = operand();
  const std::vector<Operand> one{values};
  for (const Operand& value : values.kind == Operand::Kind::list ? values.items : one) {
    for (int byte = 0; byte < size_of(element); ++byte) {
      bytes.push_back(static_cast<std::uint8_t>(value.bits >> (8 * byte)));
    }
  }
  return bytes;
}

Statement Parser::statement() {
  Statement result;
  const Token first = lexer_.peek();
  result.line = first.line;
  if (lexer_.take("@")) {
    result.guard_negated = lexer_.take("!");
    result.guard = lexer_.next().text;
  }
  const Token opcode = lexer_.next();
  if (opcode.kind != Token::Kind::word) fail(opcode, "an instruction");
  std::string_view rest = opcode.text;
  result.opcode = rest.substr(0, rest.find('.'));
  while (rest.find('.') != std::string_view::npos) {
    rest = rest.substr(rest.find('.') + 1);
    result.modifiers.emplace_back(rest.substr(0, rest.find('.')));
  }
  while (lexer_.peek().text != ";") {
    result.operands.push_back(operand());
    if (!lexer_.take(",")) break;
  }
  result.text = lexer_.text_since(first);
  lexer_.expect(";");
  return result;
}

Operand Parser::operand() {
  Operand first = simple_operand();
  if (!lexer_.take("|")) return first;
  Operand both;
  both.kind = Operand::Kind::list;
  both.items = {first, simple_operand()};
  return both;
}

Operand Parser::simple_operand() {
  if (lexer_.take("[")) return address();
  if (lexer_.take("{")) return list("}");
  if (lexer_.take("-")) return number(true);
  if (lexer_.peek().kind == Token::Kind::number) return number(false);
  const Token word = lexer_.next();
  if (word.kind != Token::Kind::word) fail(word, "an operand");
  Operand result;
  result.kind = word.text == "_" ? Operand::Kind::sink : Operand::Kind::name;
  result.name = word.text;
  return result;
}

Operand Parser::list(std::string_view close) {
  Operand result;
  result.kind = Operand::Kind::list;
  while (!lexer_.take(close)) {
    result.items.push_back(simple_operand());
    lexer_.take(",");
  }
  return result;
}

// [%rd1], [%rd1+-8], [name+8], [4096]
Operand Parser::address() {
  Operand result;
  result.kind = Operand::Kind::address;
  if (lexer_.peek().kind == Token::Kind::word) {
    result.name = lexer_.next().text;
    lexer_.take("+");
  }
  if (lexer_.peek().text != "]") result.bits = static_cast<std::uint64_t>(integer());
  lexer_.expect("]");
  return result;
}

Operand Parser::number(bool negative) {
  const Token token = lexer_.next();
  std::string_view digits = token.text;
  Operand result;
  result.kind = Operand::Kind::integer;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && digits[1] > '9') {
    if (digits[1] == 'f' || digits[1] == 'F') result.kind = Operand::Kind::float32;
    if (digits[1] == 'd' || digits[1] == 'D') result.kind = Operand::Kind::float64;
    base = digits[1] == 'b' ? 2 : 16;
    digits.remove_prefix(2);
  }
  if (digits.back() == 'U') digits.remove_suffix(1);
  const char* end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, result.bits, base).ptr != end) fail(token, "a number");
  if (negative) result.bits = ~result.bits + 1;
  return result;
}

std::int64_t Parser::integer() {
  const bool negative = lexer_.take("-");
  return static_cast<std::int64_t>(number(negative).bits);
}

Type Parser::type() {
  const Token token = lexer_.next();
  Type result{};
  if (!token.text.starts_with('.') || !parse_type(token.text.substr(1), &result)) fail(token, "a type");
  return result;
}

void Parser::skip_line(int line) {
  while (lexer_.peek().kind != Token::Kind::end && lexer_.peek().line == line) lexer_.next();
}

void Parser::skip_block() {
  lexer_.expect("{");
  for (int depth = 1; depth > 0;) {
    const Token token = lexer_.next();
    if (token.kind == Token::Kind::end) fail(token, "`}`");
    depth += token.text == "{" ? 1 : token.text == "}" ? -1 : 0;
  }
}

}  // namespace

Module parse_ptx(std::string_view text) {
  return Parser(text).module();
}

}  // namespace netc::emulator
