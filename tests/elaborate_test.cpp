// Elaboration of files that are right: values, paths, shared layers, clauses, options, imports, and the networks in
// models/. What wrong files get is in errors_test.cpp.
#include "compiler/elaborate/elaborate.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compiler/compilation.h"
#include "compiler/elaborate/paths.h"
#include "compiler/graph/operator.h"
#include "dsl/lexical.h"

namespace netc {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
using Settings = std::vector<std::pair<std::string, std::string>>;

struct Elaborated {
  Graph graph;
  std::string text;  // the diagnostics
  std::set<std::string> codes;
  std::shared_ptr<Source> source;
  std::vector<std::unique_ptr<Source>> imported;
};

Elaborated elaborate_text(const std::string& path, const std::string& text, const Settings& set = {}) {
  Elaborated result;
  result.source = std::make_shared<Source>(path, text);
  Diagnostics diagnostics;
  const ElaborateOptions options{.set = set, .std_folder = "models/std"};
  const ast::Node tree = parse(*result.source, diagnostics);
  if (!diagnostics.has_errors()) result.graph = elaborate(tree, *result.source, options, result.imported, diagnostics);
  result.text = diagnostics.text();
  for (const Diagnostic& diagnostic : diagnostics.all()) result.codes.insert(diagnostic.code);
  return result;
}

Elaborated elaborate_file(const fs::path& file, const Settings& set = {}) {
  std::ifstream in(file, std::ios::binary);
  return elaborate_text(file.string(), {std::istreambuf_iterator<char>(in), {}}, set);
}

/// A model of these statements on the input x: f32[N, 4].
Elaborated model(const std::string& statements, const Settings& set = {}, const std::string& definitions = "") {
  return elaborate_text("m.net", definitions + "\nmodel m {\n  input x: f32[N, 4];\n" + statements + "\n}\n", set);
}

/// The same, which must not give a diagnostic.
Graph clean(const std::string& statements, const std::string& definitions = "", const Settings& set = {}) {
  Elaborated result = model(statements, set, definitions);
  CHECK_MESSAGE(result.text.empty(), result.text);
  return std::move(result.graph);
}

Strings parameters(const Graph& graph) {
  Strings names;
  for (const Value& value : graph.values) {
    if (value.is_parameter()) names.push_back(value.name);
  }
  return names;
}

/// The paths of the layers that own parameters.
Strings layers(const Graph& graph) {
  Strings paths;
  for (const std::string& name : parameters(graph)) {
    const std::string path = name.substr(0, name.rfind('.'));
    if (paths.empty() || paths.back() != path) paths.push_back(path);
  }
  return paths;
}

std::int64_t parameter_count(const Graph& graph) {
  std::int64_t sum = 0;
  for (const Value& value : graph.values) sum += value.is_parameter() ? value.shape.elements() : 0;
  return sum;
}

const Value& named(const Graph& graph, const std::string& name) {
  const auto found =
      std::find_if(graph.values.begin(), graph.values.end(), [&](const Value& v) { return v.name == name; });
  REQUIRE_MESSAGE(found != graph.values.end(), name);
  return *found;
}

/// The output shapes of the nodes of operator `op`, in order.
Strings shapes(const Graph& graph, const std::string& op) {
  Strings result;
  for (const Node& node : graph.nodes) {
    if (node.op->name == op) result.push_back(to_string(graph[node.outputs[0]].shape));
  }
  return result;
}

Strings repeated(std::size_t times, const std::string& text) {
  return Strings(times, text);
}

// ---- Values ---------------------------------------------------------------------------------------------------------

/// The value of an expression that is a whole number from 1 on, seen as a layer's width.
std::int64_t width(const std::string& expression, const std::string& lets = "") {
  const Elaborated result = model(lets + "linear(" + expression + ");");
  REQUIRE_MESSAGE(!result.graph.outputs.empty(), result.text);
  REQUIRE_MESSAGE(result.graph.outputs[0] != no_value, result.text);
  return result.graph[result.graph.outputs[0]].shape[1];
}

TEST_CASE("expressions have the usual precedence") {
  CHECK(width("2 + 3 * 4") == 14);
  CHECK(width("(2 + 3) * 4") == 20);
  CHECK(width("2 ^ 3 ^ 2") == 512);
  CHECK(width("10 - -2 ^ 2") == 14);
  CHECK(width("20 - 5 - 3") == 12);
  CHECK(width("64 * 2 ^ 3 / 4") == 128);
  CHECK(width("if 1 + 1 == 2 && !(3 < 2) || false {7} else {8}") == 7);
  CHECK(width("if false {1} else if true {2} else {3}") == 2);
}

TEST_CASE("division is exact, and fractions cancel") {
  CHECK(width("1 / 3 * 9") == 3);
  CHECK(width("(1 / 2 + 1 / 3 + 1 / 6) * 5") == 5);
  CHECK(width("(1 / 2) ^ -3") == 8);
  CHECK(width("floor(7 / 2)") == 3);
  CHECK(width("4 - floor(-7 / 2)") == 8);
  CHECK(width("floor(3.7)") == 3);
  CHECK(width("if 1 / 3 == 2 / 6 {4} else {5}") == 4);
  CHECK(width("if 9007199254740993 > 9007199254740992.0 + 0 {4} else {5}") == 5);
  CHECK(width("if 9007199254740993 > 9007199254740992 {4} else {5}") == 4);
}

TEST_CASE("the remainder has the divisor's sign") {
  CHECK(width("7 % 3") == 1);
  CHECK(width("-7 % 3") == 2);
  CHECK(width("5 + 7 % -3") == 3);
  CHECK(width("floor(1 + 7.5 % 2)") == 2);
}

TEST_CASE("tuples, min, max and len") {
  const std::string lets = "let t = ((1, 64), (2, 128), (3, 32)); ";
  CHECK(width("t.1.1", lets) == 128);
  CHECK(width("t[2][0]", lets) == 3);
  CHECK(width("t[1, 1]", lets) == 128);
  CHECK(width("len(t)", lets) == 3);
  CHECK(width("max(t.0.1, 5, t.2.1)", lets) == 64);
  CHECK(width("min((8, 4, 6))") == 4);
  CHECK(width("if t.0 == (1, 64) && t.0 != t.1 {9} else {8}", lets) == 9);
  CHECK(width("if \"a\" == \"b\" {9} else {8}") == 8);
}

TEST_CASE("a value is looked at only when it is needed") {
  CHECK(width("if true {3} else {1 / 0}") == 3);
  CHECK(width("if true || 1 / 0 == 1 {3} else {4}") == 3);
}

TEST_CASE("numbers that leave 64 bits are errors, never wrapped") {
  for (const char* expression :
       {"2 ^ 63", "9223372036854775807 + 1", "-9223372036854775807 - 2", "3 ^ 1000000000", "1 / 3 ^ 60",
        "4000000000 * 4000000000", "1e308 * 10.0", "floor(1e300)", "(2 ^ 62 / 3) ^ 2"}) {
    CAPTURE(expression);
    CHECK(model(fmt::format("let a = {}; linear(3);", expression)).codes.contains("N205"));
  }
  CHECK(width("1 ^ 1000000000") == 1);
  CHECK(width("0 ^ 0") == 1);
}

TEST_CASE("one mistake is reported once") {
  const Elaborated result = model("let a = missing; let b = a + 1; linear(b) -> linear(b * 2); expect [N, a];");
  CHECK(result.codes == std::set<std::string>{"N108"});
  CHECK(result.text.find("N108", result.text.find("N108") + 1) == std::string::npos);
}

// ---- Blocks, repeats, conditions ------------------------------------------------------------------------------------

TEST_CASE("block parameters: position, name, defaults that use earlier ones, layers") {
  const std::string block = "block mlp(a, b = 2 * a, act: layer = relu) { linear(a) -> linear(b) -> act }";
  CHECK(shapes(clean("mlp(3);", block), "linear") == Strings{"[N,3]", "[N,6]"});
  CHECK(shapes(clean("mlp(b = 5, a = 3);", block), "linear") == Strings{"[N,3]", "[N,5]"});
  CHECK(shapes(clean("mlp(3, act = sigmoid);", block), "sigmoid") == Strings{"[N,6]"});
  const Graph graph = clean("mlp(3, 4, dropout(0.25));", block);
  CHECK(graph.nodes.back().op->name == "dropout");
  CHECK(graph.nodes.back().attributes.real("p") == 0.25);
}

TEST_CASE("a layer as an argument may be a block with arguments, or a shared layer") {
  const std::string blocks = "block wide(f) { linear(f) -> relu }\nblock twice(inner) { a: inner; b: inner }";
  CHECK(shapes(clean("first: twice(wide(7));", blocks), "linear") == Strings{"[N,7]", "[N,7]"});
  CHECK(parameters(clean("shared h = linear(4); twice(h);", blocks)) == Strings{"h.weight", "h.bias"});
}

TEST_CASE("a block may be given to itself, as far as blocks nest") {
  const std::string block = "block residual(inner: layer) { add { inner; identity } }";
  CHECK(layers(clean("residual(residual(linear(4)));", block)) == Strings{"linear"});
  CHECK(layers(clean("shared h = residual(linear(4)); residual(h);", block)) == Strings{"h.linear"});
  CHECK(layers(clean("each((each((linear(4), relu)), relu));", "block each(inner) { repeat i in inner { i } }")) ==
        Strings{"0.0.linear"});
  CHECK(model("endless(endless);", {}, "block endless(inner: layer) { inner(inner) }").codes ==
        std::set<std::string>{"N121"});
  CHECK(model("endless(relu);", {}, "block endless(inner: layer) { inner -> endless(inner) }").codes ==
        std::set<std::string>{"N125"});
}

TEST_CASE("layers are equal when they are one layer with arguments that are written alike") {
  const auto nodes = [](const std::string& condition, const std::string& definitions = "") {
    return clean("if " + condition + " { tanh } else { relu } linear(1);", definitions).nodes.front().op->name;
  };
  CHECK(nodes("relu == relu") == "tanh");
  CHECK(nodes("relu == sigmoid") == "relu");
  CHECK(nodes("dropout(0.2) == dropout(0.2)") == "tanh");
  CHECK(nodes("dropout(0.2) == dropout(1/5)") == "tanh");
  CHECK(nodes("dropout(0.2) == dropout(0.5)") == "relu");
  CHECK(nodes("dropout(0.2) == dropout") == "relu");
  CHECK(nodes("dropout(0.2) != dropout(0.5)") == "tanh");
  CHECK(nodes("wide(4) == wide(4)", "block wide(f) { linear(f) }") == "tanh");
  CHECK(nodes("wide(4) == wide(5)", "block wide(f) { linear(f) }") == "relu");
  CHECK(nodes("(relu, dropout(0.5)) == (relu, dropout(0.4))") == "relu");
}

TEST_CASE("a block sees its file and its parameters, not the values of its caller") {
  CHECK(model("let f = 3; b();", {}, "block b() { linear(f) }").codes.contains("N108"));
  CHECK(shapes(clean("b();", "let f = 3;\nblock b() { linear(f) }"), "linear") == Strings{"[N,3]"});
}

TEST_CASE("every form of repeat") {
  CHECK(shapes(clean("repeat 3 { linear(5) }"), "linear") == repeated(3, "[N,5]"));
  CHECK(shapes(clean("repeat i in 2..4 { linear(i) }"), "linear") == Strings{"[N,2]", "[N,3]"});
  CHECK(shapes(clean("repeat f in (7, 9) { linear(f) }"), "linear") == Strings{"[N,7]", "[N,9]"});
  CHECK(shapes(clean("repeat (n, f) in ((1, 5), (2, 6)) { repeat n { linear(f) } }"), "linear") ==
        Strings{"[N,5]", "[N,6]", "[N,6]"});
  CHECK(shapes(clean("linear(2); repeat 0 { linear(5) }"), "linear") == Strings{"[N,2]"});
}

TEST_CASE("an if that is not taken passes its input through") {
  CHECK(shapes(clean("linear(2); if 1 > 2 { linear(3) }"), "linear") == Strings{"[N,2]"});
  CHECK(shapes(clean("if false { linear(2) } else if true { linear(3) } else { linear(4) }"), "linear") ==
        Strings{"[N,3]"});
}

TEST_CASE("inner lists may hide outer values, and end") {
  CHECK(shapes(clean("let a = 2; { let a = 3; linear(a) } linear(a);"), "linear") == Strings{"[N,3]", "[N,2]"});
}

TEST_CASE("an error inside blocks and repeats shows the way there") {
  const Elaborated result = model("repeat i in 0..2 { outer(i + 1) }", {},
                                  "block outer(n) { inner(2 * n) }\n"
                                  "block inner(n) { linear(if n > 2 {1.5} else {n}) }");
  CHECK(result.text.find("note: in inner(n = 4), called at m.net:1:18\n"
                         "note: in outer(n = 2), called at m.net:5:20, i = 1\n") != std::string::npos);
}

// ---- Graphs ---------------------------------------------------------------------------------------------------------

TEST_CASE("from takes up labels and inputs; output names several") {
  const Graph graph = clean(
      "input y: f32[N, 3]; a: linear(8); b: from(y) -> linear(8); "
      "c: add { from(a); from(b) }; d: linear(2); output d, a;");
  CHECK(graph.inputs.size() == 2);
  REQUIRE(graph.outputs.size() == 2);
  CHECK(graph[graph.outputs[0]].name == "d");
  CHECK(graph[graph.outputs[1]].name == "a");
  const auto add =
      std::find_if(graph.nodes.begin(), graph.nodes.end(), [](const Node& n) { return n.op->name == "add"; });
  CHECK(graph[add->inputs[0]].name == "a");
  CHECK(graph[add->inputs[1]].name == "b.linear");
}

TEST_CASE("a label's value is the output of its whole statement") {
  const Graph graph = clean("a: linear(8) -> relu; linear(3); from(a) -> linear(2);");
  CHECK(graph[graph.nodes.back().inputs[0]].name == "a.relu");
}

TEST_CASE("branches: groups, repeats and ifs with else are one each, let is none") {
  const Graph graph = clean(
      "add { let f = 4; { linear(9) -> relu; linear(f) } repeat 2 { linear(f) } if f > 3 { identity } else { relu } }");
  const Node& add = graph.nodes.back();
  CHECK(add.op->name == "add");
  CHECK(add.inputs.size() == 3);
}

TEST_CASE("concat joins along channels or another axis") {
  const std::string image = "model m { input x: f32[N, 2, 6, 6]; concat";
  const auto shape = [&](const std::string& rest) {
    const Elaborated result = elaborate_text("m.net", image + rest);
    CHECK_MESSAGE(result.text.empty(), result.text);
    return to_string(result.graph[result.graph.outputs[0]].shape);
  };
  CHECK(shape(" { conv(3, 1); identity } }") == "[N,5,6,6]");
  CHECK(shape("(axis = 2) { maxpool((2, 1)); identity } }") == "[N,2,9,6]");
}

TEST_CASE("losses bring their label") {
  const Graph classes = clean("linear(3); loss cross_entropy;");
  REQUIRE(classes.labels.size() == 1);
  CHECK(classes[classes.labels[0]].type == DType::i32);
  CHECK(to_string(classes[classes.labels[0]].shape) == "[N]");
  CHECK(to_string(classes[classes.loss].shape) == "[N]");
  CHECK(classes.nodes.back().inputs == std::vector<ValueId>{classes.outputs[0], classes.labels[0]});
  const Graph values = clean("linear(3); loss mse;");
  CHECK(values[values.labels[0]].type == DType::f32);
  CHECK(to_string(values[values.labels[0]].shape) == "[N,3]");
}

TEST_CASE("the batch may be any, extents not") {
  CHECK(model("linear(3); expect [N, 3];").text.empty());
  CHECK(model("linear(3); expect [4, 3];").codes.contains("N211"));
}

// ---- Paths ----------------------------------------------------------------------------------------------------------

TEST_CASE("a label names one operator, and is a segment before anything larger") {
  CHECK(parameters(clean("fc: linear(3);")) == Strings{"fc.weight", "fc.bias"});
  CHECK(layers(clean("head: relu -> linear(3);")) == Strings{"head.linear"});
  CHECK(layers(clean("head: { linear(3) }")) == Strings{"head.linear"});
  CHECK(layers(clean("head: if true { linear(3) } else { relu }")) == Strings{"head.linear"});
  CHECK(layers(clean("head: add { linear(4); identity }")) == Strings{"head.linear"});
  CHECK(layers(clean("head: b();", "block b() { linear(3) }")) == Strings{"head.linear"});
  CHECK(layers(clean("head: repeat 2 { linear(3) }")) == Strings{"head.0.linear", "head.1.linear"});
  CHECK(layers(clean("0: linear(3); repeat: linear(4);")) == Strings{"0", "repeat"});
}

TEST_CASE("a label of an operator with branches names the operator, and is their segment") {
  const Graph graph = clean("reshape((2, 2)); a: matmul { identity; reshape((2, 2)) }");
  Strings paths;
  for (const Node& node : graph.nodes) paths.push_back(node.path);
  CHECK(paths == Strings{"reshape", "a.identity", "a.reshape", "a"});
}

TEST_CASE("what has no label adds no segment, but a repeat its index, from 0") {
  CHECK(layers(clean("{ { linear(3) } } relu;")) == Strings{"linear"});
  CHECK(layers(clean("repeat i in 5..7 { fc: linear(i) }")) == Strings{"0.fc", "1.fc"});
  CHECK(layers(clean("a: repeat 2 { b: repeat 2 { linear(3) } }")) ==
        Strings{"a.0.b.0.linear", "a.0.b.1.linear", "a.1.b.0.linear", "a.1.b.1.linear"});
}

TEST_CASE("taken paths are numbered from 2, and labels claim first") {
  CHECK(layers(clean("linear(3) -> linear(4) -> linear(5);")) == Strings{"linear", "linear2", "linear3"});
  CHECK(layers(clean("linear(3); linear: linear(4); linear(5);")) == Strings{"linear2", "linear", "linear3"});
  CHECK(layers(clean("linear(3); linear(4); linear2: linear(5);")) == Strings{"linear", "linear3", "linear2"});
  CHECK(layers(clean("linear(3); linear: { linear(4) }")) == Strings{"linear2", "linear.linear"});
  CHECK(layers(clean("{ fc1: linear(3) } { fc1: linear(4) }")) == Strings{"fc1", "fc1_2"});
}

TEST_CASE("numbering is warned of only where a label outside would prevent it") {
  const std::string block = "block b() { linear(3) -> linear(4) }";
  CHECK(model("b();", {}, block).text.empty());
  CHECK(model("b(); b();", {}, block).codes == std::set<std::string>{"W404"});
  CHECK(model("one: b(); two: b();", {}, block).text.empty());
  CHECK(model("repeat 2 { linear(3) } repeat 2 { linear(3) }").codes == std::set<std::string>{"W404"});
  CHECK(model("repeat 2 { relu } repeat 2 { relu }").text.empty());
}

TEST_CASE("sequential numbers its operators as PyTorch does") {
  CHECK(layers(clean("sequential { linear(3) -> relu -> linear(4); relu; linear(5) }")) == Strings{"0", "2", "4"});
  CHECK(layers(clean("features: sequential { repeat 2 { linear(3) -> relu } { linear(4) } }")) ==
        Strings{"features.0", "features.2", "features.4"});
  CHECK(layers(clean(
            "f: sequential { relu; b(); fc: linear(2); sequential { relu -> linear(3) } add { linear(3); identity } }",
            "block b() { linear(3) }")) == Strings{"f.1.linear", "f.fc", "f.3.1", "f.4.linear"});
}

TEST_CASE("all paths of a graph differ") {
  const Graph graph =
      clean("relu -> relu; { relu } relu: relu; shared h = { a: linear(4) -> relu }; h -> h -> h; h2: linear(3);");
  std::set<std::string> paths;
  for (const Node& node : graph.nodes) CHECK(paths.insert(node.path).second);
  CHECK(layers(graph) == Strings{"h.a.linear", "h2"});
}

TEST_CASE("assign_paths keeps leaves and segments apart") {
  const auto texts = [](const std::vector<Leaf>& leaves) {
    Strings result;
    for (const Path& path : assign_paths(leaves)) result.push_back(path.text);
    return result;
  };
  CHECK(texts({{"", "a"}, {"a.b.", "c"}, {"a.", "b"}}) == Strings{"a2", "a.b.c", "a.b2"});
  CHECK(texts({{"", "a2"}, {"", "a"}, {"", "a"}, {"", "a2", true}}) == Strings{"a2_2", "a", "a3", "a2"});
  const Leaf with_branches{.prefix = "", .name = "a", .written = true, .is_segment = true, .owned = {"weight"}};
  CHECK(texts({{"a.", "b"}, {"a.", "weight", true}, with_branches}) == Strings{"a.b", "a.weight2", "a"});
  CHECK(texts({{"a.", "b"}, {"a.weight.", "linear"}, with_branches}) == Strings{"a.b", "a.weight.linear", "a2"});
}

// ---- Shared layers --------------------------------------------------------------------------------------------------

TEST_CASE("a shared layer has one set of parameters, named where it is declared") {
  const Graph graph = clean("shared h = linear(8); linear(8) -> relu -> h -> relu -> h -> relu; out: linear(1);");
  CHECK(layers(graph) == Strings{"linear", "h", "out"});
  std::vector<ValueId> weights;
  for (const Node& node : graph.nodes) {
    if (node.path.starts_with("h")) weights.push_back(node.inputs[1]);
  }
  REQUIRE(weights.size() == 2);
  CHECK(weights[0] == weights[1]);
  CHECK(graph[weights[0]].name == "h.weight");
  CHECK(parameter_count(graph) == (4 * 8 + 8) + (8 * 8 + 8) + (8 + 1));
}

TEST_CASE("a shared group shares all that is inside, also what is shared there") {
  const Graph graph = clean("shared h = { shared g = linear(4); g -> relu -> linear(4) -> g }; a: h; b: h;");
  CHECK(layers(graph) == Strings{"h.g", "h.linear"});
  CHECK(shapes(graph, "linear").size() == 6);
}

TEST_CASE("a shared batchnorm shares its buffers") {
  const Elaborated result =
      elaborate_text("m.net", "model m { input x: f32[N, 2, 4, 4]; shared n = batchnorm; n -> n; }");
  CHECK_MESSAGE(result.text.empty(), result.text);
  const auto buffers = std::count_if(result.graph.values.begin(), result.graph.values.end(),
                                     [](const Value& v) { return v.role == Role::buffer; });
  CHECK(buffers == 2);
}

TEST_CASE("a block called twice has two shared layers") {
  CHECK(layers(clean("one: b(); two: b();", "block b() { shared h = linear(4); h -> h }")) ==
        Strings{"one.h", "two.h"});
}

// ---- init -----------------------------------------------------------------------------------------------------------

TEST_CASE("init: the last rule that matches wins, the operator's own is the default") {
  const Graph graph = clean(
      "a: linear(4); b: { linear(3) -> linear(2) } init linear: weight = normal(0, 0.01), bias = 0; "
      "init b: weight = uniform(-1, 2); init b.linear2.weight = 42;");
  const auto rule = [&](const std::string& name) { return named(graph, name).initializer; };
  CHECK(rule("a.weight").rule == Initializer::Rule::normal);
  CHECK(rule("a.weight").b == 0.01);
  CHECK(rule("b.linear.weight").rule == Initializer::Rule::uniform);
  CHECK(rule("b.linear.weight").a == -1);
  CHECK(rule("b.linear.weight").b == 2);
  CHECK(rule("b.linear2.weight").rule == Initializer::Rule::constant);
  CHECK(rule("b.linear2.weight").a == 42);
  CHECK(rule("a.bias").rule == Initializer::Rule::constant);
  CHECK(named(clean("linear(3);"), "linear.bias").initializer.rule == Initializer::Rule::fan_in_uniform);
}

TEST_CASE("init: every rule and its defaults") {
  using Rule = Initializer::Rule;
  const auto rule = [](const std::string& text) {
    return named(clean("let s = 0.5; linear(3); expect [N, floor(s * 6)]; init linear: weight = " + text + ";"),
                 "linear.weight")
        .initializer;
  };
  CHECK(rule("constant(3)").a == 3);
  CHECK(rule("-1 / 4").a == -0.25);
  CHECK(rule("2 * s").a == 1);
  CHECK(rule("uniform").b == 1);
  CHECK(rule("normal").b == 1);
  CHECK(rule("normal(std = s)").b == 0.5);
  CHECK(rule("xavier_uniform").rule == Rule::xavier_uniform);
  CHECK(rule("xavier_uniform").a == 1);
  CHECK(rule("xavier_normal(gain = 2)").a == 2);
  CHECK(rule("kaiming_normal(a = 0.2)").rule == Rule::kaiming_normal);
}

TEST_CASE("init: the gains of kaiming rules are PyTorch's, by fan-in or fan-out") {
  const auto rule = [](const std::string& arguments) {
    return named(clean("linear(3); init linear: weight = kaiming_uniform" + arguments + ";"), "linear.weight")
        .initializer;
  };
  CHECK(rule("").a == doctest::Approx(std::sqrt(2.0)));
  CHECK(rule("(2)").a == doctest::Approx(std::sqrt(0.4)));
  CHECK(rule("(a = 2, nonlinearity = \"relu\")").a == doctest::Approx(std::sqrt(2.0)));
  CHECK(rule("(nonlinearity = \"tanh\")").a == doctest::Approx(5.0 / 3));
  CHECK(rule("(nonlinearity = \"linear\")").a == 1);
  CHECK(rule("(nonlinearity = \"selu\")").a == 0.75);
  CHECK(!rule("(mode = \"fan_in\")").by_fan_out);
  CHECK(rule("(mode = \"fan_out\")").by_fan_out);
}

TEST_CASE("init: fans are PyTorch's, with groups and windows that are not square") {
  const std::string text =
      "model m { input x: f32[N, 8, 9, 9]; conv(12, (3, 5), groups = 4) -> globalavgpool -> flatten -> linear(7); }";
  const Elaborated result = elaborate_text("m.net", text);
  const Value& conv = named(result.graph, "conv.weight");
  CHECK(conv.fan_in == 8 / 4 * 3 * 5);
  CHECK(conv.fan_out == 12 * 3 * 5);
  CHECK(named(result.graph, "conv.bias").fan_in == conv.fan_in);
  CHECK(named(result.graph, "linear.weight").fan_in == 12);
  CHECK(named(result.graph, "linear.weight").fan_out == 7);
}

TEST_CASE("init: distributions are mixtures or single rules") {
  const std::string dists =
      "dist spiky = mix { 1/4: uniform(5, 10); 1/2: 0; 1/4: uniform(-10, -5) };\ndist small = normal(0, 0.1);";
  const Graph graph = clean("linear(4) -> linear(3); init linear: weight = spiky; init linear2.weight = small;", dists);
  const Initializer mixture = named(graph, "linear.weight").initializer;
  REQUIRE(mixture.parts.size() == 3);
  CHECK(mixture.rule == Initializer::Rule::mixture);
  CHECK(mixture.parts[0].weight == 0.25);
  CHECK(mixture.parts[0].rule == Initializer::Rule::uniform);
  CHECK(mixture.parts[0].a == 5);
  CHECK(mixture.parts[0].b == 10);
  CHECK(mixture.parts[1].rule == Initializer::Rule::constant);
  CHECK(mixture.parts[1].a == 0);
  CHECK(named(graph, "linear2.weight").initializer.b == 0.1);
  CHECK(model("linear(4); init linear: weight = d;", {}, "dist d = mix { 1/2: 0; 1/4: 1 };").codes.contains("N115"));
}

// ---- train and --set ------------------------------------------------------------------------------------------------

TEST_CASE("train fills the recipe") {
  const Graph graph = clean(
      "linear(3); loss mse; train { batch = 2 ^ 7; epochs = 3; seed = 5; "
      "optimizer = sgd(lr = 1 / 8, momentum = 0.9, weight_decay = 1e-4, nesterov = true); }");
  CHECK(graph.recipe.batch == 128);
  CHECK(graph.recipe.epochs == 3);
  CHECK(graph.recipe.seed == 5);
  CHECK(graph.recipe.optimizer.lr == 0.125);
  CHECK(graph.recipe.optimizer.momentum == 0.9);
  CHECK(graph.recipe.optimizer.weight_decay == 1e-4);
  CHECK(graph.recipe.optimizer.nesterov);
  CHECK(graph.recipe.data.name.empty());
}

TEST_CASE("train: choices, arguments and values that are computed") {
  const Recipe recipe = clean(
                            "let rate = 0.01; let warm = true; linear(3); loss mse; "
                            "train { epochs = 9; optimizer = adamw(rate * 2, betas = (1 - 1/5, 0.9)); "
                            "schedule = cosine(t_max = 2 ^ 3); warmup = if warm {1/2} else {0}; "
                            "augment = (flip, color(contrast = 1/4)); validation = 1/10; early_stop = 2; "
                            "clip_grad_norm = 3; clip_grad_value = 0.5; warmup_start_factor = 1/4; }")
                            .recipe;
  CHECK(recipe.optimizer.name == "adamw");
  CHECK(recipe.optimizer.lr == 0.02);
  CHECK(recipe.optimizer.betas == std::array<double, 2>{0.8, 0.9});
  CHECK(recipe.optimizer.weight_decay == 0.01);
  CHECK(recipe.schedule.name == "cosine");
  CHECK(recipe.schedule.t_max == 8);
  CHECK(recipe.warmup == 0.5);
  CHECK(recipe.warmup_start_factor == 0.25);
  CHECK(recipe.augment.flip.p == 0.5);
  CHECK(recipe.augment.crop.pad == 0);
  CHECK(recipe.augment.color.contrast == 0.25);
  CHECK(recipe.validation == 0.1);
  CHECK(recipe.early_stop == 2);
  CHECK(recipe.clip_grad_norm == 3);
  CHECK(recipe.clip_grad_value == 0.5);
  const Recipe plain = clean("linear(3); loss mse; train { augment = crop(4); schedule = step(5); }").recipe;
  CHECK(plain.optimizer.name == "sgd");
  CHECK(plain.optimizer.lr == 1e-3);
  CHECK(plain.augment.crop.pad == 4);
  CHECK(plain.schedule.step_size == 5);
}

TEST_CASE("data with and without a size") {
  const auto recipe = [](int pixels, const std::string& data) {
    const Elaborated result =
        elaborate_text("m.net", fmt::format("model m {{ input x: f32[N, 1, {0}, {0}]; flatten -> linear(10); loss "
                                            "cross_entropy; train {{ data = {1}; }} }}",
                                            pixels, data));
    CHECK_MESSAGE(result.text.empty(), result.text);
    return result.graph.recipe.data;
  };
  CHECK(recipe(28, "fashion_mnist").resize == 0);
  CHECK(recipe(28, "fashion_mnist").name == "fashion_mnist");
  CHECK(recipe(96, "fashion_mnist(resize = 96)").resize == 96);
}

TEST_CASE("--set replaces values of the model, and later ones follow") {
  const std::string text = "let ratio = 1; let wide = 64 / ratio; let act = relu; linear(wide) -> act;";
  CHECK(shapes(clean(text), "relu") == Strings{"[N,64]"});
  const Graph graph = clean(text, "", {{"ratio", "4"}, {"act", "sigmoid"}});
  CHECK(shapes(graph, "sigmoid") == Strings{"[N,16]"});
  CHECK(shapes(clean("let t = (1, 2); linear(t.1);", "", {{"t", "(3, 5)"}}), "linear") == Strings{"[N,5]"});
  CHECK(shapes(clean("let p = 0.5; linear(floor(p * 4));", "", {{"p", "1"}}), "linear") == Strings{"[N,4]"});
  CHECK(shapes(clean("let s = \"a\"; linear(if s == \"b\" {2} else {3});", "", {{"s", "b"}}), "linear") ==
        Strings{"[N,2]"});
}

TEST_CASE("--set reaches settings of train and their arguments") {
  const std::string text = "linear(3); loss mse; train { epochs = 3; optimizer = sgd; }";
  const Graph graph = clean(text, "",
                            {{"train.epochs", "1"},
                             {"train.batch", "16"},
                             {"train.optimizer.lr", "0.5"},
                             {"train.optimizer.momentum", "1/2"}});
  CHECK(graph.recipe.epochs == 1);
  CHECK(graph.recipe.batch == 16);
  CHECK(graph.recipe.optimizer.lr == 0.5);
  CHECK(graph.recipe.optimizer.momentum == 0.5);
  CHECK(clean(text, "", {{"train.optimizer", "sgd(lr = 2)"}}).recipe.optimizer.lr == 2);
  CHECK(clean(text, "", {{"train.epochs", "1"}, {"train.epochs", "2"}}).recipe.epochs == 2);
  CHECK(clean(text, "", {{"train.lr", "0.25"}}).recipe.optimizer.lr == 0.25);
  const Recipe recipe = clean(text, "",
                              {{"train.optimizer", "adam(betas = (0, 1/2))"},
                               {"train.eps", "1e-3"},
                               {"train.augment", "(flip(p = 1/4), crop(pad = 2))"},
                               {"train.schedule", "step(step_size = 2)"},
                               {"train.schedule.gamma", "0.5"}})
                            .recipe;
  CHECK(recipe.optimizer.name == "adam");
  CHECK(recipe.optimizer.betas[1] == 0.5);
  CHECK(recipe.optimizer.eps == 1e-3);
  CHECK(recipe.augment.flip.p == 0.25);
  CHECK(recipe.augment.crop.pad == 2);
  CHECK(recipe.schedule.gamma == 0.5);
}

TEST_CASE("--set cannot bring in text of the language") {
  for (const char* value : {"4; linear(9)", "", "4 }", "\xff", "((((", "let b = 3"}) {
    CAPTURE(value);
    CHECK(model("let a = 4; linear(a);", {{"a", value}}).codes == std::set<std::string>{"N135"});
  }
}

// ---- Imports --------------------------------------------------------------------------------------------------------

/// Files in a folder that goes away with this.
class Files {
 public:
  explicit Files(const std::vector<std::pair<std::string, std::string>>& files)
      : folder_(fs::temp_directory_path() / fmt::format("netc-elaborate-test-{}-{}", getpid(), fmt::ptr(this))) {
    for (const auto& [name, text] : files) {
      fs::create_directories((folder_ / name).parent_path());
      std::ofstream(folder_ / name) << text;
    }
  }
  ~Files() { fs::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  Elaborated elaborate(const std::string& name) const { return elaborate_file(path(name)); }
  fs::path path(const std::string& name) const { return folder_ / name; }

 private:
  fs::path folder_;
};

TEST_CASE("imports are relative to the importing file, and a file's own definition hides an imported one") {
  const Files files(
      {{"m.net", "import \"lib/a.net\";\nblock b() { linear(2) }\nmodel m { input x: f32[N, 4]; a(); b(); last(); }"},
       {"lib/a.net", "import \"b.net\";\nlet width = 5;\nblock a() { linear(width) -> b() }\nblock last() { b() }"},
       {"lib/b.net", "block b() { linear(3) }"}});
  const Elaborated result = files.elaborate("m.net");
  // a and last mean the b that their own file sees.
  CHECK(shapes(result.graph, "linear") == Strings{"[N,5]", "[N,3]", "[N,2]", "[N,3]"});
}

TEST_CASE("errors of imported files tell the way there") {
  const Files files({{"m.net", "import \"a.net\";\nmodel m { input x: f32[N, 4]; relu }"},
                     {"a.net", "\nimport \"b.net\";"},
                     {"b.net", "let width = 1 / 0;"}});
  const Elaborated result = files.elaborate("m.net");
  CHECK(result.codes == std::set<std::string>{"N112"});
  const std::size_t inner = result.text.find("b.net, imported at ");
  const std::size_t outer = result.text.find("a.net, imported at ");
  CHECK(result.text.find("a.net:2:1\n") != std::string::npos);
  CHECK(result.text.find("m.net:1:1\n") != std::string::npos);
  CHECK(inner < outer);
  CHECK(outer != std::string::npos);
}

TEST_CASE("a file without an end is no import, and too large as a source of the command line") {
  const Files files(Settings{{"m.net", "import \"zero.net\";\nmodel m { input x: f32[N, 4]; relu }"}});
  fs::create_symlink("/dev/zero", files.path("zero.net"));
  const Elaborated result = files.elaborate("m.net");
  CHECK(result.codes == std::set<std::string>{"N131"});
  CHECK(result.text.find("not a regular file") != std::string::npos);

  Compilation compilation;
  CHECK(read_source(files.path("zero.net").string(), compilation) == nullptr);
  CHECK(read_source(files.path("none.net").string(), compilation) == nullptr);
  CHECK(compilation.diagnostics.text().find("the file has more than") != std::string::npos);
  CHECK(compilation.diagnostics.json().find("none.net: No such file or directory\"") != std::string::npos);
}

TEST_CASE("a source of the command line has at most 4 MB, and the error a place in it") {
  const Files files({{"m.net", std::string(max_file_size, ' ')}, {"large.net", std::string(max_file_size + 5, ' ')}});
  Compilation compilation;
  CHECK(read_source(files.path("m.net").string(), compilation) != nullptr);
  CHECK(read_source(files.path("large.net").string(), compilation) == nullptr);
  CHECK(compilation.diagnostics.text().find("large.net:1:1: error[N107]") != std::string::npos);
}

TEST_CASE("one file by two ways is one file") {
  const Files files(
      {{"m.net", "import \"a.net\";\nimport \"b.net\";\nmodel m { input x: f32[N, 4]; a() -> relu; last: b() }"},
       {"a.net", "import \"c.net\";\nblock a() { c() }"},
       {"b.net", "import \"./c.net\";\nblock b() { linear(3) }"},
       {"c.net", "block c() { linear(8) }"}});
  const Elaborated result = files.elaborate("m.net");
  CHECK_MESSAGE(result.text.empty(), result.text);
}

TEST_CASE("the standard blocks are found from anywhere") {
  const Elaborated result =
      elaborate_text("elsewhere/m.net",
                     "import \"std/blocks.net\";\nmodel m { input x: f32[N, 1, 8, 8]; conv_bn(4, 3, pad = 1) "
                     "-> flatten; top: dense(5, act = tanh); }");
  CHECK_MESSAGE(result.text.empty(), result.text);
  CHECK(layers(result.graph) == Strings{"conv", "batchnorm", "top.linear"});
}

TEST_CASE("of several models the last is meant") {
  CHECK(elaborate_text("m.net", "model a { input x: f32[N, 4]; relu }\nmodel b { input x: f32[N, 4]; tanh }")
            .graph.name == "b");
}

// ---- Limits ---------------------------------------------------------------------------------------------------------

std::string braces(int depth, const std::string& inside) {
  return fmt::format("{}{}{}", std::string(static_cast<std::size_t>(depth), '{'), inside,
                     std::string(static_cast<std::size_t>(depth), '}'));
}

/// Blocks b0, b1, … b79, each of which calls the one before inside `depth` groups.
std::string tower(int depth) {
  std::string blocks = "block b0() { relu }\n";
  for (int i = 1; i < 80; ++i) blocks += fmt::format("block b{}() {}\n", i, braces(depth, fmt::format("b{}()", i - 1)));
  return blocks;
}

TEST_CASE("nesting has limits") {
  CHECK(model(braces(200, "relu")).text.empty());
  CHECK(model("b60();", {}, tower(2)).text.empty());
  CHECK(model("b70();", {}, tower(2)).codes == std::set<std::string>{"N121"});
  CHECK(model("b60();", {}, tower(100)).codes == std::set<std::string>{"N121"});
}

TEST_CASE("repetition and sizes have limits") {
  CHECK(model("repeat 10000 { repeat 10000 { } }").codes.contains("N121"));
  CHECK(model("repeat i in -9223372036854775807..9223372036854775807 { relu }").codes.contains("N121"));
  CHECK(model("linear(2147483647);").codes.contains("N205"));
  CHECK(model("linear(100000) -> linear(100000);").codes.contains("N205"));
}

TEST_CASE("windows of any size are refused without overflow") {
  for (const char* call : {"conv(2147483647, 2147483647, pad = 2147483647)", "conv(8, 3, pad = 2147483647)",
                           "maxpool(2147483647)", "conv(8, 2147483647, dilation = 2147483647)"}) {
    CAPTURE(call);
    const Elaborated result = elaborate_text("m.net", fmt::format("model m {{ input x: f32[N, 1, 8, 8]; {}; }}", call));
    CHECK_FALSE(result.text.empty());
  }
}

}  // namespace
}  // namespace netc
