// The stages of a pipeline for a GPU, known before it is compiled: what each call launches, and the memory that kernels
// use between their own launches.
#pragma once

#include <Halide.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace netc {

/// Choice: bounds by Halide's arithmetic of intervals, stage by stage, as its own lowering has them. Alternative:
/// lowering the pipeline, which takes as long as compiling it, and which kernels from the cache never see (2026-11).
class GpuStages {
 public:
  explicit GpuStages(const Halide::Pipeline& pipeline);

  /// One for each stage, and one for each update of its elements.
  int launches() const;
  /// Bytes of each stage that is no output, in an order of its own, for so many examples.
  std::vector<std::int64_t> scratch(std::int64_t batch) const;
  /// The expression of a stage, with what is computed where it is read.
  Halide::Expr inlined(Halide::Expr expression) const;

 private:
  using Function = Halide::Internal::Function;

  bool is_output(const std::string& name) const;

  Halide::Pipeline pipeline_;
  std::map<std::string, Function> functions_;
  std::vector<std::string> order_;  // each behind those that read it
};

}  // namespace netc
