#include "compiler/elaborate/layer_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace netc {
namespace {

constexpr std::int64_t max_bytes = 2147483647;
constexpr std::size_t max_layers = 200000;
constexpr std::size_t max_path = 512;

bool fits(const Shape& shape) {
  std::int64_t bytes = sizeof(float);
  for (const std::int64_t extent : shape.extents()) {
    if (extent == Shape::batch) continue;
    if (extent > max_bytes / bytes) return false;
    bytes *= extent;
  }
  return true;
}

}  // namespace

ValueId LayerBuilder::add(const Operator& op, const Attributes& attributes, const std::vector<ValueId>& inputs,
                          const Leaf& leaf, const Span& span) {
  if (std::find(inputs.begin(), inputs.end(), no_value) != inputs.end()) return no_value;
  if (!check_limits(leaf, span)) return no_value;
  const Inference inference = op.infer(shapes(inputs), attributes);
  if (!check(op, inference, inputs, span)) return no_value;
  return append(op, attributes, inputs, inference, leaf, span);
}

std::vector<Shape> LayerBuilder::shapes(const std::vector<ValueId>& ids) const {
  std::vector<Shape> result;
  result.reserve(ids.size());
  for (const ValueId id : ids) result.push_back(graph_[id].shape);
  return result;
}

bool LayerBuilder::check_limits(const Leaf& leaf, const Span& span) {
  if (graph_.nodes.size() >= max_layers) {
    reporter_.error("N121", span, fmt::format("the model unrolls to more than {} layers", max_layers));
    return false;
  }
  if (leaf.prefix.size() + leaf.name.size() <= max_path) return true;
  reporter_.error("N121", span, fmt::format("the path of this layer is longer than {} characters", max_path),
                  "use fewer or shorter labels");
  return false;
}

bool LayerBuilder::check(const Operator& op, const Inference& inference, const std::vector<ValueId>& inputs,
                         const Span& span) {
  if (inference.error) {
    report(*inference.error, inputs, span);
    return false;
  }
  for (const ShapeWarning& warning : inference.warnings) {
    reporter_.report(
        {warning.code, span, warning.message, "input " + to_string(graph_[inputs[0]].shape), {}, warning.help});
  }
  for (const Shape& shape : inference.outputs) {
    if (!check_size(fmt::format("{}: the output", op.name), shape, span)) return false;
  }
  for (const OwnedSpec& spec : inference.owned) {
    if (!check_size(fmt::format("{}: its {}", op.name, spec.name), spec.shape, span)) return false;
  }
  return true;
}

void LayerBuilder::report(const ShapeError& error, const std::vector<ValueId>& inputs, const Span& span) {
  Diagnostic diagnostic{error.code, span, error.message, error.label, {}, error.help};
  for (const Node& node : graph_.nodes) {
    const auto branch = std::find(inputs.begin(), inputs.end(), node.outputs.front());
    const bool differs = error.code == "N201" && branch != inputs.end();
    if (!differs || node.op->name != "identity") continue;
    diagnostic.help =
        fmt::format("branch {} is `identity`, which keeps the shape of its input: project it to that of the others",
                    branch - inputs.begin() + 1);
  }
  reporter_.report(std::move(diagnostic));
}

bool LayerBuilder::check_size(const std::string& what, const Shape& shape, const Span& span) {
  if (shape.rank() > max_rank) {
    reporter_.error("N203", span, fmt::format("{} {} has more than {} dimensions", what, to_string(shape), max_rank));
    return false;
  }
  if (fits(shape)) return true;
  const char* each = shape.has_batch() ? " an example" : "";
  reporter_.error("N205", span, fmt::format("{} {} has more than 2^31 - 1 bytes{}", what, to_string(shape), each));
  return false;
}

ValueId LayerBuilder::append(const Operator& op, const Attributes& attributes, const std::vector<ValueId>& inputs,
                             const Inference& inference, const Leaf& leaf, const Span& span) {
  Node node{
      .op = &op, .attributes = attributes, .inputs = inputs, .outputs = {}, .path = "", .span = span, .trail = {}};
  for (const OwnedSpec& spec : inference.owned) {
    const ValueId owned = own(spec, span);
    if (owned == no_value) return no_value;
    node.inputs.push_back(owned);
  }
  for (const Shape& shape : inference.outputs) {
    node.outputs.push_back(graph_.add({.name = "", .shape = shape, .span = span, .order = {}, .initializer = {}}));
  }
  node.trail = reporter_.trail();
  graph_.nodes.push_back(std::move(node));
  leaves_.push_back(leaf);
  if (leaf.is_segment) {
    for (const OwnedSpec& spec : inference.owned) leaves_.back().owned.push_back(spec.name);
  }
  return graph_.nodes.back().outputs.front();
}

void LayerBuilder::add_loss(const Operator& op, const Attributes& attributes, ValueId output, const Span& span) {
  if (output == no_value) return;
  const Leaf leaf{.prefix = "", .name = std::string(op.name)};
  graph_.loss = add(op, attributes, {output}, leaf, span);
  if (graph_.loss == no_value) return;
  const ValueId label = graph_.add({.name = "label",
                                    .role = Role::label,
                                    .type = op.label_type,
                                    .shape = op.label_shape(graph_[output].shape),
                                    .span = span,
                                    .order = {},
                                    .initializer = {}});
  graph_.nodes.back().inputs.insert(graph_.nodes.back().inputs.begin() + 1, label);
  graph_.labels.push_back(label);
}

// ---- Parameters -----------------------------------------------------------------------------------------------------

/// The innermost shared layer that is used again gives the parameter; otherwise it is new. Shared layers that are used
/// for the first time remember it.
ValueId LayerBuilder::own(const OwnedSpec& spec, const Span& span) {
  ValueId id = no_value;
  auto use = uses_.rbegin();
  while (use != uses_.rend() && !use->shared->complete) ++use;
  if (use != uses_.rend()) {
    id = reuse(*use, spec);
  } else {
    id = graph_.add({.name = "",
                     .role = spec.role,
                     .shape = spec.shape,
                     .span = span,
                     .order = spec.order,
                     .initializer = spec.initializer,
                     .fan_in = spec.fan_in,
                     .fan_out = spec.fan_out});
    owned_.push_back({id, static_cast<int>(graph_.nodes.size()), spec.name});
  }
  for (auto first = uses_.rbegin(); first != use; ++first) first->shared->owned.push_back(id);
  return id;
}

ValueId LayerBuilder::reuse(SharedUse& use, const OwnedSpec& spec) {
  if (use.next >= use.shared->owned.size()) return no_value;  // the first use ended in an error
  const ValueId id = use.shared->owned[use.next++];
  if (id == no_value || graph_[id].shape == spec.shape) return id;
  reporter_.report({.code = "N210",
                    .span = use.shared->use,
                    .message = fmt::format("the shared layer `{}` is used at two widths", use.shared->name),
                    .label = fmt::format("{} {} at its first use, {} here", spec.name, to_string(graph_[id].shape),
                                         to_string(spec.shape)),
                    .notes = {},
                    .help = "give all its inputs the same width, or declare a layer for each"});
  return no_value;
}

void LayerBuilder::begin_shared(SharedParameters& shared, const Span& use) {
  shared.use = use;
  uses_.push_back({&shared, 0});
}

void LayerBuilder::end_shared() {
  uses_.back().shared->complete = true;
  uses_.pop_back();
}

// ---- Names ----------------------------------------------------------------------------------------------------------

int LayerBuilder::add_instance(const Span& span, int parent) {
  instances_.push_back({span, parent});
  return static_cast<int>(instances_.size()) - 1;
}

void LayerBuilder::assign_names() {
  const std::vector<Path> paths = assign_paths(leaves_);
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    Node& node = graph_.nodes[i];
    node.path = paths[i].text;
    for (const ValueId output : node.outputs) graph_[output].name = node.path;
  }
  for (const Owned& owned : owned_) {
    graph_[owned.value].name = graph_.nodes[static_cast<std::size_t>(owned.node)].path + "." + owned.name;
    if (graph_[owned.value].is_parameter()) warn_numbered(paths, owned.node);
  }
}

/// Numbers inside one block are its author's choice; those that come from several uses of it change with every
/// insertion.
void LayerBuilder::warn_numbered(const std::vector<Path>& paths, int node) {
  const Path& path = paths[static_cast<std::size_t>(node)];
  if (path.taken_by < 0) return;
  const int instance = outermost_apart(leaves_[static_cast<std::size_t>(node)].instance,
                                       leaves_[static_cast<std::size_t>(path.taken_by)].instance);
  if (instance < 0) return;
  reporter_.warning("W404", instances_[static_cast<std::size_t>(instance)].span,
                    fmt::format("`{}` had to be numbered: an earlier layer has its path", path.text),
                    "label this statement, as in `name: …;`");
}

/// The outermost block call or repeat around `instance` that is not around `other`, too; -1 for none.
int LayerBuilder::outermost_apart(int instance, int other) const {
  std::set<int> common{-1};
  for (; other >= 0; other = instances_[static_cast<std::size_t>(other)].parent) common.insert(other);
  int result = -1;
  for (; !common.contains(instance); instance = instances_[static_cast<std::size_t>(instance)].parent)
    result = instance;
  return result;
}

}  // namespace netc
