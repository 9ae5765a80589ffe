#include "compiler/formula/examples.h"

#include <Halide.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "compiler/elaborate/arguments.h"
#include "compiler/formula/index_notation.h"
#include "compiler/kernels/lower_function.h"

namespace netc {

using ast::Kind;

namespace {

constexpr double tolerance = 1e-5;  // relative: figures are written with a few digits
constexpr std::int64_t max_elements = 1 << 20;

/// A tensor of numbers, row-major.
struct Numbers {
  std::vector<std::int64_t> shape;
  std::vector<float> elements;
};

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

/// The same up to where it is more than an example may have.
std::int64_t bounded_product(const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (std::int64_t extent : shape) elements = std::min(elements * extent, max_elements + 1);
  return elements;
}

/// "((1, 2), (3, 4))", as one would write it.
std::string text(const Numbers& numbers, std::size_t axis = 0, std::int64_t begin = 0) {
  if (axis == numbers.shape.size()) return fmt::format("{}", numbers.elements[static_cast<std::size_t>(begin)]);
  const std::vector<std::int64_t> inner(numbers.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                                        numbers.shape.end());
  std::string all;
  for (std::int64_t i = 0; i < numbers.shape[axis] && all.size() < 200; ++i) {
    all += (i > 0 ? ", " : "") + text(numbers, axis + 1, begin + i * product(inner));
  }
  return "(" + all + (numbers.shape[axis] == 1 ? ",)" : ")");
}

class ExampleRunner {
 public:
  ExampleRunner(const Environment& environment, const std::vector<TensorFunction>& functions, Reporter& reporter)
      : environment_(environment), functions_(functions), reporter_(reporter) {}

  bool holds(const ast::Node& example) {
    const ast::Node& equation = example.children.front();
    if (equation.kind != Kind::binary || equation.operators != std::vector<std::string>{"=="}) {
      return error("N144", example.span, "an example states that two things are equal", "write example f(1, 2) == 3;");
    }
    const auto found = value(equation.children[0]);
    const auto stated = value(equation.children[1]);
    if (!found || !stated) return false;
    if (found->shape == stated->shape && agree(*found, *stated)) return true;
    return error("N144", equation.span, fmt::format("the example does not hold: the left side is {}", text(*found)));
  }

 private:
  bool error(const char* code, const Span& span, const std::string& message, const std::string& help = "") {
    reporter_.error(code, span, message, help);
    return false;
  }
  std::optional<Numbers> fail(const char* code, const Span& span, const std::string& message,
                              const std::string& help = "") {
    reporter_.error(code, span, message, help);
    return std::nullopt;
  }

  /// Small elements beside large ones may be off by what numbers of about 1 are.
  static bool agree(const Numbers& a, const Numbers& b) {
    double largest = 0;
    for (float element : b.elements) {
      if (std::isfinite(element)) largest = std::max(largest, std::abs(static_cast<double>(element)));
    }
    const double least_bound = largest > 0 ? std::min(largest, 1.0) : 1;
    return std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(), [&](double found, double stated) {
      if (!std::isfinite(found) || !std::isfinite(stated)) return found == stated;
      return std::abs(found - stated) <= tolerance * std::max(std::abs(stated), least_bound);
    });
  }

  std::optional<Numbers> value(const ast::Node& node) {
    if (node.kind != Kind::call || node.children.front().kind != Kind::name) return constant(node);
    const std::string& name = node.children.front().text;
    if (name == "gradient") return gradient(node);
    if (const Declaration* function = find_function(name)) return call(*function, node, 1, {});
    if (name == "arange" || name == "full" || name == "ones" || name == "zeros") return filled(node, name);
    return constant(node);
  }

  const Declaration* find_function(const std::string& name) const {
    const Declaration* declaration = environment_.find_declaration(name);
    return declaration != nullptr && declaration->node->kind == Kind::fn ? declaration : nullptr;
  }

  /// That of this file which is read already, or an imported one.
  std::optional<TensorFunction> read(const Declaration& declaration) {
    const auto found = std::find_if(functions_.begin(), functions_.end(), [&](const TensorFunction& function) {
      return function.name == declaration.node->text;
    });
    return found == functions_.end() ? read_function(declaration, reporter_) : *found;
  }

  /// A number, or tuples of numbers.
  std::optional<Numbers> constant(const ast::Node& node) {
    const Constant value = evaluate(node, environment_, reporter_);
    Numbers numbers;
    if (value.is_unknown() || !flatten(value, 0, numbers, node.span)) return std::nullopt;
    return numbers;
  }

  bool flatten(const Constant& value, std::size_t axis, Numbers& numbers, const Span& span) {
    const auto* tuple = value.as<Tuple>();
    if (tuple == nullptr) {
      const auto number = need_real(value, "an element", span, reporter_);
      if (!number) return false;
      numbers.elements.push_back(static_cast<float>(*number));
      return axis == numbers.shape.size() || error("N111", span, "the rows of a tensor must have one shape");
    }
    if (axis == numbers.shape.size() && numbers.elements.empty()) {
      numbers.shape.push_back(static_cast<std::int64_t>(tuple->size()));
    }
    if (axis >= numbers.shape.size() || numbers.shape[axis] != static_cast<std::int64_t>(tuple->size())) {
      return error("N111", span, "the rows of a tensor must have one shape");
    }
    return std::all_of(tuple->begin(), tuple->end(),
                       [&](const Constant& element) { return flatten(element, axis + 1, numbers, span); });
  }

  /// arange(20, shape = (5, 4)), full(2, shape = 3), ones(4, 3), zeros(4)
  std::optional<Numbers> filled(const ast::Node& node, const std::string& name);
  bool add_extents(const Argument& argument, std::vector<std::int64_t>& shape);
  std::optional<Numbers> gradient(const ast::Node& node);
  std::optional<Numbers> call(const Declaration& declaration, const ast::Node& node, std::size_t first,
                              std::optional<std::int64_t> input);
  std::optional<Numbers> call_elementwise(const Declaration& declaration, const ast::Node& node, std::size_t first,
                                          std::optional<std::int64_t> input);
  std::optional<Numbers> compute(const TensorFunction& function, const ast::Node& node, std::vector<Numbers> arguments,
                                 std::optional<std::int64_t> input);
  bool bind_sizes(const TensorFunction& function, const ast::Node& node, const std::vector<Numbers>& arguments,
                  std::vector<int>& sizes);
  static std::vector<Numbers> run(const TensorFunction& function, const Graph& graph,
                                  const std::vector<Numbers>& inputs, const std::vector<int>& sizes);

  const Environment& environment_;
  const std::vector<TensorFunction>& functions_;
  Reporter& reporter_;
};

std::optional<Numbers> ExampleRunner::filled(const ast::Node& node, const std::string& name) {
  std::vector<Argument> arguments = evaluate_arguments(node, 1, environment_, reporter_);
  const bool leads = name == "arange" || name == "full";
  if (arguments.size() < (leads ? 1 : 0)) return fail("N120", node.span, fmt::format("{} takes a number", name));
  std::optional<double> number = name == "ones" ? 1 : 0;
  if (leads) number = need_real(arguments.front().value, name, arguments.front().span, reporter_);
  if (!number) return std::nullopt;
  if (leads) arguments.erase(arguments.begin());
  Numbers numbers;
  for (const Argument& argument : arguments) {
    if (!argument.name.empty() && argument.name != "shape") {
      return fail("N118", argument.span, fmt::format("{} has no argument `{}`", name, argument.name));
    }
    if (!add_extents(argument, numbers.shape)) return std::nullopt;
  }
  const bool counts = name == "arange";
  const double countable = std::clamp(*number, 0.0, static_cast<double>(max_elements + 1));
  if (counts && arguments.empty()) numbers.shape = {static_cast<std::int64_t>(countable)};
  const std::int64_t elements = bounded_product(numbers.shape);
  if (elements < 1 || elements > max_elements) {
    return fail("N115", node.span, fmt::format("a tensor of an example has from 1 to {} elements", max_elements));
  }
  if (counts && static_cast<double>(elements) != *number) {
    return fail("N115", node.span,
                fmt::format("{} of this many elements has not the shape {}", name, to_string(Shape(numbers.shape))));
  }
  numbers.elements.resize(static_cast<std::size_t>(elements), static_cast<float>(*number));
  if (counts) std::iota(numbers.elements.begin(), numbers.elements.end(), 0.0F);
  return numbers;
}

bool ExampleRunner::add_extents(const Argument& argument, std::vector<std::int64_t>& shape) {
  const auto* tuple = argument.value.as<Tuple>();
  for (const Constant& extent : tuple != nullptr ? *tuple : Tuple{argument.value}) {
    const auto number = need_integer(extent, "an extent", argument.span, reporter_);
    if (!number) return false;
    if (*number < 1 || *number > max_elements) {
      return error("N115", argument.span,
                   fmt::format("an extent in an example must be from 1 to {}, found {}", max_elements, *number));
    }
    shape.push_back(*number);
  }
  return true;
}

/// gradient(f, x, …): that of the sum of f's elements with respect to its first tensor; `input = 1` asks for another.
std::optional<Numbers> ExampleRunner::gradient(const ast::Node& node) {
  const ast::Node* named = node.children.size() > 1 ? &node.children[1].children.front() : nullptr;
  const bool is_name = named != nullptr && named->kind == Kind::name;
  const Declaration* function = is_name ? find_function(named->text) : nullptr;
  if (function == nullptr) return fail("N144", node.span, "gradient(f, x) takes a function `fn` and its arguments");
  std::int64_t input = 0;
  const ast::Node& last = node.children.back();
  if (last.text == "input") {
    const auto number =
        need_integer(evaluate(last.children.front(), environment_, reporter_), "input", last.span, reporter_);
    if (!number) return std::nullopt;
    input = *number;
  }
  return call(*function, node, 2, input);
}

bool ExampleRunner::bind_sizes(const TensorFunction& function, const ast::Node& node,
                               const std::vector<Numbers>& arguments, std::vector<int>& sizes) {
  const Graph& graph = function.value;
  if (arguments.size() != graph.inputs.size()) {
    return error(arguments.size() < graph.inputs.size() ? "N120" : "N117", node.span,
                 fmt::format("{} takes {} tensor{}, {} given", function.name, graph.inputs.size(),
                             graph.inputs.size() == 1 ? "" : "s", arguments.size()));
  }
  sizes.assign(function.sizes.size(), 0);
  const auto agrees = [&](std::int64_t wanted, std::int64_t given) {
    if (wanted > first_size) return wanted == given;
    int& size = sizes[static_cast<std::size_t>(first_size - wanted)];
    if (size == 0) size = static_cast<int>(given);
    return size == given;
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Shape& shape = graph[graph.inputs[i]].shape;
    const std::vector<std::int64_t>& given = arguments[i].shape;
    const bool fits = std::equal(shape.extents().begin(), shape.extents().end(), given.begin(), given.end(), agrees);
    if (!fits) {
      return error("N215", node.span,
                   fmt::format("{}: `{}` is {}, found {}", function.name, graph[graph.inputs[i]].name,
                               function.shape_text(shape), to_string(Shape(arguments[i].shape))));
    }
  }
  return true;
}

/// The function's value, or its gradient with respect to that input; arguments stand from the child `first` on.
std::optional<Numbers> ExampleRunner::call(const Declaration& declaration, const ast::Node& node, std::size_t first,
                                           std::optional<std::int64_t> input) {
  const std::string& name = declaration.node->text;
  if (tensor_parameters(*declaration.node).empty()) return call_elementwise(declaration, node, first, input);
  if (!takes_tensors_alone(*declaration.node)) {
    return fail("N144", node.span, fmt::format("an example gives tensors alone, and `{}` takes other arguments", name),
                "give them defaults, or call it in a function of tensors alone");
  }
  const auto function = read(declaration);
  if (!function) return std::nullopt;
  std::vector<Numbers> arguments;
  for (std::size_t i = first; i < node.children.size(); ++i) {
    const bool chooses = input && i + 1 == node.children.size();
    if (chooses && node.children[i].text == "input") continue;
    if (!is_by_position(node, i, reporter_)) return std::nullopt;
    const auto argument = value(node.children[i].children.front());
    if (!argument) return std::nullopt;
    arguments.push_back(*argument);
  }
  return compute(*function, node, std::move(arguments), input);
}

std::optional<Numbers> ExampleRunner::call_elementwise(const Declaration& declaration, const ast::Node& node,
                                                       std::size_t first, std::optional<std::int64_t> input) {
  if (node.children.size() <= first || !node.children[first].text.empty()) {
    return fail("N120", node.span, fmt::format("{} takes a number or a tensor", declaration.node->text));
  }
  const auto x = value(node.children[first].children.front());
  if (!x) return std::nullopt;
  std::vector<Argument> arguments = evaluate_arguments(node, first + 1, environment_, reporter_);
  if (input && !arguments.empty() && arguments.back().name == "input") arguments.pop_back();
  const Shape shape(x->shape.empty() ? std::vector<std::int64_t>{1} : x->shape);
  auto function = read_elementwise(declaration, shape, arguments, node.span, reporter_);
  if (!function) return std::nullopt;
  auto result = compute(*function, node, {{shape.extents(), x->elements}}, input);
  if (result) result->shape = x->shape;
  return result;
}

std::optional<Numbers> ExampleRunner::compute(const TensorFunction& function, const ast::Node& node,
                                              std::vector<Numbers> arguments, std::optional<std::int64_t> input) {
  std::vector<int> sizes;
  if (!bind_sizes(function, node, arguments, sizes)) return std::nullopt;
  if (!input) {
    Numbers result = run(function, function.value, arguments, sizes)[0];
    if (function.is_scalar) result.shape.clear();
    return result;
  }
  const std::optional<Graph>& gradient = function.gradient;
  const auto inputs = static_cast<std::int64_t>(function.value.inputs.size());
  const bool exists =
      gradient && *input >= 0 && *input < inputs && gradient->outputs[static_cast<std::size_t>(*input)] != no_value;
  if (!exists) return fail("N302", node.span, fmt::format("`{}` has no such gradient", function.name));
  Numbers ones = run(function, function.value, arguments, sizes)[0];
  std::fill(ones.elements.begin(), ones.elements.end(), 1.0F);
  arguments.push_back(std::move(ones));
  return run(function, *gradient, arguments, sizes)[static_cast<std::size_t>(*input)];
}

/// One result an output; empty for those that there are not.
std::vector<Numbers> ExampleRunner::run(const TensorFunction& function, const Graph& graph,
                                        const std::vector<Numbers>& inputs, const std::vector<int>& sizes) {
  FunctionPipeline lowered = lower_function(function, graph, Halide::get_jit_target_from_environment());
  for (std::size_t i = 0; i < sizes.size(); ++i) lowered.sizes[i].set(sizes[i]);
  const auto buffer = [](const Numbers& numbers) {
    std::vector<int> extents(numbers.shape.rbegin(), numbers.shape.rend());
    return Halide::Buffer<float>(const_cast<float*>(numbers.elements.data()), extents);
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Numbers input = inputs[i];
    if (input.shape.empty()) input.shape = {1};
    lowered.inputs[i].set(buffer(inputs[i].shape.empty() ? input : inputs[i]).copy());
  }
  std::vector<Numbers> results(graph.outputs.size());
  std::vector<Halide::Buffer<>> outputs;
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    if (graph.outputs[i] == no_value) continue;
    for (std::int64_t extent : graph[graph.outputs[i]].shape.extents()) {
      const bool named = extent <= first_size;
      results[i].shape.push_back(named ? sizes[static_cast<std::size_t>(first_size - extent)] : extent);
    }
    results[i].elements.resize(static_cast<std::size_t>(product(results[i].shape)));
    outputs.emplace_back(buffer(results[i]));
  }
  lowered.pipeline.realize(Halide::Realization(outputs));
  return results;
}

}  // namespace

int check_examples(const ast::Node& file, const Environment& environment, const std::vector<TensorFunction>& functions,
                   Reporter& reporter) {
  ExampleRunner runner(environment, functions, reporter);
  int count = 0;
  for (const ast::Node& node : file.children) {
    if (node.kind == Kind::example && runner.holds(node)) ++count;
  }
  return count;
}

}  // namespace netc
