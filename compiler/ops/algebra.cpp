#include "compiler/ops/algebra.h"

#include "compiler/formula/index_notation.h"
#include "compiler/graph/graph_builder.h"
#include "compiler/ops/comprehension.h"

namespace netc::ops {

namespace {

std::optional<TensorValue> build(TensorProgram& program, const std::vector<Shape>& shapes, const Algebra& result,
                                 const Attributes& attributes) {
  std::vector<TensorValue> inputs;
  for (const Shape& shape : shapes) {
    inputs.push_back(program.algebra().tensor(static_cast<int>(inputs.size()), shape.extents()));
  }
  return result(program.algebra(), inputs, attributes);
}

Inference infer(const std::string& name, const std::vector<Shape>& shapes, const Algebra& result,
                const Attributes& attributes) {
  TensorProgram program(name, static_cast<int>(shapes.size()));
  const auto value = build(program, shapes, result, attributes);
  if (value) return {.outputs = {Shape(program.algebra().shape(*value))}};
  std::string label;
  for (const Shape& shape : shapes) label += (label.empty() ? "input " : " and ") + to_string(shape);
  return {.error = ShapeError{"N215", name + ": " + program.algebra().problem(), label, ""}};
}

}  // namespace

Operator algebraic(Operator op, const Algebra& result) {
  const std::string name(op.name);
  op.infer = [name, result](const std::vector<Shape>& shapes, const Attributes& attributes) {
    return infer(name, shapes, result, attributes);
  };
  op.expand = [name, result](GraphBuilder& builder, const Node& node) {
    std::vector<Shape> shapes;
    for (ValueId input : node.inputs) shapes.push_back(builder.value(input).shape);
    TensorProgram program(name, static_cast<int>(shapes.size()));
    const int tensor = program.keep(*build(program, shapes, result, node.attributes));
    return std::vector{emit(builder, program.steps(), node.inputs, tensor)};
  };
  return op;
}

}  // namespace netc::ops
