#include "compiler/passes/fit_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/graph/operator.h"
#include "compiler/passes/memory_size.h"
#include "compiler/passes/recompute.h"
#include "netc/cuda_steps.h"
#include "netc/optimizer.h"

namespace netc {

namespace {

/// What is there whatever the batch is.
std::int64_t standing_bytes(const CompiledModel& model, bool training) {
  const std::int64_t parameters = arena_layout(model.graph, Role::parameter).floats;
  const int copies = training ? 2 + state_arrays(model.graph.recipe.optimizer) : 1;  // gradients lie beside parameters
  return (parameters * copies + arena_layout(model.graph, Role::buffer).floats) *
         static_cast<std::int64_t>(sizeof(float));
}

/// What a pass takes of a GPU's memory beside its activations.
std::int64_t gpu_bytes(const CompiledModel& model, const Plan& plan, std::int64_t batch, Device device) {
  if (device == Device::cpu) return 0;
  std::vector<std::int64_t> tensors;
  for (const std::vector<ValueId>* values : {&model.graph.inputs, &model.graph.labels}) {
    for (const ValueId value : *values) {
      const Shape& shape = model.graph[value].shape;
      tensors.push_back(shape.elements() * (shape.has_batch() ? batch : 1) * size_of(model.graph[value].type));
    }
  }
  const bool clips = model.training && &plan == &*model.training && model.graph.recipe.clip_grad_norm > 0;
  const std::int64_t scratch = std::max(plan.memory.scratch_bytes(batch), clips ? cuda::clip_scratch_bytes : 0);
  return scratch + staged_bytes(tensors) + (clips ? std::int64_t{sizeof(float)} : 0);
}

std::int64_t pass_bytes(const CompiledModel& model, const Plan& plan, std::int64_t batch, Device device) {
  return plan.memory.bytes(batch) + gpu_bytes(model, plan, batch, device);
}

/// The largest batch whose arena takes at most `bytes`; 0 or less where not even one example does.
std::int64_t largest_batch(const MemoryPlan& plan, std::int64_t bytes) {
  if (plan.per_example == 0 || bytes < plan.fixed) return 0;
  return (bytes - plan.fixed) / plan.per_example / plan.multiple * plan.multiple;
}

/// The same of evaluation, where a few examples have a plan of their own.
std::int64_t largest_evaluated(const CompiledModel& model, std::int64_t bytes) {
  const std::int64_t batch = largest_batch(model.evaluation.memory, bytes);
  std::int64_t few = few_examples;
  while (few > 0 && model.few.memory.bytes(few) > bytes) --few;
  return std::max(batch, few);
}

std::string help(std::int64_t batch, std::int64_t available, bool training) {
  if (batch >= 1) {
    const std::string set = training ? fmt::format("--set train.batch={}, or ", batch) : "";
    return fmt::format("a batch of {} fits: {}--batch {}", batch, set, batch);
  }
  if (available <= 0 && training)
    return "parameters, their gradients and the optimizer's state alone leave nothing: allow more, or make layers "
           "smaller";
  if (available <= 0) return "the parameters alone leave nothing: allow more, or make layers smaller";
  return "not even a batch of 1 fits: allow more, or make this layer or its input smaller";
}

/// `training` says which plan does not fit; it is as small as it gets, and stands beside `standing` bytes.
Diagnostic does_not_fit(const CompiledModel& model, std::int64_t standing, std::int64_t batch, std::int64_t limit,
                        bool training) {
  const Plan& plan = training ? *model.training : model.evaluation_of(batch);
  const std::int64_t available = limit - standing;
  const std::int64_t fitting = training ? largest_batch(plan.memory, available) : largest_evaluated(model, available);
  const Group& group = plan.groups[static_cast<std::size_t>(busiest_group(plan))];
  const Node& node = group.anchor_in(plan.graph);
  const std::int64_t arena = plan.memory.bytes(batch);
  return {.code = "N311",
          .span = node.span,
          .message = fmt::format("{} with a batch of {} takes at least {}, more than the {} of --max-memory",
                                 training ? "a training step" : "a forward pass", batch, memory_text(arena + standing),
                                 memory_text(limit)),
          .label = fmt::format("{} of activations{} here", memory_text(arena), training ? " and gradients" : ""),
          .notes = node.trail,
          .help = help(fitting, available, training)};
}

}  // namespace

MemoryBill memory_bill(const CompiledModel& model, std::int64_t batch, Device device) {
  const Plan& plan = model.evaluation_of(batch);
  const std::int64_t evaluation = pass_bytes(model, plan, batch, device) + plan.memory.prepared;
  MemoryBill bill{evaluation + standing_bytes(model, false), 0};
  if (model.training) {
    bill.training =
        std::max(pass_bytes(model, *model.training, batch, device), evaluation) + standing_bytes(model, true);
  }
  return bill;
}

void fit_memory(CompiledModel& model, std::int64_t batch, std::int64_t limit, Device device, Diagnostics& diagnostics) {
  const bool trains = model.training.has_value();
  const std::int64_t standing = standing_bytes(model, trains);
  if (trains) {
    const std::vector<ScratchPlan> scratch = model.training->memory.scratch;  // the same kernels run, some again
    model.training =
        recompute(*model.training, batch, limit - standing - gpu_bytes(model, *model.training, batch, device));
    model.training->memory.scratch = scratch;
  }
  const Plan& evaluation = model.evaluation_of(batch);
  const std::int64_t evaluated = pass_bytes(model, evaluation, batch, device);
  if (memory_bill(model, batch, device).training <= limit && evaluated + standing <= limit) return;
  const bool training = trains && pass_bytes(model, *model.training, batch, device) >= evaluated;
  const Plan& needy = training ? *model.training : evaluation;
  diagnostics.add(does_not_fit(model, standing + gpu_bytes(model, needy, batch, device), batch, limit, training));
}

}  // namespace netc
