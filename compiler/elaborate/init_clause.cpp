// `init`: which parameters a clause selects, and the rules that they get.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>

#include "compiler/elaborate/clauses.h"
#include "compiler/elaborate/init_rule.h"

namespace netc {
namespace {

using ast::Kind;

/// Finds the parameters that a clause means.
class Selection {
 public:
  Selection(const std::vector<Owned>& owned, const Graph& graph, Reporter& reporter)
      : owned_(owned), graph_(graph), reporter_(reporter) {}

  /// The parameters of the layers that `selector` names: an operator, or a path or its beginning.
  std::vector<Owned> layers(const ast::Node& selector, const std::string& text);
  /// The parameter whose whole path is `text`, or nothing.
  std::vector<Owned> parameter(const std::string& text) const;

 private:
  const Node& node(const Owned& owned) const { return graph_.nodes[static_cast<std::size_t>(owned.node)]; }
  void report_unknown(const ast::Node& selector, const std::string& text);

  template <class Matches>
  std::vector<Owned> filter(Matches matches) const {
    std::vector<Owned> result;
    std::copy_if(owned_.begin(), owned_.end(), std::back_inserter(result),
                 [&](const Owned& owned) { return graph_[owned.value].is_parameter() && matches(owned); });
    return result;
  }

  const std::vector<Owned>& owned_;
  const Graph& graph_;
  Reporter& reporter_;
};

std::vector<Owned> Selection::parameter(const std::string& text) const {
  return filter([&](const Owned& owned) { return graph_[owned.value].name == text; });
}

std::vector<Owned> Selection::layers(const ast::Node& selector, const std::string& text) {
  std::vector<Owned> found = filter([&](const Owned& owned) { return node(owned).op->name == text; });
  if (found.empty()) {
    found = filter([&](const Owned& owned) {
      const std::string& path = node(owned).path;
      return path.starts_with(text) && (path.size() == text.size() || path[text.size()] == '.');
    });
  }
  if (found.empty()) report_unknown(selector, text);
  return found;
}

void Selection::report_unknown(const ast::Node& selector, const std::string& text) {
  if (find_operator(text) != nullptr) {
    reporter_.warning("W405", selector.span, fmt::format("the model has no `{}` with parameters", text));
    return;
  }
  std::set<std::string> known;
  for (const Owned& owned : owned_) {
    known.emplace(node(owned).op->name);
    const std::string& path = node(owned).path;
    for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', dot + 1))
      known.insert(path.substr(0, dot));
    known.insert(path);
  }
  std::string help = did_you_mean(text, {known.begin(), known.end()});
  if (help.empty()) help = "`netc summary` lists the paths";
  reporter_.error("N305", selector.span, fmt::format("no layer with parameters has the path `{}`", text), help);
}

/// Gives `rule` to the parameters called `name` among `selected`.
void assign(const std::vector<Owned>& selected, const std::string& name, const Initializer& rule, const Span& span,
            Graph& graph, Reporter& reporter) {
  std::set<std::string> others;
  bool found = false;
  for (const Owned& owned : selected) {
    others.insert(owned.name);
    if (owned.name != name) continue;
    found = true;
    Value& parameter = graph[owned.value];
    if (!check_fans(rule, parameter.name, parameter.shape, span, reporter)) return;
    parameter.initializer = rule;
  }
  if (found || selected.empty()) return;
  const std::vector<std::string> names(others.begin(), others.end());
  std::string help = did_you_mean(name, names);
  if (help.empty()) help = fmt::format("they have {}", fmt::join(names, ", "));
  reporter.error("N305", span, fmt::format("the layers selected here have no parameter `{}`", name), help);
}

/// init path.weight = rule;
void apply_single(const ast::Node& clause, const Environment& environment, Selection& selection, Graph& graph,
                  Reporter& reporter) {
  const ast::Node& selector = clause.children.front();
  const std::optional<Initializer> rule = read_initializer(clause.children.back(), environment, reporter);
  const std::size_t dot = selector.text.rfind('.');
  if (dot == std::string::npos) {
    reporter.error("N305", selector.span, fmt::format("`{}` names no parameter", selector.text),
                   "write the layer's path in front, such as `linear.weight`");
    return;
  }
  if (!rule) return;
  std::vector<Owned> selected = selection.parameter(selector.text);
  if (selected.empty()) selected = selection.layers(selector, selector.text.substr(0, dot));
  assign(selected, selector.text.substr(dot + 1), *rule, selector.span, graph, reporter);
}

}  // namespace

void apply_init(const ast::Node& clause, const Environment& environment, const std::vector<Owned>& owned, Graph& graph,
                Reporter& reporter) {
  Selection selection(owned, graph, reporter);
  if (clause.children.back().kind != Kind::rule) return apply_single(clause, environment, selection, graph, reporter);
  std::vector<Owned> selected;
  for (const ast::Node& child : clause.children) {
    if (child.kind != Kind::selector) continue;
    for (Owned& found : selection.layers(child, child.text)) selected.push_back(std::move(found));
  }
  std::set<std::string> ruled;
  for (const ast::Node& child : clause.children) {
    if (child.kind != Kind::rule) continue;
    if (!ruled.insert(child.text).second) {
      reporter.error("N119", child.span, fmt::format("init: `{}` has two rules in one clause", child.text),
                     "remove one of them");
    }
    const std::optional<Initializer> rule = read_initializer(child.children.front(), environment, reporter);
    if (rule) assign(selected, child.text, *rule, child.span, graph, reporter);
  }
}

}  // namespace netc
