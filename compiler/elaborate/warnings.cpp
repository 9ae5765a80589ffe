#include "compiler/elaborate/warnings.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "compiler/graph/operator.h"

namespace netc {
namespace {

using ast::Kind;

// ---- W402 -----------------------------------------------------------------------------------------------------------

/// Walks the text once. A use counts for the innermost declaration of its name.
class UnusedNames {
 public:
  explicit UnusedNames(Reporter& reporter) : reporter_(reporter) {}

  void visit(const ast::Node& node);

 private:
  struct Declared {
    std::string name;
    const ast::Node* node;
    bool used;
  };

  void declare(const ast::Node& node);
  void use(const std::string& name);
  void close(std::size_t open);

  Reporter& reporter_;
  std::vector<Declared> declared_;                         // those in sight, outermost first
  std::map<std::string, std::vector<std::size_t>> names_;  // where they stand in `declared_`
};

void UnusedNames::visit(const ast::Node& node) {
  const bool is_list = node.kind == Kind::body || node.kind == Kind::block;
  const std::size_t open = declared_.size();
  if (node.kind == Kind::name || node.kind == Kind::op) use(node.text);
  for (const ast::Node& child : node.children) visit(child);
  if (is_list) close(open);
  if (node.kind == Kind::let || node.kind == Kind::shared || node.kind == Kind::parameter) declare(node);
}

void UnusedNames::declare(const ast::Node& node) {
  names_[node.text].push_back(declared_.size());
  declared_.push_back({node.text, &node, node.text.starts_with('_')});
}

void UnusedNames::use(const std::string& name) {
  const auto found = names_.find(name);
  if (found != names_.end() && !found->second.empty()) declared_[found->second.back()].used = true;
}

void UnusedNames::close(std::size_t open) {
  while (declared_.size() > open) {
    const Declared& last = declared_.back();
    if (!last.used) {
      const char* what = last.node->kind == Kind::let      ? "value"
                         : last.node->kind == Kind::shared ? "shared layer"
                                                           : "parameter";
      reporter_.warning("W402", last.node->span, fmt::format("the {} `{}` is never used", what, last.name),
                        "remove it");
    }
    names_[last.name].pop_back();
    declared_.pop_back();
  }
}

// ---- W403 -----------------------------------------------------------------------------------------------------------

/// The node that computes each value; -1 for none.
std::vector<int> producers(const Graph& graph) {
  std::vector<int> result(graph.values.size(), -1);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId output : graph.nodes[i].outputs) result[static_cast<std::size_t>(output)] = static_cast<int>(i);
  }
  return result;
}

bool has_bias(const Graph& graph, const Node& node) {
  for (const ValueId input : node.inputs) {
    if (input != no_value && graph[input].is_parameter() && graph[input].name == node.path + ".bias") return true;
  }
  return false;
}

/// A bias that the text asks for by name is meant.
void warn_biases(const Graph& graph, Reporter& reporter) {
  const std::vector<int> producer = producers(graph);
  for (const Node& node : graph.nodes) {
    if (node.op->name != "batchnorm") continue;
    const int before = producer[static_cast<std::size_t>(node.inputs.front())];
    if (before < 0) continue;
    const Node& layer = graph.nodes[static_cast<std::size_t>(before)];
    const bool is_normalised = layer.op->name == node.op->name;
    if (is_normalised || !has_bias(graph, layer) || layer.span.text().find("bias") != std::string_view::npos) continue;
    reporter.warning("W403", layer.span, fmt::format("{}: the batchnorm behind it undoes its bias", layer.op->name),
                     "write bias = false, or bias = true to keep it");
  }
}

}  // namespace

void warn(const ast::Node& file, const Graph& graph, Reporter& reporter) {
  UnusedNames unused(reporter);
  for (const ast::Node& node : file.children) {
    if (node.kind == Kind::block || node.kind == Kind::model) unused.visit(node);
  }
  warn_biases(graph, reporter);
}

}  // namespace netc
