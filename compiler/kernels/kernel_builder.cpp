#include "compiler/kernels/kernel_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "compiler/kernels/gpu_schedules.h"
#include "compiler/kernels/schedules.h"

namespace netc {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

namespace {

int first_axis(const Shape& shape) {
  return shape.has_batch() ? 1 : 0;
}

}  // namespace

Halide::Type halide_type(DType type, Halide::Type real) {
  switch (type) {
    case DType::f32:
      return real;
    case DType::i32:
      return Halide::Int(32);
    case DType::u8:
      return Halide::UInt(8);
    case DType::bf16:
      return Halide::BFloat(16);
  }
  return {};
}

KernelBuilder::KernelBuilder(const Graph& graph, const Group& group, const std::vector<Layout>& layouts,
                             const Machine& machine, Choices choices, Part part)
    : graph_(graph),
      group_(group),
      layouts_(layouts),
      machine_(machine),
      choices_(std::move(choices)),
      part_(part),
      prefix_(group.name) {
  for (const char* axis : {"a", "c", "y", "x", "w", "v"}) axes_.emplace_back(axis);
  for (int index : group.nodes) {
    const Node& node = graph.nodes[static_cast<std::size_t>(index)];
    for (ValueId value : node.outputs) producers_[value] = &node;
  }
  // The outputs decide how images are laid out in vectors; a gradient of a parameter leaves it to the inputs.
  const bool batch_out = shape(group.outputs[0]).has_batch();
  for (ValueId value : batch_out ? group.outputs : group.inputs) lanes_ = std::max(lanes_, layout(value).lanes);
}

std::string KernelBuilder::name(const std::string& stem) {
  const int uses = names_[stem]++;
  return prefix_ + "_" + stem + (uses > 0 ? std::to_string(uses + 1) : "");
}

Point KernelBuilder::point(const Shape& shape) const {
  Point point;
  if (shape.has_batch()) {
    point.lane = lane_;
    point.block = block_;
  }
  for (int i = first_axis(shape); i < shape.rank(); ++i) point.axes.emplace_back(axis(i));
  return point;
}

std::vector<Var> KernelBuilder::variables(const Shape& shape) const {
  std::vector<Var> variables;
  if (shape.has_batch()) variables.push_back(lane_);
  for (int i = shape.rank() - 1; i >= first_axis(shape); --i) variables.push_back(axis(i));
  if (shape.has_batch()) variables.push_back(block_);
  return variables;
}

std::vector<Expr> KernelBuilder::arguments(const Point& point) const {
  std::vector<Expr> arguments;
  if (point.has_batch()) arguments.push_back(point.lane);
  arguments.insert(arguments.end(), point.axes.rbegin(), point.axes.rend());
  if (point.has_batch()) arguments.push_back(point.block);
  return arguments;
}

Expr KernelBuilder::valid(const Point& point) const {
  return lanes_ == 1 ? Halide::Internal::const_true() : example(point) < batch_;
}

bool KernelBuilder::gathers(ValueId value) const {
  const auto producer = producers_.find(value);
  if (producer == producers_.end()) return false;
  const Node& node = *producer->second;
  return node.op->fusion == Fusion::anchor ||
         std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return gathers(input); });
}

void KernelBuilder::define(ValueId value, Func func) {
  definitions_.emplace(value, func);
}

Expr KernelBuilder::read(ValueId value, const Point& point) {
  if (const auto image = images_.find(value); image != images_.end()) return image->second(arguments(point));
  if (const auto definition = definitions_.find(value); definition != definitions_.end()) {
    return definition->second(arguments(point));
  }
  const auto producer = producers_.find(value);
  if (producer == producers_.end()) return load(value, point);
  return producer->second->op->value_at(*this, *producer->second, point);
}

/// Pixels that users hand in as bytes, and what is stored as bf16, are numbers to every operator.
Expr KernelBuilder::load(ValueId value, const Point& point) {
  const Expr element = load_stored(value, point);
  const bool bytes = graph_[value].role == Role::input && graph_[value].type == DType::u8;
  return bytes || graph_[value].type == DType::bf16 ? cast(machine_.real, element) : element;
}

/// Where the value has other lanes than this kernel, its own lane and block follow from the example's number.
Expr KernelBuilder::load_stored(ValueId value, const Point& point) {
  Halide::ImageParam memory = parameter_for(value);
  const int stored = layout(value).lanes;
  if (!point.has_batch() || stored == lanes_) return memory(arguments(point));
  const Expr number = clamp(example(point), 0, batch_ - 1);
  const Point there{number % stored, number / stored, point.axes};
  const Expr element = memory(arguments(there));
  return select(valid(point), element, cast(element.type(), 0));
}

Halide::ImageParam KernelBuilder::parameter_for(ValueId value) {
  if (const auto known = inputs_.find(value); known != inputs_.end()) return known->second;
  const int dimensions = shape(value).rank() + (shape(value).has_batch() ? 1 : 0);
  Halide::ImageParam param(halide_type(graph_[value].type, machine_.real), dimensions,
                           "v" + std::to_string(inputs_.size()));
  inputs_.emplace(value, param);
  constrain(param, value, true);
  return param;
}

/// Extents and strides are known when the kernel is compiled; only the number of blocks is not.
void KernelBuilder::constrain(Halide::OutputImageParam param, ValueId value, bool extents) const {
  const Shape& logical = shape(value);
  const Layout& stored = layout(value);
  const auto dimension = [&](int i, const Expr& extent, std::int64_t stride) {
    if (extents) param.dim(i).set_bounds(0, extent);
    param.dim(i).set_stride(static_cast<int>(stride));
  };
  int i = 0;
  if (logical.has_batch()) dimension(i++, stored.lanes, 1);
  for (std::size_t axis = stored.strides.size(); axis-- > 0;) {
    dimension(i++, static_cast<int>(logical[static_cast<int>(axis) + first_axis(logical)]), stored.strides[axis]);
  }
  if (logical.has_batch()) dimension(i, (batch_ + (stored.lanes - 1)) / stored.lanes, stored.block_stride);
}

/// One Func a shape: values of one shape are written in one pass. A stage that Halide does not look into writes by
/// itself.
Func KernelBuilder::write(const std::vector<ValueId>& values) {
  const Shape& logical = shape(values[0]);
  if (const auto made = definitions_.find(values[0]); made != definitions_.end() && values.size() == 1) {
    if (Func whole = made->second; whole.is_extern()) {
      constrain(whole.output_buffers()[0], values[0], true);
      return whole;
    }
  }
  std::vector<Expr> elements;
  elements.reserve(values.size());
  for (ValueId value : values) {
    const Expr element = read(value, point(logical));
    elements.push_back(graph_[value].type == DType::bf16 ? cast(Halide::BFloat(16), element) : element);
  }
  Func out(name("out"));
  out(variables(logical)) = Halide::Tuple(elements);
  for (std::size_t i = 0; i < values.size(); ++i) constrain(out.output_buffers()[i], values[i], i == 0);
  return out;
}

int KernelBuilder::choice(const std::string& name, int rule, std::vector<int> candidates) const {
  for (const Offer& offer : offers_) {
    if (offer.name == name) return offer.value;
  }
  candidates.push_back(rule);
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  const auto made = choices_.find(name);
  const int value = made == choices_.end() ? rule : made->second.value;
  if (!std::binary_search(candidates.begin(), candidates.end(), value)) {
    throw WrongChoice({"N322",
                       made->second.span,
                       fmt::format("{} = {} is not possible for this kernel", name, value),
                       "",
                       {},
                       fmt::format("possible: {}", fmt::join(candidates, ", "))});
  }
  offers_.push_back({name, value, std::move(candidates)});
  return value;
}

/// What no schedule asked for is a mistake.
void KernelBuilder::check_choices() const {
  std::vector<std::string> names;
  for (const Offer& offer : offers_) names.push_back(offer.name);
  for (const auto& [name, choice] : choices_) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string help = did_you_mean(name, names);
    throw WrongChoice({"N322",
                       choice.span,
                       fmt::format("this kernel has no choice '{}'", name),
                       "",
                       {},
                       help.empty() ? fmt::format("its choices: {}", fmt::join(names, ", ")) : help});
  }
}

Func KernelBuilder::prepared(ValueId parameter, Func func, const std::vector<int>& extents) {
  if (part_ == Part::whole) return func;
  const Halide::Type type = func.types()[0];
  preparation_ = {parameter, type.bytes()};
  const auto constrain = [&](Halide::OutputImageParam memory) {
    std::int64_t stride = 1;
    for (std::size_t i = 0; i < extents.size(); ++i) {
      memory.dim(static_cast<int>(i)).set_bounds(0, extents[i]).set_stride(static_cast<int>(stride));
      stride *= extents[i];
    }
    preparation_->bytes *= stride;
  };
  if (part_ == Part::preparation) {
    constrain(func.output_buffer());
    outs_.push_back(func);
    return func;
  }
  Halide::ImageParam memory(type, static_cast<int>(extents.size()), "prepared");
  constrain(memory);
  inputs_.insert_or_assign(parameter, memory);
  return memory;
}

void KernelBuilder::fetch_ahead(Halide::Stage stage, const Halide::RVar& terms, int together, int rule) const {
  const int ahead = choice("ahead", rule, {0, 32, 64, 128, 256}) / together;
  if (part_ != Part::rest || !preparation_ || ahead == 0) return;
  const Halide::RVar loop = loop_over_terms(terms, together);
  stage.prefetch(inputs_.at(preparation_->parameter), loop, loop, ahead, Halide::PrefetchBoundStrategy::NonFaulting);
}

void KernelBuilder::define_anchor() {
  for (ValueId value : group_.inputs) parameter_for(value);
  const Node& first = group_.anchor_in(graph_);
  if (first.op->fusion == Fusion::anchor) first.op->algorithm(*this, first);
}

/// All that comes before the pool.
void KernelBuilder::define_image() {
  const Node& pool = graph_.nodes[static_cast<std::size_t>(*group_.pool)];
  const ValueId value = pool.inputs[0];
  Func image(name("image"));
  image(variables(shape(value))) = read(value, point(shape(value)));
  images_.emplace(value, image);
  pool.op->algorithm(*this, pool);
}

/// The anchor's schedule is that of the image, each of which a task computes by itself before it pools it.
void KernelBuilder::schedule_image(const Node& first) {
  const Node& pool = graph_.nodes[static_cast<std::size_t>(*group_.pool)];
  Func image = images_.at(pool.inputs[0]);
  const std::vector<Func> pooled = std::exchange(outs_, {image});
  first.op->schedule(*this, first);
  outs_ = pooled;
  pool.op->schedule(*this, pool);
  for (const Halide::Internal::Dim& dim : image.function().definition().schedule().dims()) {
    if (dim.for_type == Halide::Internal::ForType::Parallel) image.serial(Var(dim.var.substr(dim.var.rfind('.') + 1)));
  }
  image.compute_at(out(), block()).reorder_storage(lane(), axis(1), axis(3), axis(2), block());
  // The whole of it, although pools may leave the last rows unread: tiles may be as large as the image.
  for (int i = 1; i <= 3; ++i) image.bound(axis(i), 0, extent(shape(pool.inputs[0])[i]));
}

std::optional<Preparation> KernelBuilder::find_preparation() {
  define_anchor();
  return preparation_;
}

Halide::Pipeline KernelBuilder::build() {
  define_anchor();
  const Node& first = group_.anchor_in(graph_);
  if (part_ == Part::preparation) {
    first.op->schedule(*this, first);
    return Halide::Pipeline(outs_);
  }
  if (pools()) define_image();
  for (std::size_t begin = 0, end = 0; begin < group_.outputs.size(); begin = end) {
    const auto same = [&](ValueId value) { return shape(value) == shape(group_.outputs[begin]); };
    while (end < group_.outputs.size() && same(group_.outputs[end])) ++end;
    outs_.push_back(write({group_.outputs.begin() + static_cast<std::ptrdiff_t>(begin),
                           group_.outputs.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  schedule(first);
  check_choices();
  return Halide::Pipeline(outs_);
}

void KernelBuilder::schedule(const Node& first) {
  const bool anchored = first.op->fusion == Fusion::anchor;
  if (machine_.is_gpu()) {
    if (anchored && first.op->gpu_schedule) first.op->gpu_schedule(*this, first);
    schedule_on_gpu(*this);
  } else if (pools()) {
    schedule_image(first);
  } else if (anchored && first.op->schedule) {
    first.op->schedule(*this, first);
  } else {
    schedule_elements(*this, out(), group_.outputs[0]);
  }
}

std::vector<Halide::Argument> KernelBuilder::pipeline_arguments() const {
  std::vector<Halide::Argument> arguments{batch_};
  if (machine_.is_gpu()) {
    arguments.emplace_back(counters_);
  } else {
    arguments.insert(arguments.end(), {seed_, step_});
  }
  if (part_ == Part::preparation) {
    arguments.push_back(inputs_.at(preparation_->parameter));
    return arguments;
  }
  for (ValueId value : group_.inputs) arguments.push_back(inputs_.at(value));
  return arguments;
}

}  // namespace netc
