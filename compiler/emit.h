// Kernels -> Files: the C++ that a user reads, compiles and links.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/graph.h"
#include "compiler/lower.h"
#include "compiler/plan_memory.h"
#include "compiler/tensor_function.h"

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

struct GeneratedFile {
  std::string name;
  std::string text;
};

/// NAME.hpp (the model's class), NAME.cpp (its passes), NAME_kernels.hpp and NAME_kernels.cpp (what they call), NAME.h
/// and NAME_c.cpp (the C interface), main.cpp (its program); NAME_functions.hpp and NAME_functions.cpp where the file
/// defines tensor functions; CMakeLists.txt. `source` is the `.net` file's name.
std::vector<GeneratedFile> emit(const CompiledModel& model, const std::string& source);

}  // namespace netc
