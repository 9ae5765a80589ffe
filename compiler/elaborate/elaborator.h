// Unrolls one model: walks its statements with the compile-time values at hand and has the layers built.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "compiler/elaborate/expressions.h"
#include "compiler/elaborate/layer_builder.h"
#include "compiler/elaborate/overrides.h"
#include "compiler/elaborate/paths.h"
#include "compiler/elaborate/report.h"
#include "compiler/graph/graph.h"
#include "dsl/ast.h"

namespace netc {

/// What one list of statements sees. Values and labels end at the list's end.
struct Scope {
  Environment names;
  std::map<std::string, ValueId> labels;  // inputs, too; no_value after an error
  const Scope* parent = nullptr;          // the list around it in the same block or model
  bool is_model = false;
};

/// `shared name = layer;`
struct SharedLayer {
  const ast::Node* element = nullptr;
  Scope* scope = nullptr;  // where it is declared; outlives every use
  PathPlace place;
  SharedParameters parameters;
  std::ptrdiff_t blocks = 0;  // how many are active where it is declared
  bool in_use = false;
};

class Elaborator {
 public:
  Elaborator(Graph& graph, Overrides& overrides, Reporter& reporter)
      : graph_(graph), overrides_(overrides), reporter_(reporter), layers_(graph, reporter) {}

  /// The whole model: layers, outputs, loss, names, initial values, recipe.
  void model(const ast::Node& model, const Environment& file);

 private:
  // elaborate.cpp: the statements of a model
  void statement(const ast::Node& node, ValueId& value, const PathPlace& place, Scope& scope);
  void model_statement(const ast::Node& node, ValueId& value, Scope& scope);
  void input(const ast::Node& node, ValueId& value, Scope& scope);
  void outputs(ValueId last, const Scope& scope);
  void loss(const Scope& scope);
  void clauses(const Scope& scope);
  void check_complete(const ast::Node& model);

  // layers.cpp: statements and layers of any list
  ValueId list(const ast::Node& body, ValueId value, const PathPlace& place, Scope& scope);
  ValueId nested(const ast::Node& body, ValueId value, const PathPlace& place, Scope& parent);
  void sequence(const ast::Node& node, ValueId& value, const PathPlace& place, Scope& scope);
  void let(const ast::Node& node, Scope& scope);
  void shared(const ast::Node& node, const PathPlace& place, Scope& scope);
  void expect(const ast::Node& node, ValueId value, const Scope& scope);
  void declare(const std::string& name, Constant value, const Span& span, Scope& scope);
  std::optional<Shape> shape(const std::vector<ast::Node>& extents, const Scope& scope);

  ValueId element(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  ValueId chain(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  ValueId sequential(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  ValueId conditional(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  ValueId repeat(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  ValueId iteration(const ast::Node& repeat, const Constant& item, ValueId value, const PathPlace& place, Scope& scope);
  std::optional<Tuple> repetitions(const ast::Node& node, const Scope& scope);
  ValueId branches(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);
  std::vector<ValueId> branch_values(const ast::Node& body, ValueId value, const PathPlace& inside, Scope& scope);
  ValueId from(const ast::Node& node, const Scope& scope);
  ValueId call(const ast::Node& node, ValueId value, const PathPlace& place, Scope& scope);

  // calls.cpp: what a name in a chain stands for
  ValueId apply(const LayerReference& layer, const std::vector<ValueId>& inputs, const PathPlace& place,
                const Span& span);
  ValueId apply_operator(const LayerReference& layer, const std::vector<ValueId>& inputs, const PathPlace& place,
                         const Span& span);
  ValueId apply_own(const LayerReference& layer, const std::vector<ValueId>& inputs, const PathPlace& place,
                    const Span& span);
  bool check_inputs(const std::string& name, std::size_t wanted, std::size_t given, const Span& span);
  ValueId apply_block(const LayerReference& layer, ValueId value, const PathPlace& place, const Span& span);
  ValueId apply_shared(const LayerReference& layer, ValueId value, const PathPlace& place, const Span& span);
  bool may_enter(const LayerReference& layer, const Span& span);
  bool bind_block(const LayerReference& layer, const Span& span, Scope& scope, std::string& call);

  bool step(const Span& span);

  Graph& graph_;
  Overrides& overrides_;
  Reporter& reporter_;
  LayerBuilder layers_;
  std::deque<SharedLayer> shared_;
  std::vector<const ast::Node*> active_;   // the blocks that are being unrolled, outermost first
  std::vector<const ast::Node*> clauses_;  // output, loss, init and train of the model, for its end
  bool has_input_ = false;
  int steps_ = 0;
  int depth_ = 0;
  bool stopped_ = false;  // a limit is passed: unwind
};

}  // namespace netc
