// NAME_functions.hpp and NAME_functions.cpp: tensor functions of C++, and their gradients.
#include <fmt/format.h>

#include <set>

#include "compiler/emit/emit_parts.h"
#include "compiler/formula/tensor_function.h"

namespace netc {

namespace {

const char* const view = "netc::View<const float>";

class FunctionEmitter {
 public:
  explicit FunctionEmitter(const TensorFunction& function) : function_(function) {}

  std::string declaration() const {
    std::string text = fmt::format("/// fn {}\nnamespace {} {{\n\n", function_.text, function_.name);
    text +=
        fmt::format("/// {}; throws netc::Error for arguments that do not fit.\n{};\n", result_text(), value_head());
    if (function_.gradient) {
      text += fmt::format(R"(
struct Gradient {{
  netc::Tensor<float> value;
{}}};

/// The value, and gradients with respect to {}. `gradient` is that of whatever is minimised with respect to the value;
/// without it, the gradients are those of the sum of the value's elements.
{};
)",
                          gradient_members(), names(differentiable()), gradient_head(" = {}"));
    }
    return text + fmt::format("\n}}  // namespace {}\n", function_.name);
  }

  std::string definition(const KernelTable& kernels) const {
    std::string text = fmt::format("namespace {} {{\n\n", function_.name);
    for (const KernelEntry& entry : kernels.entries) {
      if (entry.function == &function_) text += kernel_object(kernels, entry);
    }
    text += value_body();
    if (function_.gradient) text += "\n" + gradient_body();
    return text + fmt::format("\n}}  // namespace {}\n", function_.name);
  }

 private:
  const Graph& graph() const { return function_.value; }

  /// An input's name in C++, apart from what else stands in the functions.
  std::string argument(ValueId input) const {
    static const std::set<std::string_view> taken{"Gradient", "gradient", "gradient_kernel", "result",
                                                  "seed",     "sizes",    "value",           "value_kernel"};
    return argument_name(graph(), input, taken);
  }

  const Shape& result() const { return graph()[graph().outputs[0]].shape; }

  /// Inputs that the value depends on smoothly.
  std::vector<ValueId> differentiable() const {
    std::vector<ValueId> inputs;
    for (std::size_t i = 0; i < graph().inputs.size(); ++i) {
      if (function_.gradient->outputs[i] != no_value) inputs.push_back(graph().inputs[i]);
    }
    return inputs;
  }

  std::string names(const std::vector<ValueId>& inputs) const {
    return cpp::joined(inputs, [&](ValueId input) { return argument(input); });
  }

  /// "[m] from a [m, k], x [k]"
  std::string result_text() const {
    const std::string from = cpp::joined(graph().inputs, [&](ValueId input) {
      return graph()[input].name + " " + function_.shape_text(graph()[input].shape);
    });
    return fmt::format("{} from {}", function_.is_scalar ? "A number" : function_.shape_text(result()), from);
  }

  std::string parameters() const {
    return cpp::joined(graph().inputs, [&](ValueId input) { return fmt::format("{} {}", view, argument(input)); });
  }

  std::string value_head() const { return fmt::format("netc::Tensor<float> value({})", parameters()); }
  std::string gradient_head(const char* fallback) const {
    return fmt::format("Gradient value_and_gradient({}, {} gradient{})", parameters(), view, fallback);
  }

  std::string gradient_members() const {
    std::string text;
    for (ValueId input : differentiable()) text += fmt::format("  netc::Tensor<float> {};\n", argument(input));
    return text;
  }

  std::string kernel_object(const KernelTable& kernels, const KernelEntry& entry) const {
    const Variants variants = variants_of(kernels, entry);
    return fmt::format("extern \"C\" {{\n{}}}\nconstexpr netc::FunctionKernel {}(\n    {},\n{}\n",
                       declarations_of(variants), entry.name, cpp::literal(function_.name),
                       cpp::list("    {", variants, "});"));
  }

  /// `"m", 4`
  std::string dimensions(const Shape& shape) const {
    return cpp::joined(shape.extents(), [&](std::int64_t extent) {
      const std::string size = function_.size_text(extent);
      return extent <= first_size ? cpp::literal(size) : size;
    });
  }

  /// `sizes["m"], 4`
  std::string extents(const Shape& shape) const {
    return cpp::joined(shape.extents(), [&](std::int64_t extent) {
      const std::string size = function_.size_text(extent);
      return extent <= first_size ? fmt::format("sizes[{}]", cpp::literal(size)) : size;
    });
  }

  /// The arguments' sizes, checked.
  std::string match() const {
    std::string text = fmt::format("  netc::Sizes sizes({});\n", cpp::literal(function_.name));
    for (ValueId input : graph().inputs) {
      text += fmt::format("  sizes.match({0}, {1}.shape(), {{{2}}});\n", cpp::literal(graph()[input].name),
                          argument(input), dimensions(graph()[input].shape));
    }
    return text;
  }

  std::string all_sizes() const {
    const auto extent = [](const std::string& size) { return fmt::format("sizes[{}]", cpp::literal(size)); };
    return "{" + cpp::joined(function_.sizes, extent) + "}";
  }

  std::string scalar_result() const {
    return function_.is_scalar ? "  return netc::Tensor<float>({}, {*result.data()});\n" : "  return result;\n";
  }

  std::string value_body() const {
    return fmt::format(R"({} {{
{}  netc::Tensor<float> result({{{}}});
  value_kernel({}, {{{}}}, {{result.view()}});
{}}}
)",
                       value_head(), match(), extents(result()), all_sizes(), names(graph().inputs), scalar_result());
  }

  std::string gradient_body() const {
    std::string tensors;
    for (ValueId input : differentiable())
      tensors += fmt::format(",\n                  netc::Tensor<float>({{{}}})", extents(graph()[input].shape));
    const std::string views =
        cpp::joined(differentiable(), [&](ValueId input) { return fmt::format("result.{}.view()", argument(input)); });
    return fmt::format(R"({0} {{
{1}  Gradient result{{value({2}){3}}};
  const netc::Tensor<float> seed = netc::gradient_or_ones(gradient, {{{4}}});
  gradient_kernel({5}, {{{2}, seed.view()}}, {{{6}}});
  return result;
}}
)",
                       gradient_head(""), match(), names(graph().inputs), tensors, extents(result()), all_sizes(),
                       views);
  }

  const TensorFunction& function_;
};

}  // namespace

std::string emit_functions_header(const CompiledModel& model, const std::string& source) {
  std::string text = preamble("The tensor functions of " + source + ".", source) +
                     fmt::format("#pragma once\n\n#include <netc/function.h>\n\nnamespace {} {{\n", model.graph.name);
  for (const TensorFunction& function : model.functions) text += "\n" + FunctionEmitter(function).declaration();
  return text + fmt::format("\n}}  // namespace {}\n", model.graph.name);
}

std::string emit_functions(const CompiledModel& model, const std::string& source) {
  std::string text =
      preamble("The tensor functions of " + source + ": each a kernel for tensors of any size.", source) +
      fmt::format("#include \"{0}_functions.hpp\"\n\nnamespace {0} {{\n", model.graph.name);
  for (const TensorFunction& function : model.functions) {
    text += "\n" + FunctionEmitter(function).definition(model.kernels);
  }
  return text + fmt::format("\n}}  // namespace {}\n", model.graph.name);
}

}  // namespace netc
