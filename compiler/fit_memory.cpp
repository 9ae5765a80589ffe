#include "compiler/fit_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/memory_size.h"
#include "compiler/operator.h"
#include "compiler/recompute.h"
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

/// The largest batch whose arena takes at most `bytes`; 0 or less where not even one example does.
std::int64_t largest_batch(const MemoryPlan& plan, std::int64_t bytes) {
  if (plan.per_example == 0 || bytes < plan.fixed) return 0;
  return (bytes - plan.fixed) / plan.per_example / plan.multiple * plan.multiple;
}

std::string help(const MemoryPlan& plan, std::int64_t available, bool training) {
  const std::int64_t batch = largest_batch(plan, available);
  if (batch >= 1) return fmt::format("a batch of {} fits: --set train.batch={}, or --batch {}", batch, batch, batch);
  if (available <= 0 && training)
    return "parameters, their gradients and the optimizer's state alone leave nothing: allow more, or make layers "
           "smaller";
  if (available <= 0) return "the parameters alone leave nothing: allow more, or make layers smaller";
  return "not even a batch of 1 fits: allow more, or make this layer or its input smaller";
}

/// `plan` is as small as it gets, and stands beside `standing` bytes.
Diagnostic does_not_fit(const Plan& plan, std::int64_t standing, std::int64_t batch, std::int64_t limit,
                        bool training) {
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
          .help = help(plan.memory, limit - standing, training)};
}

}  // namespace

MemoryBill memory_bill(const CompiledModel& model, std::int64_t batch) {
  const MemoryPlan& memory = model.evaluation_of(batch).memory;
  const std::int64_t evaluation = memory.bytes(batch) + memory.prepared;
  MemoryBill bill{evaluation + standing_bytes(model, false), 0};
  if (model.training)
    bill.training = std::max(model.training->memory.bytes(batch), evaluation) + standing_bytes(model, true);
  return bill;
}

void fit_memory(CompiledModel& model, std::int64_t batch, std::int64_t limit, Diagnostics& diagnostics) {
  const bool trains = model.training.has_value();
  const std::int64_t standing = standing_bytes(model, trains);
  if (trains) model.training = recompute(*model.training, batch, limit - standing);
  const Plan& evaluation = model.evaluation_of(batch);
  const std::int64_t evaluated = evaluation.memory.bytes(batch);
  if (memory_bill(model, batch).training <= limit && evaluated + standing <= limit) return;
  const bool training = trains && model.training->memory.bytes(batch) >= evaluated;
  diagnostics.add(does_not_fit(training ? *model.training : evaluation, standing, batch, limit, training));
}

}  // namespace netc
