// The passes in NAME.cpp: where values lie, and one call a group, in order.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "compiler/emit/emit_parts.h"
#include "compiler/graph/operator.h"

namespace netc {

namespace {

/// "conv(6, 5, pad = 2) -> sigmoid" for what a group does in the words of the `.net` file.
std::string in_words(const Plan& plan, const Group& group) {
  std::string text;
  const Node* before = nullptr;
  for (int index : group.nodes) {
    const Node& node = plan.graph.nodes[static_cast<std::size_t>(index)];
    if (before != nullptr && same_layer(*before, node)) continue;
    before = &node;
    std::string words = name(node);
    if (node.op->in_language && node.span) {
      words = node.span.text();
      if (words.find('\n') != std::string::npos || words.size() > 60) words = name(node);
    }
    text += (text.empty() ? "" : " -> ") + words;
  }
  return text;
}

class PassEmitter {
 public:
  PassEmitter(const Emission& emission, const Plan& plan) : emission_(emission), plan_(plan) {
    cpp::Names names;
    for (std::size_t i = 0; i < plan.groups.size(); ++i) {
      if (!prepares(i) || prepared_.contains(plan.prepared[i])) continue;
      prepared_[plan.prepared[i]] = names.unique("prepared_" + emission.constant(prepared_parameter(i)));
    }
  }

  /// The constants that say where this plan's values lie.
  std::string slots() const {
    static const std::map<std::string, const char*> titles{
        {"evaluation", "an evaluation"}, {"few", "an evaluation of a few examples"}, {"training", "training"}};
    std::string text = fmt::format(R"(// Where the values of {0} lie: bytes an example from the arena's start.
// What is never needed at the same time shares a place.
namespace {1} {{
)",
                                   titles.at(emission_.pass(plan_)), emission_.pass(plan_));
    for (const Group& group : plan_.groups) {
      for (ValueId output : group.outputs) {
        if (root(output) == output) text += slot(output);
      }
    }
    std::vector<ValueId> wholes;
    for (const auto& [value, name] : emission_.slots(plan_)) {
      if (!written_directly(value)) wholes.push_back(value);
    }
    for (ValueId whole : wholes) text += slot(whole);
    for (const auto& [place, name] : prepared_) text += cpp::constant(name, place, "of memory that is kept, in bytes");
    return text + fmt::format("}}  // namespace {}\n", emission_.pass(plan_));
  }

  /// A function of the calls of `groups` and what stands behind them.
  std::string pass(const std::string& function, const std::vector<std::size_t>& groups,
                   const std::string& results) const {
    std::string body;
    for (std::size_t group : groups) body += call(group);
    std::string locals;
    const auto local = [&](const std::string& use, const char* definition) {
      if (body.find(use) != std::string::npos) locals += fmt::format("  {};\n", definition);
    };
    local("weights + parameter::", "const float* weights = parameter_arena()");
    local("gradients + parameter::", "float* gradients = gradient_arena()");
    local("buffers + buffer::", "float* buffers = buffer_arena()");
    return fmt::format("void Model::{}() {{\n{}{}{}{}}}\n", function, locals,
                       locals.empty() || body.empty() ? "" : "\n", body, results);
  }

  std::string pointer(ValueId value) const {
    const Place& place = plan_.place(value);
    switch (place.space) {
      case Space::input:
        return fmt::format("input({})", place.offset);
      case Space::label:
        return fmt::format("label({})", place.offset);
      case Space::parameter:
        return "weights + parameter::" + emission_.constant(value);
      case Space::gradient:
        return "gradients + parameter::" + emission_.constant(parameter_of(value));
      case Space::buffer:
        return "buffers + buffer::" +
               emission_.constant(plan_.graph[value].updates == no_value ? value : plan_.graph[value].updates);
      case Space::arena:
        return fmt::format("at({}){}", qualified(value), shift(value));
      case Space::fixed:
        return fmt::format("fixed({}){}", qualified(value), shift(value));
    }
    return "";
  }

 private:
  ValueId root(ValueId value) const { return plan_.aliases[static_cast<std::size_t>(value)].root; }
  std::string qualified(ValueId value) const {
    return emission_.pass(plan_) + "::" + emission_.slot(plan_, root(value));
  }
  /// In floats.
  std::string shift(ValueId value) const {
    const std::int64_t shift = plan_.place(value).shift * size_of(plan_.graph[value].type) / size_of(DType::f32);
    return shift == 0 ? "" : fmt::format(" + {}", shift);
  }

  bool written_directly(ValueId value) const {
    return std::any_of(plan_.groups.begin(), plan_.groups.end(), [&](const Group& group) {
      return std::find(group.outputs.begin(), group.outputs.end(), value) != group.outputs.end();
    });
  }

  std::string slot(ValueId value) const {
    const auto& slots = emission_.slots(plan_);
    if (!slots.contains(value)) return "";
    const Place& place = plan_.place(value);
    return cpp::constant(
        slots.at(value), place.offset,
        to_string(plan_.graph[value].shape) + (place.space == Space::fixed ? ", behind all examples" : ""));
  }

  ValueId parameter_of(ValueId gradient) const {
    for (const auto& [value, of] : plan_.graph.gradients) {
      if (of == gradient) return value;
    }
    return no_value;
  }

  bool prepares(std::size_t group) const { return !plan_.prepared.empty() && plan_.prepared[group] >= 0; }
  ValueId prepared_parameter(std::size_t group) const {
    return plan_.groups[group].inputs[emission_.kernel(plan_, group).prepared->input];
  }
  /// The call that makes what the group's kernel reads in place of a parameter.
  std::string preparation(std::size_t group) const {
    return cpp::list("  prepare(",
                     {"kernels::" + preparation_of(emission_.kernel(plan_, group)), pointer(prepared_parameter(group)),
                      emission_.pass(plan_) + "::" + prepared_.at(plan_.prepared[group])},
                     ");");
  }

  /// A comment that says which layer this is and what it computes, and the call.
  std::string call(std::size_t index) const {
    const Group& group = plan_.groups[index];
    const Node& node = group.anchor_in(plan_.graph);
    std::vector<std::string> arguments{"launch()"};
    for (ValueId input : group.inputs) arguments.push_back(pointer(input));
    if (prepares(index)) arguments[1 + emission_.kernel(plan_, index).prepared->input] = "prepared()";
    for (ValueId output : group.outputs) arguments.push_back(pointer(output));
    const bool again = std::binary_search(plan_.repeated.begin(), plan_.repeated.end(), static_cast<int>(index));
    const std::string comment =
        fmt::format("{}{} ({}): {}: {}", again ? "again: " : "", node.path, emission_.line_of(node),
                    in_words(plan_, group), shapes_of(plan_.graph, group.outputs));
    return cpp::wrapped("  //", "  //    ", comment) + (prepares(index) ? preparation(index) : "") +
           cpp::list(fmt::format("  kernels::{}(", emission_.kernel(plan_, index).name), arguments, ");");
  }

  const Emission& emission_;
  const Plan& plan_;
  std::map<std::int64_t, std::string> prepared_;  // the constants of places
};

std::vector<std::size_t> select(const Plan& plan, std::size_t begin, std::size_t end,
                                const std::function<bool(const Group&)>& wanted) {
  std::vector<std::size_t> groups;
  for (std::size_t i = begin; i < end; ++i) {
    if (wanted(plan.groups[i])) groups.push_back(i);
  }
  return groups;
}

std::string set_outputs(const Plan& plan, const PassEmitter& emitter) {
  std::string text;
  for (std::size_t i = 0; i < plan.graph.outputs.size(); ++i) {
    text += fmt::format("  set_output({}, {});\n", i, emitter.pointer(plan.graph.outputs[i]));
  }
  return text;
}

std::string set_losses(const Plan& plan, const PassEmitter& emitter) {
  return fmt::format("  set_losses({});\n", emitter.pointer(plan.graph.loss));
}

std::string set_input_gradients(const Plan& plan, const PassEmitter& emitter) {
  std::string text;
  for (std::size_t i = 0; i < plan.graph.inputs.size(); ++i) {
    for (const auto& [value, gradient] : plan.graph.gradients) {
      if (value == plan.graph.inputs[i])
        text += fmt::format("  set_input_gradient({}, {});\n", i, emitter.pointer(gradient));
    }
  }
  return text;
}

}  // namespace

std::string emit_passes(const Emission& emission) {
  const auto any = [](const Group&) { return true; };
  std::string constants = "namespace {\n";
  std::vector<std::string> passes;
  const auto evaluation = [&](const Plan& plan, const std::string& name) {
    const PassEmitter infer(emission, plan);
    const auto loss = [&](const Group& group) { return computes_loss(plan.graph, group); };
    const auto no_loss = [&](const Group& group) { return !loss(group); };
    constants += "\n" + infer.slots();
    passes.push_back(infer.pass(name, select(plan, 0, plan.groups.size(), no_loss), set_outputs(plan, infer)));
    if (!emission.has_loss()) return;
    passes.push_back(infer.pass(name + "_loss", select(plan, 0, plan.groups.size(), loss), set_losses(plan, infer)));
  };
  evaluation(emission.model().evaluation, "infer");
  evaluation(emission.model().few, "infer_few");
  if (emission.model().training) {
    const Plan& training = *emission.model().training;
    const PassEmitter train(emission, training);
    const auto forward = static_cast<std::size_t>(training.forward_groups);
    const auto backward = static_cast<std::size_t>(training.backward_groups);
    constants += "\n" + train.slots();
    passes.push_back(train.pass("forward_pass", select(training, 0, forward, any),
                                set_outputs(training, train) + set_losses(training, train)));
    passes.push_back(train.pass("backward_pass", select(training, forward, backward, any), ""));
    passes.push_back(train.pass("input_backward_pass", select(training, backward, training.groups.size(), any),
                                set_input_gradients(training, train)));
  }
  return fmt::format("{}\n}}  // namespace\n\n{}", constants, fmt::join(passes, "\n"));
}

}  // namespace netc
