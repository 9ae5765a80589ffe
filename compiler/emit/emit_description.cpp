// The Description in NAME.cpp: shapes, parameters, memory and recipe as a literal.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compiler/elaborate/init_rule.h"
#include "compiler/emit/emit_parts.h"
#include "compiler/graph/operator.h"
#include "netc/settings.h"

namespace netc {

namespace {

std::string type_literal(DType type) {
  return "netc::DType::" + to_string(type);
}

std::string tensors(const Graph& graph, const std::vector<ValueId>& values) {
  std::vector<std::string> items;
  for (ValueId id : values) {
    const Value& value = graph[id];
    items.push_back(fmt::format("{{{}, {}, {}}}", cpp::literal(value.name), type_literal(value.type),
                                cpp::braces(value.shape.extents())));
  }
  return cpp::braces(items);
}

/// A label of whole numbers holds classes; the loss tells how many: 0 for other labels.
std::int64_t classes(const Graph& graph, ValueId label) {
  const auto compares = [&](const Node& node) { return node.op->is_loss && node.inputs[1] == label; };
  const auto loss = std::find_if(graph.nodes.begin(), graph.nodes.end(), compares);
  if (loss == graph.nodes.end() || graph[label].type != DType::i32) return 0;
  return graph[loss->inputs[0]].shape[1];
}

/// Like tensors, with the number of classes.
std::string labels(const Graph& graph) {
  std::vector<std::string> items;
  for (ValueId id : graph.labels) {
    const Value& value = graph[id];
    const std::int64_t found = classes(graph, id);
    items.push_back(fmt::format("{{{}, {}, {}{}}}", cpp::literal(value.name), type_literal(value.type),
                                cpp::braces(value.shape.extents()), found > 0 ? fmt::format(", {}", found) : ""));
  }
  return cpp::braces(items);
}

/// Its members up to the last that is not its default, behind `items`; `behind`: that there are more to follow.
template <class Rules>
std::vector<std::string> members_of(std::vector<std::string> items, const Rules& of, bool behind) {
  items.push_back(fmt::format("Rule::{}", rule_name(of.rule)));
  if (of.a != 0 || of.b != 0 || of.by_fan_out || behind) items.push_back(cpp::literal(of.a));
  if (of.b != 0 || of.by_fan_out || behind) items.push_back(cpp::literal(of.b));
  if (of.by_fan_out || behind) items.emplace_back(of.by_fan_out ? "true" : "false");
  return items;
}

std::string initializer(const Initializer& of) {
  std::vector<std::string> items = members_of({}, of, !of.parts.empty());
  std::vector<std::string> parts;
  for (const MixturePart& part : of.parts) {
    parts.push_back(cpp::braces(members_of({cpp::literal(part.weight)}, part, false)));
  }
  if (!parts.empty()) items.push_back(cpp::braces(parts));
  return cpp::braces(items);
}

/// What lies in an arena of its own.
struct Arena {
  Role role;
  const char* space;  // the namespace of the places
  const char* what;
};
constexpr Arena parameter_arena{Role::parameter, "parameter", "parameters and their gradients"};
constexpr Arena buffer_arena{Role::buffer, "buffer", "buffers"};

/// The constants that say where things lie in it.
std::string places(const Emission& emission, const Arena& arena) {
  std::string text;
  for (const auto& [value, offset] : arena_layout(emission.model().graph, arena.role).offsets)
    text += cpp::constant(emission.constant(value), offset, to_string(emission.model().graph[value].shape));
  if (text.empty()) return "";
  return fmt::format("// Where {} lie, in floats.\nnamespace {} {{\n{}}}  // namespace {}\n\n", arena.what, arena.space,
                     text, arena.space);
}

/// One line a parameter or buffer: path, shape, strides, place, fans, rule.
std::string parameters(const Emission& emission, const Arena& arena) {
  const Graph& graph = emission.model().graph;
  const Plan& plan = emission.model().evaluation;
  std::string text;
  for (const auto& [value, offset] : arena_layout(graph, arena.role).offsets) {
    const Value& of = graph[value];
    text += cpp::list("          {",
                      {cpp::literal(of.name), cpp::braces(of.shape.extents()), cpp::braces(plan.layout(value).strides),
                       fmt::format("{}::{}", arena.space, emission.constant(value)), std::to_string(of.fan_in),
                       std::to_string(of.fan_out), initializer(of.initializer)},
                      "},");
  }
  if (text.empty()) return "{}";
  return "{\n          // path, shape, strides, place, fan-in, fan-out, first values\n" + text + "      }";
}

/// The members that are not what they are by default.
std::string memory(const MemoryPlan& plan) {
  std::vector<std::string> members;
  const auto member = [&](const char* name, std::int64_t value, std::int64_t usual) {
    if (value != usual) members.push_back(fmt::format(".{} = {}", name, value));
  };
  member("per_example", plan.per_example, 0);
  member("fixed", plan.fixed, 0);
  member("multiple", plan.multiple, 1);
  member("prepared", plan.prepared, 0);
  member("prepared_once", plan.prepared_once, 0);
  std::vector<std::string> scratch;
  for (const ScratchPlan& kernel : plan.scratch)
    scratch.push_back(fmt::format("{{{}, {}}}", kernel.per_example, kernel.fixed));
  if (!scratch.empty()) members.push_back(".scratch = " + cpp::braces(scratch));
  return cpp::braces(members);
}

std::string literal(const RecipeEntry& entry) {
  if (const auto* pair = std::get_if<std::array<double, 2>>(&entry.value)) {
    return cpp::braces({cpp::literal((*pair)[0]), cpp::literal((*pair)[1])});
  }
  if (const auto* text = std::get_if<std::string>(&entry.value)) return cpp::literal(*text);
  if (const auto* real = std::get_if<double>(&entry.value)) return cpp::literal(*real);
  if (const auto* boolean = std::get_if<bool>(&entry.value)) return *boolean ? "true" : "false";
  if (const auto* seed = std::get_if<std::uint64_t>(&entry.value)) return fmt::format("{}", *seed);
  return fmt::format("{}", std::get<int>(entry.value));
}

/// `{.name = "sgd", .lr = 0.9}`: what the entries say below the segment of their paths that begins at `from`.
std::string members(const std::vector<RecipeEntry>& entries, std::size_t from) {
  std::vector<std::string> items;
  for (std::size_t i = 0; i < entries.size();) {
    const std::string& path = entries[i].path;
    const std::size_t dot = path.find('.', from);
    const std::string head = path.substr(0, dot);
    std::vector<RecipeEntry> below;
    for (; i < entries.size() && (entries[i].path + ".").starts_with(head + "."); ++i) below.push_back(entries[i]);
    const std::string value = dot == std::string::npos ? literal(below.front()) : members(below, dot + 1);
    items.push_back(fmt::format(".{} = {}", head.substr(from), value));
  }
  return cpp::braces(items);
}

/// Whether the setting is one that is always stated.
bool is_stated(const std::string& path) {
  const std::string head = path.substr(0, path.find('.'));
  const auto& settings = train_settings();
  return std::any_of(settings.begin(), settings.end(),
                     [&](const Setting& setting) { return setting.always && setting.name == head; });
}

/// A setting a line: what is usual, and what is not the default.
std::string recipe(const Recipe& recipe) {
  std::map<std::string, std::vector<RecipeEntry>> settings;
  for (const RecipeEntry& entry : entries(recipe)) {
    const bool is_name = entry.path.find('.') == std::string::npos || entry.path.ends_with(".name");
    if (entry.is_default && !(is_name && is_stated(entry.path))) continue;
    settings[entry.path.substr(0, entry.path.find('.'))].push_back(entry);
  }
  std::string text;
  for (const Setting& setting : train_settings()) {
    const auto found = settings.find(setting.name);
    if (found == settings.end()) continue;
    const std::string line = members(found->second, 0);
    text += fmt::format("          {},\n", line.substr(1, line.size() - 2));
  }
  return "{\n" + text + "      }";
}

}  // namespace

std::string emit_description(const Emission& emission) {
  using fmt::arg;
  const CompiledModel& model = emission.model();
  const Graph& graph = model.graph;
  const std::string all_places = places(emission, parameter_arena) + places(emission, buffer_arena);
  return (all_places.empty() ? "" : fmt::format("namespace {{\n\n{}}}  // namespace\n\n", all_places)) +
         fmt::format(R"(const netc::Description& description() {{{rules}
  static const netc::Description description{{
      .name = {name},
      .inputs = {inputs},
      .labels = {labels},
      .outputs = {outputs},
      .parameters = {parameters},
      .buffers = {buffers},
      .parameter_floats = {parameter_floats},
      .buffer_floats = {buffer_floats},
      .evaluation = {evaluation},
      .few = {few},
      .training = {training},
      .recipe = {recipe},{cuda}
  }};
  return description;
}}
)",
                     arg("rules", all_places.empty() ? "" : "\n  using Rule = netc::InitializerRule;"),
                     arg("name", cpp::literal(graph.name)), arg("inputs", tensors(graph, graph.inputs)),
                     arg("labels", labels(graph)), arg("outputs", tensors(graph, graph.outputs)),
                     arg("parameters", parameters(emission, parameter_arena)),
                     arg("buffers", parameters(emission, buffer_arena)),
                     arg("parameter_floats", arena_layout(graph, Role::parameter).floats),
                     arg("buffer_floats", arena_layout(graph, Role::buffer).floats),
                     arg("evaluation", memory(model.evaluation.memory)), arg("few", memory(model.few.memory)),
                     arg("training", memory(model.training ? model.training->memory : MemoryPlan{})),
                     arg("recipe", recipe(graph.recipe)),
                     arg("cuda", model.kernels.cuda ? "\n      .cuda = true," : ""));
}

}  // namespace netc
