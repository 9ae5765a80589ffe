// What the compiler's stages make of a file.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compiler/formula/tensor_function.h"
#include "compiler/graph/graph.h"
#include "compiler/kernels/lower.h"
#include "compiler/passes/plan_memory.h"

namespace netc {

/// A model through all stages. The kernels point into the plans, so it stays where it is.
struct CompiledModel {
  CompiledModel() = default;
  CompiledModel(const CompiledModel&) = delete;
  CompiledModel& operator=(const CompiledModel&) = delete;

  Graph graph;  // as elaborated
  Plan evaluation;
  Plan few;                      // the same for at most few_examples
  std::optional<Plan> training;  // of models with a loss
  std::vector<TensorFunction> functions;
  KernelTable kernels;  // of `plans`, then of the functions

  /// The evaluation of a batch.
  const Plan& evaluation_of(std::int64_t batch) const { return batch <= few_examples ? few : evaluation; }
  std::vector<const Plan*> plans() const {
    std::vector<const Plan*> all{&evaluation, &few};
    if (training) all.push_back(&*training);
    return all;
  }

  /// Gives what the kernels prepare places in memory. The same parameter is prepared for the same kernel once.
  void plan_preparations();

  /// A file of functions alone has no model.
  bool has_model() const { return !graph.nodes.empty(); }
};

}  // namespace netc
