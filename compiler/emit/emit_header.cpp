// NAME.hpp: the class of a model, with its parameters as named members.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "compiler/emit/emit_parts.h"
#include "netc/network.h"

namespace netc {

namespace {

/// The parameters as a tree of path segments, in the order of their first appearance.
struct Member {
  std::string name;
  std::string comment;  // of a leaf: its shape
  std::string path;     // of a leaf
  std::vector<std::unique_ptr<Member>> members;

  Member& child(const std::string& wanted) {
    for (const auto& member : members) {
      if (member->name == wanted) return *member;
    }
    members.push_back(std::make_unique<Member>());
    members.back()->name = wanted;
    return *members.back();
  }
};

std::vector<std::string> segments(const std::string& path) {
  std::vector<std::string> result;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t dot = std::min(path.find('.', begin), path.size());
    result.push_back(path.substr(begin, dot - begin));
    begin = dot + 1;
  }
  return result;
}

/// Only paths whose segments are all identifiers can be reached as members.
Member member_tree(const Graph& graph) {
  Member root;
  for (const Value& value : graph.values) {
    if (!value.is_parameter()) continue;
    const std::vector<std::string> path = segments(value.name);
    if (!std::all_of(path.begin(), path.end(), cpp::is_identifier)) continue;
    Member* at = &root;
    for (const std::string& segment : path) at = &at->child(segment);
    at->comment = to_string(value.shape);
    at->path = value.name;
  }
  return root;
}

/// Leaves' comments stand below each other.
std::string write_members(const Member& member, std::size_t indent) {
  const auto declaration = [](const Member& leaf) { return fmt::format("netc::View<float> {};", leaf.name); };
  std::size_t longest = 0;
  for (const auto& child : member.members) {
    if (child->members.empty()) longest = std::max(longest, declaration(*child).size());
  }
  const std::string margin(indent, ' ');
  std::string text;
  for (const auto& child : member.members) {
    if (child->members.empty()) {
      text += fmt::format("{}{:<{}}  // {}\n", margin, declaration(*child), longest, child->comment);
    } else {
      text += fmt::format("{0}struct {{\n{1}{0}}} {2};\n", margin, write_members(*child, indent + 2), child->name);
    }
  }
  return text;
}

/// A function of the class that calls the one of the base, which takes tensors of any types.
std::string method(const std::string& result, const std::string& name, const std::string& parameters,
                   const std::string& arguments) {
  const std::string head = fmt::format("  {} {}({}) {{", result, name, parameters);
  const std::string call = fmt::format("return Network::{}({});", name, arguments);
  const std::string line = head + " " + call + " }\n";
  return line.size() <= cpp::columns + 1 ? line : fmt::format("{}\n    {}\n  }}\n", head, call);
}

/// What evaluation returns, and what else is there after it.
std::string results(const Graph& graph) {
  std::string text = describe(graph, {graph.outputs[0]}) + ", valid until the next pass.";
  for (std::size_t i = 1; i < graph.outputs.size(); ++i)
    text += fmt::format("\n  /// `output({})`: {}.", i, describe(graph, {graph.outputs[i]}));
  return text;
}

std::string training_members(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  const std::vector<ValueId> all = inputs_and_labels(graph);
  const std::string parameters = emission.parameters_of(all);
  const std::string views = emission.views_of(graph.inputs) + ", " + emission.views_of(graph.labels);
  const std::string step =
      method("float", "train_step", parameters + ", netc::Optimizer& optimizer", views + ", optimizer");
  return fmt::format(R"(
  /// Evaluation mode, {0}: the mean loss.
{1}
  /// Training mode, {0}: fills the gradients and returns the mean loss.
{2}
  /// `backward`, then a step of the optimizer; the loss is from before it.
{3})",
                     describe(graph, all), method("float", "evaluate_loss", parameters, views),
                     method("float", "backward", parameters, views), step);
}

/// The base's functions of these names, which take tensors of any types, are there as well.
std::string unhidden(const Emission& emission) {
  if (!emission.has_loss()) return "\n  using Network::forward;\n";
  return R"(
  using Network::backward;
  using Network::evaluate_loss;
  using Network::forward;
  using Network::train_step;
)";
}

std::string pass_declarations(const Emission& emission) {
  if (!emission.has_loss()) return "  void infer() override;\n  void infer_few() override;\n";
  return R"(  void infer() override;
  void infer_loss() override;
  void infer_few() override;
  void infer_few_loss() override;
  void forward_pass() override;
  void backward_pass() override;
  void input_backward_pass() override;
)";
}

/// "{.conv1 = {.weight = parameter("conv1.weight"), …}}", in the layout of the struct.
std::string bind_members(const Member& member, std::size_t indent) {
  const std::string margin(indent, ' ');
  std::string text;
  for (const auto& child : member.members) {
    if (child->members.empty()) {
      text += fmt::format("{}.{} = parameter({}),\n", margin, child->name, cpp::literal(child->path));
    } else {
      text += fmt::format("{0}.{1} = {{\n{2}{0}}},\n", margin, child->name, bind_members(*child, indent + 4));
    }
  }
  return text;
}

/// How the constructor names the parameters.
std::string bound_parameters(const Graph& graph) {
  const Member tree = member_tree(graph);
  if (tree.members.empty()) return "parameters{}";
  return fmt::format("parameters{{\n{}      }}", bind_members(tree, 10));
}

}  // namespace

std::string emit_header(const Emission& emission) {
  using fmt::arg;
  const Graph& graph = emission.model().graph;
  const bool cuda = emission.model().kernels.cuda;
  return preamble(fmt::format("The model {}.", emission.name()), emission.source()) +
         fmt::format(R"(#pragma once

#include <netc/network.h>

#include <cstdint>
#include <filesystem>

static_assert(netc::generated_code_version == {version},
              "{model}.hpp was generated for another version of netc: run netc {source} again");

namespace {model} {{

/// Everything about the model that is known before it runs.
const netc::Description& description();

/// Views of the parameters by name, in PyTorch's shapes: what is written through them counts. Those whose paths hold
/// numbers are reached by `Model::parameter`.
struct Parameters {{
{members}}};

/// For one thread at a time. All that goes wrong is thrown as netc::Error.
class Model final : public netc::Network {{
 public:
  /// Initialises every parameter by its rule from `seed`.{throws}
  explicit Model(std::uint64_t seed = {seed}{device});
  /// Parameters and buffers from a safetensors file. Throws netc::Error (io, format, mismatch).
  explicit Model(const std::filesystem::path& weights{device});
  /// All of them zero, until `initialize` or `load`.
  explicit Model(netc::Zeros zeros{device});

  /// Evaluation mode: {inputs} -> {results}
{forward}{training}{unhidden}
  const Parameters parameters;

 private:
{passes}}};

}}  // namespace {model}
)",
                     arg("version", generated_code_version), arg("model", emission.name()),
                     arg("source", emission.source()), arg("members", write_members(member_tree(graph), 2)),
                     arg("throws", cuda ? " Throws netc::Error where there is no such device." : ""),
                     arg("seed", graph.recipe.seed),
                     arg("device", cuda ? ", netc::Device device = netc::best_device()" : ""),
                     arg("inputs", describe(graph, graph.inputs)), arg("results", results(graph)),
                     arg("forward", method("netc::View<const float>", "forward", emission.parameters_of(graph.inputs),
                                           emission.views_of(graph.inputs))),
                     arg("training", emission.has_loss() ? training_members(emission) : ""),
                     arg("unhidden", unhidden(emission)), arg("passes", pass_declarations(emission)));
}

std::string emit_model(const Emission& emission) {
  using fmt::arg;
  const bool cuda = emission.model().kernels.cuda;
  return preamble(fmt::format("The passes of the model {}: one call a kernel.", emission.name()), emission.source()) +
         fmt::format(R"(#include "{model}.hpp"

#include "{model}_kernels.hpp"

namespace {model} {{

{description}
Model::Model(netc::Zeros{device})
    : Network(::{model}::description(){passed}),
      {parameters} {{}}

Model::Model(std::uint64_t seed{device}) : Model(netc::zeros{passed}) {{
  initialize(seed);
}}

Model::Model(const std::filesystem::path& weights{device}) : Model(netc::zeros{passed}) {{
  load(weights);
}}

{calls}
}}  // namespace {model}
)",
                     arg("model", emission.name()), arg("description", emit_description(emission)),
                     arg("device", cuda ? ", netc::Device device" : ""), arg("passed", cuda ? ", device" : ""),
                     arg("parameters", bound_parameters(emission.model().graph)), arg("calls", emit_passes(emission)));
}

}  // namespace netc
