// Builds the graph layer by layer: shapes, parameters, limits, and in the end the paths.
#pragma once

#include <string>
#include <vector>

#include "compiler/elaborate/paths.h"
#include "compiler/elaborate/report.h"
#include "compiler/graph/graph.h"
#include "compiler/graph/operator.h"

namespace netc {

/// The parameters and buffers of a `shared` layer, in the order in which its first use makes them.
struct SharedParameters {
  std::string name;
  Span use;  // the present one
  std::vector<ValueId> owned;
  bool complete = false;  // the first use is over: later ones take what it made
};

/// A parameter or buffer, and the node that made it.
struct Owned {
  ValueId value = no_value;
  int node = 0;
  std::string name;  // "weight"
};

class LayerBuilder {
 public:
  LayerBuilder(Graph& graph, Reporter& reporter) : graph_(graph), reporter_(reporter) {}

  /// Appends a node and returns its first output; no_value when an input is missing after an earlier error, or after an
  /// error of its own.
  ValueId add(const Operator& op, const Attributes& attributes, const std::vector<ValueId>& inputs, const Leaf& leaf,
              const Span& span);

  /// Appends the loss of `output`, with its label.
  void add_loss(const Operator& op, const Attributes& attributes, ValueId output, const Span& span);

  /// False, and an error, for a value that no memory would hold.
  bool check_size(const std::string& what, const Shape& shape, const Span& span);

  // Between these two calls, layers use the parameters of one shared layer.
  void begin_shared(SharedParameters& shared, const Span& use);
  void end_shared();

  /// A number for an unlabelled block call or repeat at `span`, for PathPlace::instance; `parent` is the one around it.
  int add_instance(const Span& span, int parent);

  /// Gives nodes, values and parameters their paths, and warns where they had to be numbered.
  void assign_names();

  const std::vector<Owned>& owned() const { return owned_; }

 private:
  struct SharedUse {
    SharedParameters* shared;
    std::size_t next;
  };

  struct Instance {
    Span span;
    int parent;
  };

  std::vector<Shape> shapes(const std::vector<ValueId>& ids) const;
  bool check(const Operator& op, const Inference& inference, const std::vector<ValueId>& inputs, const Span& span);
  void report(const ShapeError& error, const std::vector<ValueId>& inputs, const Span& span);
  bool check_limits(const Leaf& leaf, const Span& span);
  ValueId append(const Operator& op, const Attributes& attributes, const std::vector<ValueId>& inputs,
                 const Inference& inference, const Leaf& leaf, const Span& span);
  ValueId own(const OwnedSpec& spec, const Span& span);
  ValueId reuse(SharedUse& use, const OwnedSpec& spec);
  void warn_numbered(const std::vector<Path>& paths, int node);
  int outermost_apart(int instance, int other) const;

  Graph& graph_;
  Reporter& reporter_;
  std::vector<Leaf> leaves_;  // one a node
  std::vector<Owned> owned_;
  std::vector<SharedUse> uses_;
  std::vector<Instance> instances_;
};

}  // namespace netc
