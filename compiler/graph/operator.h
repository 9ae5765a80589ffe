// What an operator is: everything that netc knows about it stands in its one file under ops/, as one Operator.
//
// Three kinds of operator meet in a group of nodes that becomes one kernel (see fuse.h):
//   anchor     computes an element from others elsewhere: conv, pooling, a reduction; at most one a group, but for
//              those that may move into the kernel of their reader
//   pointwise  computes an element from the elements at the same place: relu, add; follows an anchor in its kernel
//   view       computes nothing: flatten, identity; its output is another name of its input's memory
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/graph/graph.h"

namespace Halide {  // NOLINT(readability-identifier-naming)
class Expr;
class Func;
}  // namespace Halide

namespace netc {

class GraphBuilder;
class KernelBuilder;
struct Point;

/// What an attribute may be. `pair` takes an int for both halves, `integers` a tuple or one int.
enum class AttributeType : std::uint8_t { integer, pair, real, boolean, integers };

struct AttributeSpec {
  std::string name{};
  AttributeType type;
  std::optional<Attribute> fallback{};  // none: the attribute must be given
  std::string fallback_to{};            // or: the attribute whose value it takes (a pool's stride is its kernel)
  double least = 0;                     // smallest value allowed, of each half of a pair
  double most = 2147483647;
  std::string doc{};
};

/// A parameter or buffer that a node owns.
struct OwnedSpec {
  std::string name{};  // "weight", "running_mean"
  Role role;           // parameter or buffer
  Shape shape{};
  std::vector<int> order{};  // see Value::order; empty: row-major
  Initializer initializer{};
  std::int64_t fan_in = 1;
  std::int64_t fan_out = 1;
};

/// Why an operator cannot take these inputs: becomes a diagnostic at the node.
struct ShapeError {
  std::string code{};     // "N202"
  std::string message{};  // "conv: the window of 7 exceeds the padded height of 5"
  std::string label{};    // "input [N,1,3,3]"
  std::string help{};
};

struct ShapeWarning {
  std::string code{};  // "W401"
  std::string message{};
  std::string help{};
};

struct Inference {
  std::vector<Shape> outputs{};
  std::vector<OwnedSpec> owned{};
  std::optional<ShapeError> error{};
  std::vector<ShapeWarning> warnings{};
};

/// A configuration of an operator that the tests run; the batch is theirs to choose.
struct Sample {
  std::string name{};
  std::vector<Shape> inputs{};  // with Shape::batch
  Attributes attributes{};
};

enum class Fusion : std::uint8_t { anchor, pointwise, view };

struct Operator {
  std::string_view name{};
  std::string_view doc{};  // one paragraph: what it computes, as a formula
  Fusion fusion = Fusion::anchor;
  bool in_language = true;  // false: only netc's own passes make such nodes (gradients, statistics)
  int inputs = 1;           // data inputs; -1: one or more (add, concat)
  std::vector<AttributeSpec> attributes{};

  /// A loss compares the model's output with a label of this type and shape; its own output is [N].
  bool is_loss = false;
  DType label_type = DType::f32;
  std::function<Shape(const Shape& output)> label_shape{};

  /// Output shapes and owned parameters from the data inputs' shapes, or why not. All operators of the language have
  /// one.
  std::function<Inference(const std::vector<Shape>& inputs, const Attributes& attributes)> infer{};

  /// Multiply-adds of one example; missing: none.
  std::function<std::int64_t(const Graph& graph, const Node& node)> macs{};

  /// What the node becomes in training and in evaluation where that differs: emits nodes, returns what stands for its
  /// outputs. Batchnorm becomes statistics and normalisation, or a formula over its running statistics; dropout the
  /// identity.
  std::function<std::vector<ValueId>(GraphBuilder& builder, const Node& node)> in_training{};
  std::function<std::vector<ValueId>(GraphBuilder& builder, const Node& node)> in_evaluation{};
  /// The same for what it is in both modes, where that is other operators.
  std::function<std::vector<ValueId>(GraphBuilder& builder, const Node& node)> expand{};

  /// Emits nodes for the gradients of `node`'s inputs, given those of its outputs (no_value where the loss does not
  /// depend on one; a loss gets none: its gradient is 1 / batch). Returns one value per input, no_value for one that
  /// needs none, no_gradient for one that has none. May give the forward node further outputs (GraphBuilder::save).
  /// Missing: not differentiable.
  std::function<std::vector<ValueId>(GraphBuilder& builder, int node, const std::vector<ValueId>& output_gradients)>
      gradient{};

  /// view: the operator reads and writes no memory; where its output (concat: its inputs) lies is decided in
  /// lay_out.cpp. pointwise: the value at `point`. anchor: the same, for nodes that `may_move`.
  std::function<Halide::Expr(KernelBuilder& kernel, const Node& node, const Point& point)> value_at{};
  /// anchor: defines the node's outputs (its algorithm), and says how to compute them (its schedule).
  std::function<void(KernelBuilder& kernel, const Node& node)> algorithm{};
  std::function<void(KernelBuilder& kernel, const Node& node)> schedule{};
  /// anchor: how to compute some of its stages on a GPU; the others follow the rule of gpu_schedules.h.
  std::function<void(KernelBuilder& kernel, const Node& node)> gpu_schedule{};
  /// anchor: whether a node computes an element from so few others, and reads so much less memory than it writes, that
  /// it may do so where `reader` reads the element.
  std::function<bool(const Node& node, const Node& reader)> may_move{};
  /// anchor: whether its kernel copies images in blocks of rows that overlap.
  bool copies_rows = false;
  /// anchor: whether its kernel reads the elements of an operand about once, or copies them first, so that what
  /// computes them from elements at the same place may run there (see fuse.h).
  std::function<bool(const Node& node, std::size_t operand)> reads_once{};
  /// anchor: whether its schedule can compute the images that a pool reads (see fuse.h), and whether it is such a pool.
  bool computes_images = false;
  bool pools_images = false;
  /// Whether each channel of the output sums to 0 over the batch, whatever the inputs are.
  bool sums_to_zero = false;
  /// Whether these multiply bf16 where the attribute `bf16` says so (see precision.h).
  bool multiplies_bf16 = false;
  /// Whether these ask KernelBuilder::few(): batches of a few examples then have kernels of their own.
  bool schedules_few = false;

  /// Whether these leave KernelBuilder::prepared what depends on a parameter alone, and schedule it.
  bool prepares = false;
  /// Whether evaluation may multiply another form of a node's weights than training does, such as transforms that are
  /// rounded more (see precision.h); missing: none does.
  std::function<bool(const Graph& graph, const Node& node)> transforms{};

  /// Configurations that every generic test runs: gradients against finite differences and PyTorch's, extents against
  /// the shape rule.
  std::vector<Sample> samples{};
};

/// All operators, in the order of the documentation. The table is explicit: no registration behind anyone's back.
const std::vector<const Operator*>& operators();

/// nullptr when the language has none of that name.
const Operator* find_operator(std::string_view name);

}  // namespace netc
