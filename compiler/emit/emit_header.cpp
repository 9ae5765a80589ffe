// NAME.hpp: the class of a model, with its parameters as named members.
#include <fmt/format.h>

#include <memory>

#include "compiler/emit/emit_parts.h"

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

std::string write_members(const Member& member, int indent) {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  std::string text;
  for (const auto& child : member.members) {
    if (child->members.empty()) {
      text +=
          fmt::format("{}{:<30} // {}\n", margin, fmt::format("netc::View<float> {};", child->name), child->comment);
    } else {
      text += fmt::format("{0}struct {{\n{1}{0}}} {2};\n", margin, write_members(*child, indent + 2), child->name);
    }
  }
  return text;
}

std::string shape_of(const Graph& graph, const std::vector<ValueId>& values) {
  std::string text;
  for (ValueId value : values)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", graph[value].name, to_string(graph[value].shape));
  return text;
}

std::string training_members(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  std::vector<ValueId> all = graph.inputs;
  all.insert(all.end(), graph.labels.begin(), graph.labels.end());
  return fmt::format(R"(
  /// Training mode: {0}. Fills the gradients and returns the mean loss.
  float backward({1}) {{
    const netc::AnyView inputs[] = {2};
    const netc::AnyView labels[] = {3};
    return Network::backward(inputs, labels);
  }}
  /// `backward`, then a step of the optimizer.
  float train_step({1}, netc::Optimizer& optimizer) {{
    const netc::AnyView inputs[] = {2};
    const netc::AnyView labels[] = {3};
    return Network::train_step(inputs, labels, optimizer);
  }}
)",
                     shape_of(graph, all), emission.parameters_of(all), emission.list_of(graph.inputs),
                     emission.list_of(graph.labels));
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

}  // namespace

std::string emit_header(const Emission& emission) {
  const Graph& graph = emission.model().graph;
  const std::string outputs = shape_of(graph, graph.outputs);
  const Shape& output = graph[graph.outputs[0]].shape;
  const bool cuda = emission.model().kernels.cuda;
  return preamble(emission, fmt::format("The model {}.", emission.name())) +
         fmt::format(R"(#pragma once

#include <netc/network.h>

#include <cstdint>
#include <filesystem>

namespace {0} {{

/// Everything about the model that is known before it runs.
const netc::Description& description();

/// The parameters by name, in PyTorch's shapes. Paths that are no identifiers are reached by `Model::parameter`.
struct Parameters {{
{1}}};

class Model final : public netc::Network {{
 public:
  /// Initialises every parameter by its rule from `seed`.{9}
  explicit Model(std::uint64_t seed = {2}{10});
  /// Parameters and buffers from a safetensors file. Throws netc::Error (io, format, mismatch).
  explicit Model(const std::filesystem::path& weights{10});
  /// All of them zero, until `initialize` or `load`.
  explicit Model(netc::Zeros zeros{10});

  /// Evaluation mode: {3} -> {4}, valid until the next pass.
  netc::View<const float> forward({5}) {{
    const netc::AnyView inputs[] = {6};
    return Network::forward(inputs);
  }}
{7}
  Parameters parameters;

 private:
{8}}};

}}  // namespace {0}
)",
                     emission.name(), write_members(member_tree(graph), 2), graph.recipe.seed,
                     shape_of(graph, graph.inputs), to_string(output), emission.parameters_of(graph.inputs),
                     emission.list_of(graph.inputs), emission.has_loss() ? training_members(emission) : "",
                     pass_declarations(emission), cuda ? " Throws netc::Error where there is no such device." : "",
                     cuda ? ", netc::Device device = netc::best_device()" : "");
}

namespace {

std::string bind_members(const Member& member, const std::string& prefix) {
  std::string text;
  for (const auto& child : member.members) {
    if (child->members.empty()) {
      text += fmt::format("  {}.{} = parameter({});\n", prefix, child->name, cpp::literal(child->path));
    } else {
      text += bind_members(*child, prefix + "." + child->name);
    }
  }
  return text;
}

}  // namespace

std::string emit_model(const Emission& emission) {
  const bool cuda = emission.model().kernels.cuda;
  return preamble(emission, fmt::format("The passes of the model {}: one call a kernel.", emission.name())) +
         fmt::format(R"(#include "{0}.hpp"

#include "{0}_kernels.hpp"

namespace {0} {{

{1}
Model::Model(netc::Zeros{4}) : Network({0}::description(){5}) {{
{2}}}

Model::Model(std::uint64_t seed{4}) : Model(netc::zeros{5}) {{
  initialize(seed);
}}

Model::Model(const std::filesystem::path& weights{4}) : Model(netc::zeros{5}) {{
  load(weights);
}}

{3}
}}  // namespace {0}
)",
                     emission.name(), emit_description(emission),
                     bind_members(member_tree(emission.model().graph), "parameters"), emit_passes(emission),
                     cuda ? ", netc::Device device" : "", cuda ? ", device" : "");
}

}  // namespace netc
