// The parts of the emitter: one function a generated file, and the names that all of them use.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/emit/cpp_writer.h"
#include "compiler/emit/emit.h"

namespace netc {

/// The name of an input or a label in C++: the file's, or where what stands around it has `taken` that, one with a `_`.
std::string argument_name(const Graph& graph, ValueId value, const std::set<std::string_view>& taken);

/// A model with the names that its values, parameters and kernels get in C++.
class Emission {
 public:
  Emission(const CompiledModel& model, std::string source);

  const CompiledModel& model() const { return model_; }
  const std::string& name() const { return model_.graph.name; }
  const std::string& source() const { return source_; }

  /// Parameters and buffers: the constant that holds the offset.
  const std::string& constant(ValueId value) const { return constants_.at(value); }
  /// Values of a plan that lie in the arena: the constant that holds the place, without its namespace.
  const std::string& slot(const Plan& plan, ValueId root) const { return slots_.at(&plan).at(root); }
  const std::map<ValueId, std::string>& slots(const Plan& plan) const { return slots_.at(&plan); }
  /// The namespace of a plan's slots: "evaluation", "few" or "training".
  std::string pass(const Plan& plan) const {
    return &plan == &model_.evaluation ? "evaluation" : &plan == &model_.few ? "few" : "training";
  }
  /// Inputs and labels: the argument of a function.
  std::string argument(ValueId value) const;
  /// The kernel of a group.
  const KernelEntry& kernel(const Plan& plan, std::size_t group) const;

  /// "netc::View<const float> image, netc::View<const std::int32_t> label"
  std::string parameters_of(const std::vector<ValueId>& values) const;
  /// "netc::any_views(image)"
  std::string views_of(const std::vector<ValueId>& values) const;
  bool has_loss() const { return model_.graph.loss != no_value; }
  /// "lenet.net:4"
  std::string line_of(const Node& node) const;

 private:
  std::map<ValueId, std::string> name_slots(const Plan& plan) const;

  const CompiledModel& model_;
  std::string source_;
  std::map<ValueId, std::string> constants_;
  std::map<const Plan*, std::map<ValueId, std::string>> slots_;
};

/// The names of a kernel's functions, one an instruction set, and that for CUDA: "nullptr" where there is none.
using Variants = std::vector<std::string>;
Variants variants_of(const KernelTable& kernels, const KernelEntry& entry);

/// The kernel that prepares what an entry's reads: its name and its functions.
std::string preparation_of(const KernelEntry& entry);
Variants preparing_variants_of(const KernelTable& kernels, const KernelEntry& entry);

/// Their declarations, a line each.
std::string declarations_of(const Variants& variants);

/// "[N,16,5,5], [N,10]"
std::string shapes_of(const Graph& graph, const std::vector<ValueId>& values);

/// What a training pass takes.
std::vector<ValueId> inputs_and_labels(const Graph& graph);

/// The first lines of a file that is generated from `source`.
std::string preamble(const std::string& what, const std::string& source);

std::string emit_header(const Emission& emission);
std::string emit_model(const Emission& emission);
std::string emit_description(const Emission& emission);
std::string emit_passes(const Emission& emission);
std::string emit_kernel_header(const Emission& emission);
std::string emit_kernels(const Emission& emission);
std::string emit_c_header(const Emission& emission);
std::string emit_c_interface(const Emission& emission);
std::string emit_main(const Emission& emission);
std::string emit_functions_header(const CompiledModel& model, const std::string& source);
std::string emit_functions(const CompiledModel& model, const std::string& source);
std::string emit_cmake(const CompiledModel& model, const std::string& source);

}  // namespace netc
