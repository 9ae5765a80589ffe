// What an operator sees while its group becomes a Halide pipeline: points of values, reads, definitions, and the
// machine.
//
// Halide's arguments are, for every value: the lane, the axes from the last to the second, the block of examples
// (see layout.h); for values without a batch the axes from the last to the first. Storage order is a matter of strides.
#pragma once

#include <Halide.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/layout.h"
#include "compiler/graph/operator.h"
#include "compiler/graph/precision.h"
#include "compiler/kernels/tiles.h"
#include "compiler/passes/fuse.h"

namespace netc {

/// A place in a value. `axes` are the logical axes behind the batch (c, y, x of an image), or all axes of a parameter.
struct Point {
  Halide::Expr lane;  // undefined for values without a batch
  Halide::Expr block;
  std::vector<Halide::Expr> axes;

  bool has_batch() const { return lane.defined(); }
  /// The same place with other axes.
  Point with(std::vector<Halide::Expr> other) const { return {lane, block, std::move(other)}; }
};

/// What the target can do.
struct Machine {
  std::string name;  // "avx512"
  Halide::Target target;
  int vector;                             // floats in a vector register
  int accumulators;                       // vector registers that a tile of sums may take
  Halide::Type real = Halide::Float(32);  // what f32 values are computed and stored in; tests ask for doubles
  bool bf16 = false;                      // has instructions that add up products of pairs of bf16 (dot products)
  Precision products = Precision::f32;    // of a GPU: what its tensor cores are to multiply
  /// Compiles a kernel in CUDA C++ to what a driver loads; none where pipelines are only looked at.
  std::function<std::string(const std::string& source)> cuda_image{};

  bool is_gpu() const { return target.has_gpu_feature(); }
  /// How many sums for each of so many vectors of factors fit into registers, with those vectors and the factor that
  /// they are multiplied by.
  int sums(int vectors) const {
    constexpr int operands = 4;  // that there are registers for beside the accumulators
    return (accumulators - std::max(0, vectors + 1 - operands)) / vectors;
  }
};

/// Halide's type of an element where f32 values are computed and stored as `real`.
Halide::Type halide_type(DType type, Halide::Type real);

/// What a kernel computes of a group: all of it; what depends on a parameter alone, which stays in memory; or the rest,
/// from there (see KernelBuilder::prepared).
enum class Part : std::uint8_t { whole, preparation, rest };

/// What the rest of a group reads in place of a parameter.
struct Preparation {
  ValueId parameter;
  std::int64_t bytes;
};

class KernelBuilder {
 public:
  using Expr = Halide::Expr;
  using Func = Halide::Func;
  using Var = Halide::Var;

  /// `layouts` holds a layout for every value of the graph; `choices` are what is known to be best for this kernel.
  KernelBuilder(const Graph& graph, const Group& group, const std::vector<Layout>& layouts, const Machine& machine,
                Choices choices = {}, Part part = Part::whole);

  const Graph& graph() const { return graph_; }
  const Shape& shape(ValueId value) const { return graph_[value].shape; }
  const Layout& layout(ValueId value) const { return layouts_[static_cast<std::size_t>(value)]; }
  const Machine& machine() const { return machine_; }

  /// A constant of the type that f32 values are computed in.
  Expr constant(double value) const { return Halide::Internal::make_const(machine_.real, value); }
  Halide::Type real() const { return machine_.real; }

  /// Images that this kernel computes side by side in a vector; 1: it vectorises over an axis.
  int lanes() const { return lanes_; }
  /// Whether there are at most few_examples: too few to keep all threads busy, or to do work once for all of them.
  bool few() const { return group_.few; }
  Part part() const { return part_; }
  /// Number of examples, and of blocks of them.
  Expr batch() const { return batch_; }
  Expr blocks() const { return lanes_ == 1 ? Expr(batch_) : (batch_ + (lanes_ - 1)) / lanes_; }
  /// Key and counter of the random numbers.
  Expr seed() const { return machine_.is_gpu() ? counter(0) : Expr(seed_); }
  Expr step() const { return machine_.is_gpu() ? counter(1) : Expr(step_); }

  /// The variables: of a batch `lane`, `block`, and an axis each; `axis(i)` counts as the shape does, so that of an
  /// image axis(1) is the channel.
  Var lane() const { return lane_; }
  Var block() const { return block_; }
  Var axis(int i) const { return axes_[static_cast<std::size_t>(i)]; }
  /// The place that these variables name in a value of this shape, and the variables in Halide's order.
  Point point(const Shape& shape) const;
  std::vector<Var> variables(const Shape& shape) const;
  std::vector<Expr> arguments(const Point& point) const;

  /// The example that a point belongs to, and whether there is such an example (the last block may be padded).
  Expr example(const Point& point) const { return point.block * lanes_ + point.lane; }
  Expr valid(const Point& point) const;

  /// Whether a node of this group computes `value`.
  bool computes(ValueId value) const { return producers_.contains(value); }
  /// Whether it does so from elements at other places, too.
  bool gathers(ValueId value) const;
  /// The element of `value` at `point`: from memory, or from the node of this group that computes it.
  Expr read(ValueId value, const Point& point);
  /// The same of memory, in the type that it is stored in.
  Expr stored(ValueId value, const Point& point) { return load_stored(value, point); }
  DType stored_type(ValueId value) const { return graph_[value].type; }
  /// The element of a value without a batch.
  Expr parameter(ValueId value, std::vector<Expr> axes) { return read(value, Point{{}, {}, std::move(axes)}); }

  /// The operand itself, for stages that Halide does not look into.
  Halide::ImageParam memory(ValueId value) { return parameter_for(value); }

  /// anchor: this Func (arguments as `variables`) computes `value`.
  void define(ValueId value, Func func);
  /// The Func that an anchor defined for `value`.
  Func defined(ValueId value) const { return definitions_.at(value); }
  /// The Func that is written to memory: of the anchor's first output, with everything that the group does to it.
  Func out(std::size_t i = 0) const { return outs_[i]; }
  const std::vector<Func>& outs() const { return outs_; }
  /// The value that the group's chain ends with.
  ValueId output() const { return group_.outputs[0]; }
  /// Whether a pool reads what the anchor computes: `out` is then an image of its own for the anchor's schedule.
  bool pools() const { return group_.pool.has_value(); }
  /// Funcs between the inputs and the definitions, by name: an algorithm leaves them for its schedule.
  void stage(const std::string& name, Func func) { stages_.emplace(name, func); }
  Func stage(const std::string& name) const { return stages_.at(name); }
  bool has_stage(const std::string& name) const { return stages_.contains(name); }
  /// A number that goes with them.
  void stage_extent(const std::string& name, int extent) { extents_[name] = extent; }
  int stage_extent(const std::string& name) const { return extents_.at(name); }
  /// An unused name, unique to this kernel: names of Halide's may not depend on what was compiled before.
  std::string name(const std::string& stem);

  /// anchor: `func`, of these extents, depends on `parameter` alone, and nothing else reads that: it may be computed
  /// once for many passes, by a kernel of its own. Returns what to read in its place; where this kernel prepares,
  /// `func` is all that it computes.
  Func prepared(ValueId parameter, Func func, const std::vector<int>& extents);
  /// Whether there is such a thing.
  std::optional<Preparation> find_preparation();

  /// Has `stage`, a sum over `terms`, so many of which are added up together, fetch what was prepared, if anything was,
  /// into the cache before it reads it: by the rule so many terms ahead. Choice: by instructions. Alternative: the
  /// processor's own prefetcher, which begins anew in each page of memory. One image of ResNet-18: 1.47 -> 1.16 ms, two
  /// threads (2026-11).
  void fetch_ahead(Halide::Stage stage, const Halide::RVar& terms, int together, int rule) const;

  /// A number that a schedule (or an algorithm, between forms that round alike) may choose freely: what is known to be
  /// best for this kernel, or else `rule`. `candidates` are what else makes sense; none of them may depend on the
  /// number of threads. Asked again by the same name, it answers the same. Throws WrongChoice.
  int choice(const std::string& name, int rule, std::vector<int> candidates) const;
  /// Those that were asked for, in their order.
  const std::vector<Offer>& offers() const { return offers_; }

  /// Runs the algorithms, then the schedules, and returns the pipeline and its arguments: batch, seed, step (for a GPU
  /// one buffer of both), the group's inputs, in order.
  Halide::Pipeline build();
  std::vector<Halide::Argument> pipeline_arguments() const;

 private:
  Expr counter(int i) const { return Halide::cast<std::uint32_t>(counters_(i)); }
  Expr load(ValueId value, const Point& point);
  Expr load_stored(ValueId value, const Point& point);
  Halide::ImageParam parameter_for(ValueId value);
  void constrain(Halide::OutputImageParam param, ValueId value, bool extents) const;
  Func write(const std::vector<ValueId>& values);
  void define_anchor();
  void define_image();
  void schedule_image(const Node& first);
  void schedule(const Node& first);
  void check_choices() const;

  const Graph& graph_;
  const Group& group_;
  const std::vector<Layout>& layouts_;
  const Machine& machine_;
  Choices choices_;
  Part part_;
  std::optional<Preparation> preparation_;
  mutable std::vector<Offer> offers_;  // a record of what was asked
  std::string prefix_;
  int lanes_ = 1;
  Halide::Param<int> batch_{"batch"};
  Halide::Param<std::uint32_t> seed_{"seed"};
  Halide::Param<std::uint32_t> step_{"step"};
  Halide::ImageParam counters_{Halide::Int(32), 1, "counters"};
  Var lane_{"l"};
  Var block_{"n"};
  std::vector<Var> axes_;
  std::map<std::string, int> names_;
  std::map<ValueId, Halide::ImageParam> inputs_;
  std::map<ValueId, Func> definitions_;
  std::map<std::string, Func> stages_;
  std::map<std::string, int> extents_;
  std::map<ValueId, const Node*> producers_;
  std::vector<Func> outs_;
  std::map<ValueId, Func> images_;  // what a pool reads
};

}  // namespace netc
