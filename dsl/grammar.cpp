// The grammar of the language: `.net` text -> ast::Node. The only file that includes X3.
//
// Every alternative is chosen by its first token, so `>` (an expectation: no way back) follows it, and a wrong token is
// reported where it stands. Rules store what they read by semantic actions into one kind of node.
#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "dsl/ast.h"
#include "dsl/precedence.h"
#include "dsl/primitives.h"
#include "dsl/recovery.h"

namespace netc::grammar {
namespace {

using ast::Kind;
using ast::Node;

// ---- Semantic actions: what to do with an attribute -----------------------------------------------------------------

template <typename Context>
State& state(Context& context) {
  return x3::get<State>(context);
}

/// The rule's node gains a child.
const auto child = [](auto& context) { x3::_val(context).children.push_back(std::move(x3::_attr(context))); };

/// The rule's node becomes what was parsed.
const auto itself = [](auto& context) { x3::_val(context) = std::move(x3::_attr(context)); };

const auto text = [](auto& context) { x3::_val(context).text = x3::_attr(context).text; };

const auto operation = [](auto& context) { x3::_val(context).operators.emplace_back(x3::_attr(context).text); };

/// A name that is declared here. A bad one is reported, and parsing goes on.
const auto declared_name = [](auto& context) {
  check_name(state(context).span(x3::_attr(context).text), state(context).diagnostics);
  text(context);
};

const auto label_name = [](auto& context) {
  check_label(state(context).span(x3::_attr(context).text), state(context).diagnostics);
  text(context);
};

const auto variable = [](auto& context) {
  check_name(state(context).span(x3::_attr(context).text), state(context).diagnostics);
  x3::_val(context).variables.emplace_back(x3::_attr(context).text);
};

template <typename Value>
bool convert(std::string_view digits, Value& value) {
  return std::from_chars(digits.data(), digits.data() + digits.size(), value).ec == std::errc{};
}

const auto number_value = [](auto& context) {
  const std::string_view digits = x3::_attr(context).text;
  Node& node = x3::_val(context);
  node.text = digits;
  node.is_int = digits.find_first_of(".eE") == std::string_view::npos;
  if (convert(digits, node.real) && (!node.is_int || convert(digits, node.integer))) return;
  const std::string shown = digits.size() > 40 ? fmt::format("{}…", digits.substr(0, 40)) : std::string(digits);
  const char* range = node.is_int ? "64 bits" : "a float";
  state(context).diagnostics.add(
      {"N109", state(context).span(digits), fmt::format("the number {} does not fit {}", shown, range), "", {}, ""});
};

const auto string_value = [](auto& context) {
  const std::string_view quoted = x3::_attr(context).text;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\\') ++i;
    x3::_val(context).text += quoted[i];
  }
};

// ---- Steps on the rule's node ---------------------------------------------------------------------------------------

void report_depth(const State& state, const Span& span) {
  state.diagnostics.add({"N107", span, "this nests too deep", "", {}, "name the inner parts with `let` or `block`"});
}

/// One element is no chain, one value in parentheses no tuple.
bool unwrap_single(Node& node) {
  Node only = std::move(node.children[0]);
  node = std::move(only);
  return true;
}

bool fold_expression(Node& node, const State& state) {
  const Span whole{&state.source, node.children.front().span.begin, node.children.back().span.end};
  if (fold_operators(node)) return true;
  report_depth(state, whole);
  node = {};
  return true;
}

bool is_callable(const Node& node) {
  return node.kind == Kind::name || (node.kind == Kind::index && node.children[0].kind == Kind::name);
}

/// `t.0.0.0…` nests without brackets, so it has its own limit.
constexpr int max_suffixes = 8;

int count_suffixes(const Node& node) {
  int count = 0;
  const auto is_suffix = [](Kind kind) { return kind == Kind::field || kind == Kind::index || kind == Kind::call; };
  for (const Node* inner = &node; is_suffix(inner->kind); inner = &inner->children[0]) ++count;
  return count;
}

/// The suffix takes what stands before it as its first child.
const auto suffix = [](auto& context) {
  Node& inner = x3::_val(context);
  Node outer = std::move(x3::_attr(context));
  outer.span.begin = inner.span.begin;
  if (count_suffixes(inner) == max_suffixes) return report_depth(state(context), outer.span);
  outer.children.insert(outer.children.begin(), std::move(inner));
  inner = std::move(outer);
};

const Then if_callable([](const Node& node, const State&) { return is_callable(node); });
const Then fold(&fold_expression);
const Then chain_if_several([](Node& node, const State&) {
  node.kind = Kind::chain;
  return node.children.size() > 1 || unwrap_single(node);
});
const Then tuple_if_comma([](Node& node, const State&) { return node.kind == Kind::tuple || unwrap_single(node); });

// ---- Recovery -------------------------------------------------------------------------------------------------------

/// The id of a rule that reports a syntax error inside itself and goes on behind it, half-filled.
template <auto next>
struct Recovering {
  template <typename Context>
  x3::error_handler_result on_error(Iterator& first, const Iterator& last,
                                    const x3::expectation_failure<Iterator>& error, const Context& context) {
    State& rules = state(context);
    rules.diagnostics.add(unexpected(rules.source, error.where(), error.which(), first));
    first = rules.diagnostics.full() ? last : next(first, error.where(), last, error.which());
    return x3::error_handler_result::accept;
  }
};

// ---- Terminals ------------------------------------------------------------------------------------------------------

constexpr Terminal name(match_name, "a name");
constexpr Terminal new_name(match_identifier, "a name");
constexpr Terminal any_name(match_identifier, "a name");
constexpr Terminal operator_name(match_name, "an operator or a block");
constexpr Terminal type_name(match_identifier, "a type such as int or f32[N, 3]");
constexpr Terminal label(match_label, "a label");
constexpr Terminal label_use(match_word, "a label or an input");
constexpr Terminal argument_name(match_argument_name, "a name");
constexpr Terminal equation_head(match_equation_head, "an equation such as y[n, c] = …");
constexpr Terminal range_index(match_range_index, "a name");
constexpr Terminal unpacking(match_unpacking, "names");
constexpr Terminal path(match_path, "an operator's name or a parameter's path");
constexpr Terminal number_token(match_number, "a number");
constexpr Terminal string_token(match_string, "a string in double quotes");
constexpr Terminal boolean_word(match_boolean, "true or false");
constexpr Terminal digits(match_digits, "a number");
constexpr Terminal infix(match_infix, "an operator");
constexpr Terminal prefix(match_prefix, "an operator");

constexpr Word word(std::string_view spelling) {
  return Word(spelling);
}
constexpr Mark mark(std::string_view spelling) {
  return Mark(spelling);
}
constexpr Mark comma(",");
constexpr Mark semicolon(";");
constexpr Mark equals("=");
constexpr Mark colon(":");
constexpr Mark arrow("->");
constexpr Mark open("(");
constexpr Mark open_index("[");
constexpr Mark open_brace("{");
constexpr Mark close(")");
constexpr Mark close_brace("}");
// Where an item of a list ends, a comma could have stood as well.
constexpr Mark close_list(")", "`,` or `)`");
constexpr Mark close_index("]", "`,` or `]`");
constexpr StatementEnd statement_end;
constexpr FileEnd file_end;

const auto else_if = word("else") >> word("if");
/// Before each statement of a list, which goes on until its `}`; the file may end earlier, after an error.
const auto in_list = !close_brace >> !file_end;
/// Before each definition of a file.
const auto in_file = *semicolon >> !file_end;

/// `( item, item, … )`, maybe empty, maybe with a comma behind the last. Not X3's `%`: it goes back over the last comma
/// and then blames the wrong token.
template <typename Item>
auto in_parentheses(const Item& item) {
  const auto next_item = comma >> !close;
  return open > (close | (item[child] > *(next_item > item[child]) > -comma > close_list));
}

/// `[ item, item, … ]`
template <typename Item>
auto in_brackets(const Item& item) {
  return open_index > item[child] > *(comma > item[child]) > close_index;
}

/// `{ item item … }`; stray semicolons do no harm.
template <typename Item>
auto in_braces(const Item& item) {
  return open_brace > *semicolon > *item[child] > close_brace;
}

/// The same with one item at least.
template <typename Item>
auto in_filled_braces(const Item& item) {
  return open_brace > *semicolon > item[child] > *item[child] > close_brace;
}

// ---- Rules ----------------------------------------------------------------------------------------------------------

template <typename Id>
using Rule = x3::rule<Id, Node>;

// A definition that does not fit one line has a clause a line.
// clang-format off

// Expressions
const Rule<struct expression_id> expression = "an expression";
const Rule<struct operand_id> operand = "an expression";
const Rule<struct postfix_id> postfix = "an expression";
const Rule<struct primary_id> primary = "an expression";
const Rule<struct number_id> number = "a number";
const Rule<struct string_id> string = "a string in double quotes";
const Rule<struct boolean_id> boolean = "true or false";
const Rule<struct conditional_id> conditional = "`if`";
const Rule<struct tuple_id> tuple = "`(`";
const Rule<struct name_use_id> name_use = "a name";
const Rule<struct call_suffix_id> call_suffix = "`(`";
const Rule<struct index_suffix_id> index_suffix = "`[`";
const Rule<struct field_suffix_id> field_suffix = "`.`";
const Rule<struct argument_id> argument = "an argument";
const Rule<struct index_id> index = "an index";
const Rule<struct index_range_id> index_range = "an index";

auto const expression_def = spanned(operand[child] >> *(infix[operation] > operand[child]) >> fold);
auto const operand_def = spanned(*prefix[operation] >> postfix[child] >> As(Kind::unary));
auto const postfix_def =
    primary[itself] >> *(if_callable >> call_suffix[suffix] | index_suffix[suffix] | field_suffix[suffix]);
auto const primary_def = number | string | boolean | conditional | tuple | name_use;
auto const number_def = spanned(number_token[number_value] >> As(Kind::number));
auto const string_def = spanned(string_token[string_value] >> As(Kind::string));
auto const boolean_def = spanned(boolean_word[text] >> As(Kind::boolean));
auto const name_use_def = spanned(name[text] >> As(Kind::name));
auto const braced = open_brace > expression[child] > close_brace;
auto const conditional_def = spanned(
    word("if") > expression[child] > braced
    > *(else_if > expression[child] > braced)
    > word("else") > braced > As(Kind::conditional));
// A comma makes it a tuple, also one behind the only element.
auto const next_element = comma >> As(Kind::tuple) >> !close;
auto const tuple_def = spanned(
    open > expression[child] > *(next_element > expression[child]) > -comma > close_list > tuple_if_comma);
auto const call_suffix_def = spanned(in_parentheses(argument) > As(Kind::call));
auto const index_suffix_def = spanned(in_brackets(index) > As(Kind::index));
auto const field_suffix_def = spanned(mark(".") > digits[text] > As(Kind::field));
auto const argument_def = spanned(
    ((argument_name[text] > equals > expression[child]) | expression[child]) >> As(Kind::argument));

auto const index_def = index_range | expression;
auto const index_range_def = spanned(
    range_index[declared_name] > word("in") > expression[child] > mark("..") > expression[child]
    > As(Kind::index_range));

BOOST_SPIRIT_DEFINE(expression, operand, postfix, primary, number, string, boolean, conditional, tuple, name_use,
                    call_suffix, index_suffix, field_suffix, argument, index, index_range)

// Types and parameters
const Rule<struct type_id> type = "a type such as int or f32[N, 3]";
const Rule<struct parameter_id> parameter = "a parameter";
const Rule<struct let_id> let = "`let`";
const Rule<struct input_id> input = "`input`";

auto const type_def = spanned(
    ((open > type[child] > *(comma > type[child]) > close_list) | (type_name[text] >> -in_brackets(expression)))
    >> As(Kind::type));
auto const parameter_def = spanned(
    new_name[declared_name] > -(colon > type[child]) > -(equals > expression[child]) > As(Kind::parameter));
auto const let_def = spanned(word("let") > new_name[declared_name] > equals > expression[child] > As(Kind::let));
auto const input_def = spanned(word("input") > new_name[declared_name] > colon > type[child] > As(Kind::input));

BOOST_SPIRIT_DEFINE(type, parameter, let, input)

// Elements: what a chain composes
const Rule<struct body_id> body = "`{`";
const Rule<struct group_id> group = "`{`";
const Rule<struct sequential_id> sequential = "`sequential`";
const Rule<struct repeat_id> repeat = "`repeat`";
const Rule<struct conditional_element_id> conditional_element = "`if`";
const Rule<struct branches_id> branches = "`add` or `concat`";
const Rule<struct from_id> from = "`from`";
const Rule<struct op_id> op = "an operator";
const Rule<struct element_id> element = "an operator, a block or `{`";
const Rule<struct chain_id> chain = "an operator, a block or `{`";

struct StatementId : Recovering<next_statement> {};
const Rule<StatementId> statement = "a statement";

auto const body_def = spanned(in_braces(statement) > As(Kind::body));
auto const group_def = spanned(body[child] >> As(Kind::group));
auto const sequential_def = spanned(word("sequential") > body[child] > As(Kind::sequential));
auto const unpacked = (&unpacking >> open) > new_name[variable] > *(comma > new_name[variable]) > close;
auto const variables = (range_index[variable] | unpacked) > word("in");
auto const repeat_def = spanned(
    word("repeat") > -variables > expression[child] > -(mark("..") > expression[child]) > body[child]
    > As(Kind::repeat));
auto const conditional_element_def = spanned(
    word("if") > expression[child] > body[child]
    > *(else_if > expression[child] > body[child])
    > -(word("else") > body[child]) > As(Kind::conditional_element));
auto const branches_def = spanned(
    (word("add") >> As(Kind::add) | word("concat") >> As(Kind::concat)) > -in_parentheses(argument) > body[child]);
auto const from_def = spanned(word("from") > open > label_use[text] > close > As(Kind::from));
// Branches behind it are its inputs.
auto const op_def = spanned(operator_name[text] > -in_parentheses(argument) > -body[child] > As(Kind::op));
auto const element_def = group | sequential | repeat | conditional_element | branches | from | op;
auto const chain_def = spanned(element[child] >> *(arrow > element[child]) >> chain_if_several);

BOOST_SPIRIT_DEFINE(body, group, sequential, repeat, conditional_element, branches, from, op, element, chain)

// Statements of a block or model
const Rule<struct command_id> command = "a statement";
const Rule<struct labelled_id> labelled = "a label";
const Rule<struct unlabelled_id> unlabelled = "a chain";
const Rule<struct output_id> output = "`output`";
const Rule<struct output_name_id> output_name = "a label or an input";
const Rule<struct shared_id> shared = "`shared`";
const Rule<struct expect_id> expect = "`expect`";
const Rule<struct loss_id> loss = "`loss`";
const Rule<struct init_id> init = "`init`";
const Rule<struct selector_id> selector = "an operator's name or a parameter's path";
const Rule<struct rule_id> rule = "a rule such as weight = xavier_uniform";
const Rule<struct train_id> train = "`train`";
const Rule<struct setting_id> setting = "a setting such as batch = 256";

struct TrainStatementId : Recovering<next_statement> {};
const Rule<TrainStatementId> train_statement = "a setting such as batch = 256";

auto const statement_def = in_list > command[itself] > statement_end;
// A label comes first: it may be any word of the language.
auto const command_def = labelled | input | output | shared | expect | loss | init | train | let | unlabelled;
auto const labelled_def = spanned(label[label_name] > colon > chain[child] > As(Kind::sequence));
auto const unlabelled_def = spanned(chain[child] >> As(Kind::sequence));
auto const output_def = spanned(word("output") > output_name[child] > *(comma > output_name[child]) > As(Kind::output));
auto const output_name_def = spanned(label_use[text] >> As(Kind::name));
auto const shared_def = spanned(word("shared") > new_name[declared_name] > equals > chain[child] > As(Kind::shared));
auto const expect_def = spanned(word("expect") > in_brackets(expression) > As(Kind::expect));
auto const loss_def = spanned(word("loss") > op[child] > As(Kind::loss));
auto const init_def = spanned(
    word("init") > selector[child] > *(comma > selector[child])
    > ((colon > rule[child] > *(comma > rule[child])) | (equals > expression[child]))
    > As(Kind::init));
auto const selector_def = spanned(path[text] >> As(Kind::selector));
auto const rule_def = spanned(any_name[text] > equals > expression[child] > As(Kind::rule));
auto const train_def = spanned(word("train") > in_braces(train_statement) > As(Kind::train));
auto const train_statement_def = in_list > setting[itself] > statement_end;
auto const setting_def = spanned(any_name[text] > equals > expression[child] > As(Kind::setting));

BOOST_SPIRIT_DEFINE(statement, command, labelled, unlabelled, output, output_name, shared, expect, loss, init, selector,
                    rule, train, train_statement, setting)

// Layers and functions
const Rule<struct tensor_parameter_id> tensor_parameter = "`param`";
const Rule<struct equation_id> equation = "an equation such as y[n, c] = …";
const Rule<struct definition_body_id> definition_body = "`{`";
const Rule<struct layer_command_id> layer_command = "param, input, let or an equation such as y[n, c] = …";

struct LayerStatementId : Recovering<next_statement> {};
const Rule<LayerStatementId> layer_statement = "param, input, let or an equation such as y[n, c] = …";

auto const definition_body_def = spanned(in_braces(layer_statement) > As(Kind::body));
auto const layer_statement_def = in_list > layer_command[itself] > statement_end;
auto const layer_command_def = tensor_parameter | input | let | equation;
auto const tensor_parameter_def = spanned(
    word("param") > new_name[declared_name] > colon > type[child] > -(equals > expression[child])
    > As(Kind::tensor_parameter));
auto const equation_def = spanned(
    equation_head[text] > in_brackets(index) > equals > expression[child] > As(Kind::equation));

BOOST_SPIRIT_DEFINE(definition_body, layer_statement, layer_command, tensor_parameter, equation)

// Definitions of a file
const Rule<struct import_id> import = "`import`";
const Rule<struct block_id> block = "`block`";
const Rule<struct model_id> model = "`model`";
const Rule<struct layer_id> layer = "`layer`";
const Rule<struct fn_id> fn = "`fn`";
const Rule<struct dist_id> dist = "`dist`";
const Rule<struct mixture_part_id> mixture_part = "a part such as 1/2: uniform(0, 1)";
const Rule<struct example_id> example = "`example`";
const Rule<struct definition_id> definition = "block, model, layer, fn, dist, let, example or import";
const Rule<struct file_id> file = "a file";

struct MixtureStatementId : Recovering<next_statement> {};
const Rule<MixtureStatementId> mixture_statement = "a part such as 1/2: uniform(0, 1)";

struct FileStatementId : Recovering<next_definition> {};
const Rule<FileStatementId> file_statement = "block, model, layer, fn, dist, let, example or import";

auto const import_def = spanned(word("import") > string_token[string_value] > As(Kind::import));
auto const block_def = spanned(
    word("block") > new_name[declared_name] > in_parentheses(parameter) > body[child] > As(Kind::block));
auto const model_def = spanned(word("model") > new_name[declared_name] > body[child] > As(Kind::model));
auto const layer_def = spanned(
    word("layer") > new_name[declared_name] > -in_parentheses(parameter) > definition_body[child] > As(Kind::layer));
auto const fn_def = spanned(
    word("fn") > new_name[declared_name] > in_parentheses(parameter)
    > ((equals > expression[child]) | definition_body[child]) > As(Kind::fn));
auto const dist_def = spanned(
    word("dist") > new_name[declared_name] > equals
    > ((word("mix") > in_filled_braces(mixture_statement)) | expression[child]) > As(Kind::dist));
auto const mixture_statement_def = in_list > mixture_part[itself] > statement_end;
auto const mixture_part_def = spanned(expression[child] > colon > expression[child] > As(Kind::mixture_part));
auto const example_def = spanned(word("example") > expression[child] > As(Kind::example));
auto const definition_def = import | block | model | layer | fn | dist | let | example;
auto const file_statement_def = in_file > definition[itself] > statement_end;
auto const file_def = spanned(*file_statement[child] >> *semicolon >> file_end >> As(Kind::file));

BOOST_SPIRIT_DEFINE(import, block, model, layer, fn, dist, mixture_statement, mixture_part, example, definition,
                    file_statement, file)

// clang-format on

// ---- Entry ----------------------------------------------------------------------------------------------------------

const Node* first_deeper_than(const Node& node, int levels) {
  if (levels == 0) return &node;
  for (const Node& inner : node.children) {
    if (const Node* found = first_deeper_than(inner, levels - 1)) return found;
  }
  return nullptr;
}

/// Parses all of `source` by `top`, which is a file or an expression.
template <typename Top>
Node parse_all(const Source& source, Diagnostics& diagnostics, const Top& top) {
  Node tree;
  if (!scan(source, diagnostics)) return tree;
  State rules{source, diagnostics};
  Iterator first = source.text.data();
  const Iterator last = first + source.text.size();
  try {
    x3::parse(first, last, x3::with<State>(rules)[x3::eps > top > file_end], tree);
  } catch (const x3::expectation_failure<Iterator>& error) {
    diagnostics.add(unexpected(source, error.where(), error.which(), error.where()));
  }
  if (const Node* deep = first_deeper_than(tree, max_tree_height)) report_depth(rules, deep->span);
  return tree;
}

}  // namespace
}  // namespace netc::grammar

namespace netc {

ast::Node parse(const Source& source, Diagnostics& diagnostics) {
  return grammar::parse_all(source, diagnostics, grammar::file);
}

ast::Node parse_expression(const Source& source, Diagnostics& diagnostics) {
  return grammar::parse_all(source, diagnostics, grammar::expression);
}

}  // namespace netc
