// Calls of layers: operators, blocks, shared layers.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/elaborate/arguments.h"
#include "compiler/elaborate/elaborator.h"
#include "compiler/formula/own_operators.h"

namespace netc {
namespace {

using ast::Kind;

constexpr std::size_t max_block_depth = 64;
constexpr std::size_t longest_call = 160;

/// Marks what a caller gives: it is unrolled as if it stood in the caller.
void mark_given(Constant& value) {
  if (auto* layer = std::get_if<LayerReference>(&value.value)) layer->given = true;
  if (auto* tuple = std::get_if<Tuple>(&value.value)) std::for_each(tuple->begin(), tuple->end(), mark_given);
}

}  // namespace

bool Elaborator::check_inputs(const std::string& name, std::size_t wanted, std::size_t given, const Span& span) {
  if (wanted == given) return true;
  const std::string inputs = wanted == 1 ? "one input" : fmt::format("{} inputs", wanted);
  reporter_.error("N141", span, fmt::format("{} takes {}, {} given", name, inputs, given),
                  wanted == 1 ? "only operators of several inputs take branches"
                              : fmt::format("write {} {{ from(a); from(b) }} with a branch for each", name));
  return false;
}

ValueId Elaborator::apply(const LayerReference& layer, const std::vector<ValueId>& inputs, const PathPlace& place,
                          const Span& span) {
  if (layer.op != nullptr) return apply_operator(layer, inputs, place, span);
  const bool own = layer.declaration != nullptr &&
                   (layer.declaration->node->kind == Kind::fn || layer.declaration->node->kind == Kind::layer);
  if (own) return apply_own(layer, inputs, place, span);
  if (!check_inputs(layer.name, 1, inputs.size(), span)) return no_value;
  if (layer.shared != nullptr) return apply_shared(layer, inputs[0], place, span);
  if (layer.declaration->node->kind == Kind::block) return apply_block(layer, inputs[0], place, span);
  reporter_.error("N126", span, fmt::format("`{}` is a distribution, not a layer", layer.name));
  return no_value;
}

ValueId Elaborator::apply_operator(const LayerReference& layer, const std::vector<ValueId>& inputs,
                                   const PathPlace& place, const Span& span) {
  const Operator& op = *layer.op;
  if (op.is_loss) {
    reporter_.error("N126", span, fmt::format("{} is a loss, not a layer", op.name),
                    fmt::format("write `loss {};`", op.name));
    return no_value;
  }
  const auto attributes = bind_attributes(op, layer.arguments, span, reporter_);
  const Leaf leaf = place.leaf(std::string(op.name));
  const bool fits =
      op.inputs < 0 || check_inputs(std::string(op.name), static_cast<std::size_t>(op.inputs), inputs.size(), span);
  if (!attributes || !fits) return no_value;
  return layers_.add(op, *attributes, inputs, leaf, span);
}

/// A `layer` or `fn` of the file: an operator of its own for these arguments and shapes.
ValueId Elaborator::apply_own(const LayerReference& layer, const std::vector<ValueId>& inputs, const PathPlace& place,
                              const Span& span) {
  const Leaf leaf = place.leaf(layer.name);
  if (!check_inputs(layer.name, input_count(*layer.declaration), inputs.size(), span)) return no_value;
  if (std::find(inputs.begin(), inputs.end(), no_value) != inputs.end()) return no_value;
  std::vector<Shape> shapes;
  for (ValueId input : inputs) shapes.push_back(graph_[input].shape);
  const BlockTrail trail(reporter_, layer.name, span);
  const auto op = make_operator(*layer.declaration, layer.arguments, shapes, span, reporter_);
  if (!op) return no_value;
  graph_.own_operators.push_back(op);
  return layers_.add(*op, {}, inputs, leaf, span);
}

// ---- Blocks ---------------------------------------------------------------------------------------------------------

/// A block that was given may be one of those around it, as in twice(twice(relu)): what gave it is not inside of it.
bool Elaborator::may_enter(const LayerReference& layer, const Span& span) {
  const auto first = std::find(active_.begin(), active_.end(), layer.declaration->node);
  if (first != active_.end() && !layer.given) {
    std::string way;
    for (auto block = first; block != active_.end(); ++block) way += (*block)->text + " -> ";
    reporter_.error("N125", span, fmt::format("a block calls itself: {}{}", way, layer.name),
                    "write `repeat` for repetition");
    return false;
  }
  if (active_.size() < max_block_depth) return true;
  stopped_ = true;
  reporter_.error("N121", span, fmt::format("blocks nest more than {} deep", max_block_depth));
  return false;
}

/// Gives the block's parameters their values. `call` becomes "residual(channels = 128)".
bool Elaborator::bind_block(const LayerReference& layer, const Span& span, Scope& scope, std::string& call) {
  std::vector<Formal> formals;
  for (const ast::Node& node : layer.declaration->node->children) {
    if (node.kind == Kind::parameter) formals.push_back({node.text, ast::parameter_default(node) == nullptr});
  }
  const auto bound = bind_arguments(layer.name, formals, layer.arguments, span, reporter_);
  if (!bound) return false;
  std::vector<std::string> given;
  bool good = true;
  for (const ast::Node& node : layer.declaration->node->children) {
    if (node.kind != Kind::parameter) continue;
    const auto argument = bound->find(node.text);
    const bool is_given = argument != bound->end();
    Constant value =
        is_given ? argument->second.value : evaluate(*ast::parameter_default(node), scope.names, reporter_);
    if (is_given) given.push_back(fmt::format("{} = {}", node.text, to_string(value)));
    if (is_given) mark_given(value);
    good = check_type(node, value, is_given ? argument->second.span : node.span, reporter_) && good;
    declare(node.text, std::move(value), node.span, scope);
  }
  call = fmt::format("{}({})", layer.name, fmt::join(given, ", "));
  if (call.size() > longest_call) call = shorten(call, longest_call) + "…)";
  return good;
}

ValueId Elaborator::apply_block(const LayerReference& layer, ValueId value, const PathPlace& place, const Span& span) {
  Scope scope{.names = Environment(layer.declaration->environment), .labels = {}};
  std::string call;
  if (!may_enter(layer, span) || !bind_block(layer, span, scope, call)) return no_value;
  PathPlace inside = place.inside_module();
  if (place.label.empty()) inside.instance = layers_.add_instance(span, place.instance);
  const BlockTrail trail(reporter_, call, span);
  active_.push_back(layer.declaration->node);
  const ValueId result = list(layer.declaration->node->children.back(), value, inside, scope);
  active_.pop_back();
  return result;
}

// ---- Shared layers --------------------------------------------------------------------------------------------------

ValueId Elaborator::apply_shared(const LayerReference& layer, ValueId value, const PathPlace& place, const Span& span) {
  SharedLayer& shared = *layer.shared;
  if (!layer.arguments.empty()) {
    reporter_.error("N117", layer.arguments.front().span,
                    fmt::format("the shared layer `{}` takes no arguments", layer.name),
                    "its arguments stand where it is declared");
    return no_value;
  }
  if (shared.in_use) {
    reporter_.error("N125", span, fmt::format("the shared layer `{}` uses itself", layer.name));
    return no_value;
  }
  if (place.number != nullptr) ++*place.number;
  // It is unrolled as if it stood where it is declared, in some of the blocks that are active here.
  std::vector<const ast::Node*> around(active_.begin(), active_.begin() + shared.blocks);
  active_.swap(around);
  shared.in_use = true;
  layers_.begin_shared(shared.parameters, span);
  const BlockTrail trail(reporter_, fmt::format("the shared layer `{}`", layer.name), span);
  PathPlace here = shared.place;
  here.again = shared.parameters.complete;
  const ValueId result = element(*shared.element, value, here, *shared.scope);
  layers_.end_shared();
  shared.in_use = false;
  active_.swap(around);
  return result;
}

}  // namespace netc
