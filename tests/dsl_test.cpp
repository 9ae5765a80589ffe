// The language's text, syntax tree and diagnostics; what values and shapes mean is tested with the elaboration.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "compiler/elaborate/elaborate.h"
#include "compiler/elaborate/imports.h"
#include "compiler/formula/examples.h"
#include "dsl/ast.h"
#include "dsl/lexical.h"
#include "dsl/utf8.h"

namespace netc {
namespace {

namespace fs = std::filesystem;
using ast::Kind;
using ast::Node;

// ---- Helpers --------------------------------------------------------------------------------------------------------

/// A parsed text with all that its spans need.
struct Parsed {
  Source source;
  Diagnostics diagnostics;
  Node tree;

  explicit Parsed(std::string text) : source("t.net", std::move(text)), tree(parse(source, diagnostics)) {}
};

std::string expression(const std::string& text) {
  const Source source("e", text);
  Diagnostics diagnostics;
  const Node tree = parse_expression(source, diagnostics);
  if (diagnostics.has_errors()) return diagnostics.text();
  std::string line = print(tree);
  line.pop_back();
  return line;
}

/// The dump of `text`, or what netc says about it.
std::string dump(const std::string& text) {
  const Parsed parsed(text);
  return parsed.diagnostics.has_errors() ? parsed.diagnostics.text() : print(parsed.tree);
}

std::string in_model(const std::string& statements) {
  return "model m {\n" + statements + "\n}\n";
}

/// "N101 N104": the codes said about `text`, in the order in which they were found.
std::string codes(const std::string& text) {
  const Parsed parsed(text);
  std::string result;
  for (const Diagnostic& diagnostic : parsed.diagnostics.all()) {
    result += (result.empty() ? "" : " ") + diagnostic.code;
  }
  return result;
}

std::string first_message(const std::string& text) {
  const Parsed parsed(text);
  return parsed.diagnostics.all().empty() ? "" : parsed.diagnostics.all()[0].message;
}

std::string first_help(const std::string& text) {
  const Parsed parsed(text);
  return parsed.diagnostics.all().empty() ? "" : parsed.diagnostics.all()[0].help;
}

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

const Node* find(const Node& node, Kind kind) {
  if (node.kind == kind) return &node;
  for (const Node& inner : node.children) {
    if (const Node* found = find(inner, kind)) return found;
  }
  return nullptr;
}

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> example_files() {
  std::vector<std::string> result;
  for (const char* folder : {"models", "tests/errors"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() == ".net") result.push_back(entry.path().string());
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

Span span_of(const Source& source, const std::string& word) {
  const auto begin = static_cast<std::uint32_t>(source.text.find(word));
  return {&source, begin, begin + static_cast<std::uint32_t>(word.size())};
}

// ---- Sources --------------------------------------------------------------------------------------------------------

TEST_CASE("columns count code points, lines count line feeds") {
  const Source source("a.net", "relu;\n  卷积 größe\r\n\tlast");
  CHECK(location(span_of(source, "größe")) == "a.net:2:6");
  CHECK(location(span_of(source, "last")) == "a.net:3:2");
  CHECK(line_text(span_of(source, "卷积")) == "  卷积 größe");
  CHECK(line_text(span_of(source, "last")) == "\tlast");
  CHECK(span_of(source, "größe").text() == "größe");
}

TEST_CASE("a byte order mark takes no column") {
  const Source source("a.net", "\xef\xbb\xbfrelu");
  CHECK(location(span_of(source, "relu")) == "a.net:1:1");
  CHECK(line_text(span_of(source, "relu")) == "relu");
  CHECK(location({&source, 0, 0}) == "a.net:1:1");
}

TEST_CASE("a place at or beyond the end is the end") {
  const Source source("a.net", "relu\n");
  CHECK(location({&source, 5, 5}) == "a.net:2:1");
  CHECK(location({&source, 900, 901}) == "a.net:2:1");
  CHECK(line_text({&source, 4, 4}) == "relu");
  CHECK(Span{&source, 900, 901}.text().empty());
  CHECK(location({}).empty());
}

TEST_CASE("UTF-8 is decoded strictly") {
  CHECK(decode("a").value == U'a');
  CHECK(decode("é").length == 2);
  CHECK(decode("卷").value == U'卷');
  CHECK(decode("😀").value == U'😀');
  const char* const wrong[] = {"\x80",         "\xc3",         "\xc0\x80",         "\xe0\x80\x80",
                               "\xed\xa0\x80", "\xf0\x80\x80", "\xf4\x90\x80\x80", "\xff"};
  for (const char* bytes : wrong) CHECK(decode(bytes).length == 0);
}

// ---- Diagnostics ----------------------------------------------------------------------------------------------------

TEST_CASE("a diagnostic is rendered in clang's form") {
  const Source source("resnet18.net", "block b {\n  add {\n    relu;\n  }\n}\n");
  const std::string whole = "add {\n    relu;\n  }";
  Diagnostics diagnostics;
  diagnostics.add({"N201",
                   span_of(source, whole),
                   "add: the branches differ in shape",
                   "[N,8] from the first branch",
                   {{"in b(), called at resnet18.net:9:3", {}}, {"the other branch", span_of(source, "relu")}},
                   "give both branches one shape"});
  CHECK(diagnostics.text() ==
        "resnet18.net:2:3: error[N201]: add: the branches differ in shape\n"
        "2 |   add {\n"
        "  |   ^~~ [N,8] from the first branch\n"
        "note: in b(), called at resnet18.net:9:3\n"
        "resnet18.net:3:5: note: the other branch\n"
        "3 |     relu;\n"
        "  |     ^~~~\n"
        "help: give both branches one shape\n");
}

TEST_CASE("carets stand behind wide characters and tabs") {
  const Source source("t", "\"卷积\"\tbad");
  Diagnostics diagnostics;
  diagnostics.add({"W402", span_of(source, "bad"), "unused", "", {}, ""});
  CHECK(diagnostics.text() == "t:1:6: warning[W402]: unused\n1 | \"卷积\"\tbad\n  |       \t^~~\n");
  CHECK_FALSE(diagnostics.has_errors());
}

TEST_CASE("a long line is cut around the caret, without cutting a code point") {
  const Source source("t", repeated("卷", 100) + "bad" + repeated("积", 100));
  Diagnostics diagnostics;
  diagnostics.add({"N101", span_of(source, "bad"), "wrong", "", {}, ""});
  const std::string blanks(41, ' ');
  CHECK(diagnostics.text() == "t:1:101: error[N101]: wrong\n1 | …" + repeated("卷", 20) + "bad" + repeated("积", 33) +
                                  "…\n  | " + blanks + "^~~\n");
}

TEST_CASE("what would confuse a terminal is replaced") {
  const Source source("t", "a\x1b[31m\xe2\x80\xae\xff b");
  Diagnostics diagnostics;
  diagnostics.add({"N102", span_of(source, "b"), "wrong", "", {}, ""});
  CHECK(diagnostics.text() == "t:1:10: error[N102]: wrong\n1 | a�[31m�� b\n  |          ^\n");
}

TEST_CASE("a diagnostic without a place has no excerpt") {
  Diagnostics diagnostics;
  diagnostics.add({"N133", {}, "no model in this file", "", {}, "add model name { … }"});
  CHECK(diagnostics.text() == "error[N133]: no model in this file\nhelp: add model name { … }\n");
}

TEST_CASE("one report a place and code, ordered by place") {
  const Source source("t", "one two");
  Diagnostics diagnostics;
  diagnostics.add({"N108", span_of(source, "two"), "second", "", {}, ""});
  diagnostics.add({"N108", span_of(source, "one"), "first", "", {}, ""});
  diagnostics.add({"N108", span_of(source, "one"), "again", "", {}, ""});
  diagnostics.add({"N111", span_of(source, "one"), "another", "", {}, ""});
  CHECK(diagnostics.all().size() == 3);
  const std::string text = diagnostics.text();
  CHECK(text.find("first") < text.find("another"));
  CHECK(text.find("another") < text.find("second"));
  CHECK(text.find("again") == std::string::npos);
}

TEST_CASE("20 errors are kept; warnings do not count") {
  const Source source("t", std::string(100, 'x'));
  Diagnostics diagnostics;
  for (std::uint32_t i = 0; i < 50; ++i) {
    CHECK(diagnostics.full() == (i >= 20));
    diagnostics.add({"W402", {&source, i, i + 1}, "w", "", {}, ""});
    diagnostics.add({"N101", {&source, i, i + 1}, "e", "", {}, ""});
  }
  CHECK(diagnostics.all().size() == 70);
}

TEST_CASE("a diagnostic without a code is of the command line") {
  Diagnostics diagnostics;
  diagnostics.add({"", {}, "cannot read m.net: Is a directory", "", {}, ""});
  CHECK(diagnostics.has_errors());
  CHECK(diagnostics.text() == "error: cannot read m.net: Is a directory\n");
}

TEST_CASE("diagnostics as JSON") {
  const Source source("a\xff.net", "x\n  relu\n");
  Diagnostics diagnostics;
  diagnostics.add({"N108", span_of(source, "relu"), "m", "l", {{"n", span_of(source, "x")}, {"o", {}}}, "h"});
  diagnostics.add({"W402", {}, "w", "", {}, ""});
  const auto json = nlohmann::json::parse(diagnostics.json());
  REQUIRE(json.size() == 2);
  CHECK(json[0] == nlohmann::json::parse(R"({"code": "N108", "severity": "error", "file": "a\ufffd.net", "line": 2,
      "column": 3, "message": "m", "label": "l", "help": "h",
      "notes": [{"message": "n", "file": "a\ufffd.net", "line": 1, "column": 1}, {"message": "o"}]})"));
  CHECK(json[1]["severity"] == "warning");
  CHECK_FALSE(json[1].contains("line"));
  CHECK(nlohmann::json::parse(Diagnostics().json()).empty());
}

TEST_CASE("near misses") {
  const std::vector<std::string> names = {"conv", "relu", "batchnorm", "add", "i"};
  CHECK(did_you_mean("rleu", names) == "did you mean `relu`?");
  CHECK(did_you_mean("conv2d", names) == "did you mean `conv`?");
  CHECK(did_you_mean("BatchNorm2d", names) == "did you mean `batchnorm`?");
  CHECK(did_you_mean("ReLU", names) == "did you mean `relu`?");
  CHECK(did_you_mean("ad", names) == "did you mean `add`?");
  CHECK(did_you_mean("xyz", names).empty());
  CHECK(did_you_mean("relu", {"relu"}).empty());
  CHECK(did_you_mean("x", {}).empty());
  CHECK(did_you_mean("x", names).empty());
  CHECK(did_you_mean("I", names) == "did you mean `i`?");
}

TEST_CASE("an explanation begins with its code and says what to do") {
  CHECK(explanation("N999").empty());
  for (const char* code : {"N101", "N109", "N133", "N201", "N301", "W401"}) {
    CHECK(explanation(code).starts_with(std::string(code) + ": "));
    CHECK(explanation(code).find("\nFix: ") != std::string::npos);
  }
}

// ---- Text -----------------------------------------------------------------------------------------------------------

TEST_CASE("byte order mark, CRLF, tabs, comments and UTF-8 in comments and strings") {
  const std::string expected = dump("import \"größe.net\";\nlet a = 1;\n");
  CHECK(expected == "file\n  import \"größe.net\"\n  let a: 1\n");
  CHECK(dump("\xef\xbb\xbfimport \"größe.net\";\r\n\tlet a = 1; // 卷积 }\r\n") == expected);
  CHECK(dump("// only a comment") == "file\n");
  CHECK(dump("") == "file\n");
  CHECK(dump(";;\n;") == "file\n");
}

TEST_CASE("what is no text is refused, also in comments and strings") {
  CHECK(codes("// \xff\nlet a = 1;") == "N102");
  CHECK(codes("let a = \"\xc3\x28\";") == "N102");
  CHECK(codes(std::string("let a\0 = 1;", 11)) == "N102");
  CHECK(codes("let a = 1;\r") == "N102");
  CHECK(codes("let a = 1;\f") == "N102");
  CHECK(codes("// \xe2\x80\xae reversed\nlet a = 1;") == "N102");
  CHECK(codes("let a = \"\xe2\x81\xa6\";") == "N102");
  CHECK(first_message("// \xe2\x80\xae") == "a character that reorders the text around it, U+202E");
  CHECK(first_message("// \x07") == "a control character, U+0007");
}

TEST_CASE("a file in another encoding is reported once") {
  CHECK(codes("// gr\xf6\xdf"
              "e\n// f\xfcr\n") == "N102");
}

TEST_CASE("text beyond ASCII outside comments and strings") {
  CHECK(codes("let größe = 1; let 卷积 = 2; let é1é = 3;") == "N103 N103 N103 N103");
  CHECK(codes("let a = \xef\xbb\xbf 1;") == "N103");
}

TEST_CASE("strings") {
  CHECK(expression(R"("a\"b\\c")") == R"("a\"b\\c")");
  CHECK(expression("\"// no { comment\"") == "\"// no { comment\"");
  CHECK(codes("let a = \"open;\nlet b = 2;") == "N105");
  CHECK(codes("let a = \"open") == "N105");
  CHECK(codes("let a = \"end\\") == "N105 N105");
  CHECK(codes(R"(let a = "\n";)") == "N105");
}

TEST_CASE("string contents are unescaped in the tree") {
  const Parsed parsed(R"(import "a\"b\\c";)");
  REQUIRE_FALSE(parsed.diagnostics.has_errors());
  CHECK(parsed.tree.children[0].text == "a\"b\\c");
}

TEST_CASE("comments of other languages") {
  CHECK(codes("/* { [ \" */ let a = 1; # ' (\n let b = 2;") == "N101 N101");
  CHECK(first_help("# a") == "comments begin with // and end with the line");
}

TEST_CASE("brackets name what opened them") {
  CHECK(codes("let a = (1;") == "N106");
  CHECK(codes("let a = (1];") == "N106");
  CHECK(codes("let a = 1);") == "N106");
  CHECK(codes("model m { relu; }}") == "N106");
  const Parsed parsed("model m {\n  conv(3, 4;\n}\n");
  REQUIRE(parsed.diagnostics.all().size() == 1);
  const Diagnostic& diagnostic = parsed.diagnostics.all()[0];
  CHECK(location(diagnostic.span) == "t.net:3:1");
  REQUIRE(diagnostic.notes.size() == 1);
  CHECK(location(diagnostic.notes[0].span) == "t.net:2:7");
}

TEST_CASE("an unclosed brace is guessed from the indentation") {
  const Parsed parsed("block b() {\n  add {\n    relu;\n  tanh;\n}\nmodel m {\n  relu;\n}\n");
  REQUIRE(parsed.diagnostics.all().size() == 1);
  const Diagnostic& diagnostic = parsed.diagnostics.all()[0];
  CHECK(location(diagnostic.span) == "t.net:8:1");
  REQUIRE(diagnostic.notes.size() == 2);
  CHECK(location(diagnostic.notes[0].span) == "t.net:1:11");
  CHECK(location(diagnostic.notes[1].span) == "t.net:2:7");
}

// ---- Names and numbers ----------------------------------------------------------------------------------------------

TEST_CASE("names") {
  CHECK(codes("let a_1 = 1; let _b = 2; let A = 3; let " + std::string(64, 'x') + " = 4;").empty());
  CHECK(codes("let " + std::string(65, 'x') + " = 1;") == "N103");
  CHECK(codes("let a__b = 1; let _Big = 2;") == "N103 N103");
  CHECK(codes("let class = 1; let repeat = 2; let sequential = 3; let NULL = 4;") == "N104 N104 N104 N104");
  CHECK(codes("block add(if, c: int) { relu } model in { repeat for in 0..2 { relu } }") == "N104 N104 N104 N104");
  CHECK(codes("let 3a = 1;") == "N101");
}

TEST_CASE("labels may be numbers and words of the language") {
  CHECK(codes(in_model("0: relu; input: relu; add: relu; 10: relu; repeat: relu;")).empty());
  CHECK(codes(in_model("class: relu; 3x3: relu; a__b: relu; double: relu;")) == "N104 N103 N103 N104");
  CHECK(codes(in_model(std::string(65, '1') + ": relu;")) == "N103");
  CHECK(dump(in_model("0 : relu;\nfrom(0) -> tanh; output 0, input;")) ==
        "file\n  model m\n    body\n      sequence 0\n        op relu\n"
        "      sequence\n        chain\n          from 0\n          op tanh\n      output: 0, input\n");
}

TEST_CASE("numbers") {
  const auto number = [](const std::string& text) {
    const Source source("e", text);
    Diagnostics diagnostics;
    return parse_expression(source, diagnostics);
  };
  CHECK(number("12").is_int);
  CHECK(number("12").integer == 12);
  CHECK(number("9223372036854775807").integer == INT64_MAX);
  CHECK_FALSE(number("0.5").is_int);
  CHECK(number("0.5").real == 0.5);
  CHECK(number("1e-3").real == 1e-3);
  CHECK(number("2.5E+2").real == 250);
  for (const char* text : {"12a", ".5", "1.", "1e", "0x10", "1..", "1.e5"}) {
    CHECK(expression(text).find("error[N101]") != std::string::npos);
  }
  CHECK(expression("9223372036854775808").find("error[N109]") != std::string::npos);
  CHECK(expression("1e999").find("error[N109]") != std::string::npos);
  CHECK(first_help("let a = 1.;") == first_help("let a = 12abc;"));
}

// ---- Expressions ----------------------------------------------------------------------------------------------------

TEST_CASE("precedence") {
  CHECK(expression("1 + 2 * 3 - 4") == "(1 + (2 * 3) - 4)");
  CHECK(expression("a || b && c == d + e * f ^ g") == "(a || (b && (c == (d + (e * (f ^ g))))))");
  CHECK(expression("a * b / c % d") == "(a * b / c % d)");
  CHECK(expression("a < b && b <= c || !d") == "(((a < b) && (b <= c)) || (!d))");
}

TEST_CASE("powers are right-associative and bind tighter than a prefix on their left") {
  CHECK(expression("2 ^ 3 ^ 2") == "(2 ^ 3 ^ 2)");
  CHECK(expression("-a ^ b") == "(-(a ^ b))");
  CHECK(expression("(-a) ^ b") == "((-a) ^ b)");
  CHECK(expression("2 ^ -1") == "(2 ^ (-1))");
  CHECK(expression("2 ^ -a ^ b") == "(2 ^ (-(a ^ b)))");
  CHECK(expression("-2 ^ -a ^ -b") == "(-(2 ^ (-(a ^ (-b)))))");
  CHECK(expression("!-a * b") == "((!-a) * b)");
  CHECK(expression("a - -b") == "(a - (-b))");
}

TEST_CASE("tuples, elements, calls, conditions") {
  CHECK(expression("(1)") == "1");
  CHECK(expression("(1,)") == "(1,)");
  CHECK(expression("(1, (2, 3),)") == "(1, (2, 3))");
  CHECK(expression("t.0.1") == "t.0.1");
  CHECK(expression("t[i + 1].0") == "t[(i + 1)].0");
  CHECK(expression("x[n, c, h - 1]") == "x[n, c, (h - 1)]");
  CHECK(expression("min(a, b) + len(t)") == "(min(a, b) + len(t))");
  CHECK(expression("sgd(lr = 0.1, momentum = 0.9,)") == "sgd(lr = 0.1, momentum = 0.9)");
  CHECK(expression("sum[j](a[i, j] * x[j])") == "sum[j]((a[i, j] * x[j]))");
  CHECK(expression("f(a == b, c = d == e)") == "f((a == b), c = (d == e))");
  CHECK(expression("if a {1} else if b {2} else {3}") == "(if a {1} else if b {2} else {3})");
  CHECK(expression("if a {1} else {2} + 3") == "((if a {1} else {2}) + 3)");
  CHECK(expression("true && falsehood") == "(true && falsehood)");
}

TEST_CASE("what is no expression") {
  for (const char* text :
       {"", "1 +", "()", "(1 2)", "f(,)", "t.x", "3(4)", "a -> b", "a ** b", "a..b", "if a {1}", "in"}) {
    CAPTURE(text);
    CHECK(expression(text).find("error[N10") != std::string::npos);
  }
}

TEST_CASE("long expressions stay flat") {
  CHECK(codes("let a = " + repeated("1 + ", 20000) + "1;").empty());
  CHECK(codes("let a = " + repeated("1 ^ ", 20000) + "1;").empty());
  CHECK(codes("let a = " + repeated("-", 20000) + "1;").empty());
  CHECK(codes("let a = " + repeated("if a {1} else ", 20000) + "if a {1} else {2};").empty());
  CHECK(codes(in_model(repeated("relu -> ", 20000) + "relu;")).empty());
}

// ---- The whole language ---------------------------------------------------------------------------------------------

TEST_CASE("every kind of statement") {
  CHECK(dump(R"(
import "std/blocks.net";
let width = 3;
dist spiky = mix { 1/4: uniform(5, 10); 1/2: 0 }
dist narrow = uniform(-1, 1);
block b(c1, c2: (int, int), act = relu, eps: float = 1e-5) { act }
model m {
  input x: f32[N, 3, 8, 8];
  input y: u8[N];
  shared h = linear(8) -> relu;
  let s = if width == 3 {1} else {2};
  stem: conv(8, 3, pad = 1) -> { relu; tanh };
  repeat 2 { relu }
  repeat i in 0..4 { relu }
  repeat (n, c) in pairs { relu };
  if a { relu } else if b { tanh } else { identity }
  add { from(stem); identity }
  concat(axis = 1) { sequential { relu; } };
  expect [N, 8, 8, 8];
  output stem, x;
  loss cross_entropy(smoothing = 0.1);
  init conv, stem.1: weight = xavier_uniform, bias = 0;
  init stem.weight = spiky;
  train { data = fashion_mnist(resize = 96); batch = 256; }
}
)") == R"(file
  import "std/blocks.net"
  let width: 3
  dist spiky
    part: (1 / 4), uniform(5, 10)
    part: (1 / 2), 0
  dist narrow: uniform((-1), 1)
  block b
    parameter c1
    parameter c2: (int, int)
    parameter act: relu
    parameter eps: float, 1e-5
    body
      sequence
        op act
  model m
    body
      input x: f32[N, 3, 8, 8]
      input y: u8[N]
      shared h
        chain
          op linear: 8
          op relu
      let s: (if (width == 3) {1} else {2})
      sequence stem
        chain
          op conv: 8, 3, pad = 1
          group
            body
              sequence
                op relu
              sequence
                op tanh
      sequence
        repeat: 2
          body
            sequence
              op relu
      sequence
        repeat i: 0, 4
          body
            sequence
              op relu
      sequence
        repeat n, c: pairs
          body
            sequence
              op relu
      sequence
        if
          a
          body
            sequence
              op relu
          b
          body
            sequence
              op tanh
          body
            sequence
              op identity
      sequence
        add
          body
            sequence
              from stem
            sequence
              op identity
      sequence
        concat: axis = 1
          body
            sequence
              sequential
                body
                  sequence
                    op relu
      expect: N, 8, 8, 8
      output: stem, x
      loss
        op cross_entropy: smoothing = 0.1
      init
        selector conv
        selector stem.1
        rule weight: xavier_uniform
        rule bias: 0
      init
        selector stem.weight
        spiky
      train
        setting data: fashion_mnist(resize = 96)
        setting batch: 256
)");
}

TEST_CASE("layers, functions and examples") {
  CHECK(dump(R"(
fn mish(x, slope = 0.01) = x * tanh(log(1 + exp(x)));
fn mm(a: f32[m, k], b: f32[k, n]) { y[i, j] = sum[l](a[i, l] * b[l, j]); }
layer blur { y[n, c, h in 0..H/2] = x[n, c, 2 * h]; }
layer dense(out) {
  input x: f32[N, C];
  param w: f32[out, i] = uniform(-0.1, 0.1);
  param b: f32[out];
  let k = 2;
  y[n, o] = sum[i](x[n, i] * w[o, i]) + b[o];
}
example sum0(arange(4, shape = (2, 2))) == (2, 4);
)") == R"(file
  fn mish
    parameter x
    parameter slope: 0.01
    (x * tanh(log((1 + exp(x)))))
  fn mm
    parameter a: f32[m, k]
    parameter b: f32[k, n]
    body
      equation y: i, j, sum[l]((a[i, l] * b[l, j]))
  layer blur
    body
      equation y: n, c, h in 0..(H / 2), x[n, c, (2 * h)]
  layer dense
    parameter out
    body
      input x: f32[N, C]
      param w: f32[out, i], uniform((-0.1), 0.1)
      param b: f32[out]
      let k: 2
      equation y: n, o, (sum[i]((x[n, i] * w[o, i])) + b[o])
  example: (sum0(arange(4, shape = (2, 2))) == (2, 4))
)");
}

TEST_CASE("the type and the default of a parameter") {
  const Parsed parsed("block b(a, c: int, d = 1, e: int = 2) { relu }");
  REQUIRE_FALSE(parsed.diagnostics.has_errors());
  const auto& parameters = parsed.tree.children[0].children;
  CHECK(parameter_type(parameters[0]) == nullptr);
  CHECK(parameter_default(parameters[0]) == nullptr);
  CHECK(parameter_type(parameters[1])->text == "int");
  CHECK(parameter_default(parameters[1]) == nullptr);
  CHECK(parameter_type(parameters[2]) == nullptr);
  CHECK(parameter_default(parameters[2])->integer == 1);
  CHECK(parameter_type(parameters[3])->text == "int");
  CHECK(parameter_default(parameters[3])->integer == 2);
}

TEST_CASE("semicolons are optional before and after a brace, and stray ones do no harm") {
  const std::string expected = dump(in_model("repeat 2 { relu; }; tanh;"));
  CHECK(expected.starts_with("file\n"));
  CHECK(dump(in_model("repeat 2 { relu } tanh")) == expected);
  CHECK(dump(in_model(";; repeat 2 { ; relu;; };; tanh;;")) == expected);
  CHECK(codes(in_model("relu tanh;")) == "N101");
  CHECK(codes("let a = 1") == "N101");
}

TEST_CASE("every node knows its text") {
  const Parsed parsed(in_model("stem: conv(8, 3) -> relu ; // c\n  let s = (1 + t.0.1) * f(a)[2] ;"));
  REQUIRE_FALSE(parsed.diagnostics.has_errors());
  const auto text = [&](Kind kind) { return std::string(find(parsed.tree, kind)->span.text()); };
  CHECK(text(Kind::sequence) == "stem: conv(8, 3) -> relu");
  CHECK(text(Kind::chain) == "conv(8, 3) -> relu");
  CHECK(text(Kind::op) == "conv(8, 3)");
  CHECK(text(Kind::argument) == "8");
  CHECK(text(Kind::let) == "let s = (1 + t.0.1) * f(a)[2]");
  CHECK(text(Kind::binary) == "(1 + t.0.1) * f(a)[2]");
  CHECK(text(Kind::field) == "t.0.1");
  CHECK(find(find(parsed.tree, Kind::field)->children[0], Kind::field)->span.text() == "t.0");
  CHECK(text(Kind::index) == "f(a)[2]");
  CHECK(text(Kind::call) == "f(a)");
  const std::function<void(const Node&)> check = [&](const Node& node) {
    CHECK(static_cast<bool>(node.span));
    for (const Node& inner : node.children) {
      CHECK(inner.span.begin >= node.span.begin);
      CHECK(inner.span.end <= node.span.end);
      check(inner);
    }
  };
  check(parsed.tree);
}

// ---- Errors and recovery --------------------------------------------------------------------------------------------

TEST_CASE("one run reports the errors of many statements") {
  const Parsed parsed(
      in_model("conv(6, 5, pad = ) -> relu;\nlinear(120) -> sigmoid\nlinear(84);\n"
               "repeat i in 0..4 relu;\nif x = 3 { relu }\ntanh x;\ntrain { batch 3; epochs 4; seed = 1 }"));
  std::string places;
  for (const Diagnostic& diagnostic : parsed.diagnostics.all()) {
    CHECK(diagnostic.code == "N101");
    places += location(diagnostic.span) + " ";
  }
  CHECK(places == "t.net:2:18 t.net:3:23 t.net:5:18 t.net:6:6 t.net:7:6 t.net:8:15 t.net:8:25 ");
}

TEST_CASE("an error in a definition leaves the next one alone") {
  CHECK(codes("block a(b c) { relu }\nblock b() { relu tanh; }\nlet x = ;\nmodel m { relu }") == "N101 N101 N101");
  CHECK(codes("let x = \nblock a() { relu }\nlet y = ;") == "N101 N101");
  CHECK(codes("conv(3);\nmodel m { relu relu; }") == "N101 N101");
}

TEST_CASE("messages say what was expected and what was found") {
  CHECK(first_message(in_model("conv(6 5);")) == "expected `,` or `)`, found `5`");
  CHECK(first_message(in_model("conv(, 5);")) == "expected `)` or an argument, found `,`");
  CHECK(first_message(in_model("relu -> ;")) == "expected an operator, a block or `{`, found `;`");
  CHECK(first_message(in_model("init conv weight = 3;")) == "expected `:` or `=`, found `weight`");
  CHECK(first_message(in_model("input x f32[N];")) == "expected `:`, found `f32`");
  CHECK(first_message("model {}") == "expected a name, found `{`");
  CHECK(first_message("import blocks;") == "expected a string in double quotes, found `blocks`");
  CHECK(first_message("dist d = mix { 1/2 }") == "expected `:`, found `}`");
  CHECK(first_message("dist d = mix { }") == "expected a part such as 1/2: uniform(0, 1), found `}`");
  CHECK(first_message("dist d = mix { ; }") == "expected a part such as 1/2: uniform(0, 1), found `}`");
  CHECK(first_message("layer l { relu; }") ==
        "expected param, input, let or an equation such as y[n, c] = …, found `relu`");
  CHECK(first_message("let a = 1") == "expected `;`, found the end of the file");
}

TEST_CASE("habits from other languages get help") {
  CHECK(first_help("let a = 2 ** 3;") == "powers are written with ^");
  CHECK(first_help("let a = b and c;") == "logic is written && || !");
  CHECK(first_help("let a = 'b';") == "strings stand in double quotes");
  CHECK(first_help(in_model("x = 3;")) == "values are declared with `let name = …;`");
  CHECK(first_help(in_model("if a = 3 { relu }")) == "a comparison is written ==");
  CHECK(first_help(in_model("relu; -> tanh;")) == "a chain goes on in its statement: remove the `;` before `->`");
  CHECK(first_help(in_model("relu + tanh;")) == "branches are added with add { …; … }");
  CHECK(first_help(in_model("for i in 0..3 { relu }")) == "loops are written `repeat i in 0..4 { … }`");
  CHECK(first_help(in_model("else { relu }")) == "`else` follows the `}` of its `if` directly");
  CHECK(first_help(in_model("train { batch = 3, epochs = 4 }")) == "statements and settings end with `;`");
  CHECK(first_help("conv(3);") == "layers stand in a model or a block");
}

TEST_CASE("misspelt words of the language are recognized where a statement begins") {
  CHECK(first_help("modle m { relu }") == "did you mean `model`?");
  CHECK(first_help(in_model("inptu x: f32[N];")) == "did you mean `input`?");
  CHECK(first_help(in_model("relu; repaet 3 { relu }")) == "did you mean `repeat`?");
  CHECK(first_help("layer l { parma w: f32[c]; }") == "did you mean `param`?");
  CHECK(first_help(in_model("relu tanh;")).empty());
  CHECK(first_help(in_model("relu -> inptu x;")).empty());
  CHECK(first_help(in_model("inptu\nrelu;")).empty());
}

TEST_CASE("a missing semicolon is shown at the end of its line") {
  const Parsed parsed(in_model("linear(3) -> relu // c\nlinear(4);"));
  REQUIRE(parsed.diagnostics.all().size() == 1);
  CHECK(location(parsed.diagnostics.all()[0].span) == "t.net:2:18");
}

TEST_CASE("20 errors end the parse") {
  CHECK(Parsed(in_model(repeated("relu relu;\n", 100))).diagnostics.all().size() == 20);
  CHECK(Parsed(repeated("\x01", 100)).diagnostics.all().size() == 20);
}

// ---- Limits ---------------------------------------------------------------------------------------------------------

TEST_CASE("brackets nest 256 deep") {
  const auto nested = [](const std::string& open, const std::string& close, int depth) {
    return repeated(open, depth) + "1" + repeated(close, depth);
  };
  CHECK(codes("let a = " + nested("(", ")", 256) + ";").empty());
  CHECK(codes("let a = " + nested("(", ")", 257) + ";") == "N107");
  CHECK(codes("let a = " + nested("f(", ")", 256) + ";").empty());
  CHECK(codes("let a = " + nested("a[", "]", 256) + ";").empty());
  CHECK(codes("let a = " + nested("if a {", "} else {2}", 256) + ";").empty());
  CHECK(codes("model m " + repeated("{", 256) + "relu" + repeated("}", 256)).empty());
  CHECK(codes("model m " + repeated("{", 257) + "relu" + repeated("}", 257)) == "N107");
  CHECK(codes(in_model(repeated("if a { } else {", 255) + repeated("}", 255))).empty());
}

TEST_CASE("what nests without brackets has limits of its own") {
  CHECK(codes("let a = t" + repeated(".0", 8) + ";").empty());
  CHECK(codes("let a = t" + repeated(".0", 9) + ";") == "N107");
  CHECK(codes("let a = 1" + repeated(" ^ -1", 8) + ";").empty());
  CHECK(codes("let a = 1" + repeated(" ^ -1", 20) + ";") == "N107");
  CHECK(codes("let a = " + repeated("1 + 2 * -3 ^ -f(", 250) + "1" + repeated(").0.0", 250) + ";") == "N107");
}

TEST_CASE("a file holds 4 MB") {
  CHECK(codes(std::string(max_file_size, ' ')).empty());
  CHECK(codes(std::string(max_file_size + 1, ' ')) == "N107");
}

// ---- Robustness -----------------------------------------------------------------------------------------------------

/// Parses any bytes; everything said must have a place in the text.
void check_any(const std::string& text) {
  const Parsed parsed(text);
  for (const Diagnostic& diagnostic : parsed.diagnostics.all()) {
    const bool inside = diagnostic.span.source == &parsed.source && diagnostic.span.begin <= diagnostic.span.end &&
                        diagnostic.span.end <= text.size();
    if (!inside) FAIL_CHECK("a diagnostic outside of the text: " << diagnostic.message << "\n" << text);
  }
  const std::string said = parsed.diagnostics.text();
  if (parsed.diagnostics.has_errors() == said.empty()) FAIL_CHECK("no word about: " << text);
  if (!parsed.diagnostics.has_errors()) print(parsed.tree);
}

TEST_CASE("every beginning of every example is parsed or refused") {
  const std::vector<std::string> files = example_files();
  REQUIRE_FALSE(files.empty());
  for (const std::string& file : files) {
    const std::string text = read(file);
    CAPTURE(file);
    for (std::size_t length = 0; length <= text.size(); ++length) check_any(text.substr(0, length));
  }
}

TEST_CASE("mutations of every example are parsed or refused") {
  const std::string pieces[] = {"{",   "}",   "(",     ")",       "[",    "]",      ";",      ",",       "->",
                                "..",  ".",   ":",     "=",       "==",   "\"",     "//",     "/*",      "^",
                                "-",   "!",   "0",     "1e9",     "卷",   "\xff",   "\r",     "\\",      "\n",
                                "in ", "if ", "else ", "repeat ", "add ", "model ", "block ", "train {", "-1^-"};
  std::mt19937 random(7);
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
  for (const std::string& file : example_files()) {
    const std::string original = read(file);
    CAPTURE(file);
    for (int round = 0; round < 200; ++round) {
      std::string text = original;
      for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
        const std::size_t at = below(text.size() + 1);
        switch (below(4)) {
          case 0:
            text.insert(at, pieces[below(std::size(pieces))]);
            break;
          case 1:
            text.erase(at, below(8));
            break;
          case 2:
            text.insert(at, text.substr(below(text.size() + 1), below(100)));
            break;
          default:
            text.insert(at, 1, static_cast<char>(below(256)));
        }
      }
      check_any(text);
    }
  }
}

// ---- The reference --------------------------------------------------------------------------------------------------

/// The text of the blocks of `language` in a Markdown file.
std::vector<std::string> code_blocks(const std::string& markdown, const std::string& language) {
  const std::string fence = "```" + language + "\n";
  std::vector<std::string> result;
  for (std::size_t at = markdown.find(fence); at != std::string::npos; at = markdown.find(fence, at)) {
    at += fence.size();
    result.push_back(markdown.substr(at, markdown.find("```", at) - at));
  }
  return result;
}

/// Compiles a file up to its graph, and computes its examples.
void check_compiles(const std::string& text) {
  Parsed parsed(text);
  REQUIRE_MESSAGE(!parsed.diagnostics.has_errors(), parsed.diagnostics.text());
  std::vector<std::unique_ptr<Source>> sources;
  const std::string std_folder = fs::absolute("models/std").string();
  Reporter reporter(parsed.diagnostics);
  Imports imports(std_folder, sources, parsed.diagnostics, reporter);
  const Environment& environment = imports.load(parsed.tree, parsed.source);
  const std::vector<TensorFunction> functions = read_functions(parsed.tree, environment, reporter);
  check_examples(parsed.tree, environment, functions, reporter);
  const auto is_model = [](const ast::Node& node) { return node.kind == ast::Kind::model; };
  if (functions.empty() || std::any_of(parsed.tree.children.begin(), parsed.tree.children.end(), is_model)) {
    elaborate(parsed.tree, parsed.source, {.set = {}, .std_folder = std_folder}, sources, parsed.diagnostics);
  }
  CHECK_MESSAGE(!parsed.diagnostics.has_errors(), parsed.diagnostics.text());
}

TEST_CASE("every example of the language reference and of the tour compiles") {
  for (const char* file : {"dsl/README.md", "docs/tour.md"}) {
    const std::vector<std::string> blocks = code_blocks(read(file), "net");
    REQUIRE(blocks.size() >= 5);
    for (const std::string& block : blocks) {
      CAPTURE(block);
      check_compiles(block);
    }
  }
}

}  // namespace
}  // namespace netc
