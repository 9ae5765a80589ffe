#include "compiler/commands/summary.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

#include "compiler/graph/operator.h"
#include "compiler/kernels/gpu_estimate.h"
#include "compiler/passes/fit_memory.h"
#include "compiler/passes/memory_size.h"

namespace netc {

namespace {

struct Row {
  std::string path;
  std::string op;
  Shape shape;
  std::int64_t parameters = 0;
  std::int64_t macs = 0;
  std::int64_t bytes = 0;  // of its output for one example
};

/// The layers between the inputs and the loss. A shared parameter counts where it is first used.
std::vector<Row> rows(const Graph& graph) {
  std::vector<Row> rows;
  std::set<ValueId> counted;
  for (const Node& node : graph.nodes) {
    if (node.op->is_loss) continue;
    const Value& output = graph[node.outputs[0]];
    Row row{.path = node.path,
            .op = std::string(node.op->name),
            .shape = output.shape,
            .macs = node.op->macs ? node.op->macs(graph, node) : 0,
            .bytes = output.shape.elements() * size_of(output.type)};
    for (ValueId input : node.inputs) {
      if (graph[input].is_parameter() && counted.insert(input).second) row.parameters += graph[input].shape.elements();
    }
    rows.push_back(row);
  }
  return rows;
}

std::int64_t total(const std::vector<Row>& rows, std::int64_t Row::*what) {
  std::int64_t sum = 0;
  for (const Row& row : rows) sum += row.*what;
  return sum;
}

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (int i = static_cast<int>(text.size()) - 3; i > 0; i -= 3) text.insert(static_cast<std::size_t>(i), ",");
  return text;
}

/// What the backward pass computes again because it was not kept.
struct Repetition {
  std::vector<std::string> layers;  // paths, in order
  std::int64_t macs = 0;            // of an example
};

Repetition repetition(const CompiledModel& model) {
  Repetition all;
  if (!model.training) return all;
  for (int index : model.training->repeated) {
    const Group& group = model.training->groups[static_cast<std::size_t>(index)];
    all.macs += multiply_adds(*model.training, group);
    for (int number : group.nodes) {
      const std::string& layer = model.training->graph.nodes[static_cast<std::size_t>(number)].path;
      if (std::find(all.layers.begin(), all.layers.end(), layer) == all.layers.end()) all.layers.push_back(layer);
    }
  }
  return all;
}

std::string bill_text(const MemoryBill& bill) {
  const std::string forward = "forward " + memory_text(bill.forward);
  return bill.training == 0 ? forward : fmt::format("{}, training {}", forward, memory_text(bill.training));
}

nlohmann::ordered_json memory_json(const CompiledModel& model, std::int64_t batch) {
  const MemoryBill bill = memory_bill(model, batch, Device::cpu);
  nlohmann::ordered_json json{{"forward", bill.forward}, {"training", bill.training}};
  const Repetition again = repetition(model);
  if (!again.layers.empty()) json["recomputed"] = {{"layers", again.layers}, {"macs", again.macs}};
  return json;
}

nlohmann::ordered_json tensors_json(const Graph& graph, const std::vector<ValueId>& values) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (ValueId value : values) all.push_back({{"name", graph[value].name}, {"shape", to_string(graph[value].shape)}});
  return all;
}

/// What a step asks of a GPU, and how long the limits of one make it last at the least, in seconds.
struct GpuStep {
  const char* step;
  GpuWork work;
  double fp32;
  double tf32;
  double memory;

  GpuStep(const CompiledModel& model, std::int64_t batch) : step(model.training ? "training step" : "forward pass") {
    const std::vector<const Plan*> plans = model.plans();
    const Plan& plan = model.training ? *model.training : model.evaluation_of(batch);
    const auto row = static_cast<std::size_t>(std::find(plans.begin(), plans.end(), &plan) - plans.begin());
    work = gpu_work(plan, model.kernels, model.kernels.of[row], batch);
    fp32 = work.flops / h100.fp32;
    tf32 = work.flops / h100.tf32;
    memory = work.bytes / h100.memory;
  }
};

std::string gpu_text(const CompiledModel& model, std::int64_t batch) {
  const GpuStep step(model, batch);
  const auto rate = [&](double seconds) { return grouped(std::llround(static_cast<double>(batch) / seconds)); };
  std::string text = fmt::format("the same on a GPU, with the batch and what kernels keep between launches: {}\n",
                                 bill_text(memory_bill(model, batch, Device::cuda)));
  text += fmt::format("{} of {} on a GPU: {:.1f} GFLOP, {:.2f} GB, {} launches\n", step.step, batch,
                      step.work.flops / 1e9, step.work.bytes / 1e9, step.work.launches);
  return text +
         fmt::format("limits of an {}, in ms (examples/s): memory {:.2f} ({}), fp32 {:.2f} ({}), TF32 {:.2f} ({})\n",
                     h100.name, 1e3 * step.memory, rate(step.memory), 1e3 * step.fp32, rate(step.fp32), 1e3 * step.tf32,
                     rate(step.tf32));
}

nlohmann::ordered_json gpu_json(const CompiledModel& model, std::int64_t batch) {
  const GpuStep step(model, batch);
  const MemoryBill bill = memory_bill(model, batch, Device::cuda);
  return {{"step", step.step},
          {"memory", {{"forward", bill.forward}, {"training", bill.training}}},
          {"flops", step.work.flops},
          {"bytes", step.work.bytes},
          {"launches", step.work.launches},
          {"limits",
           {{"gpu", h100.name},
            {"fp32_seconds", step.fp32},
            {"tf32_seconds", step.tf32},
            {"memory_seconds", step.memory}}}};
}

}  // namespace

std::string summary_text(const CompiledModel& model, std::int64_t batch) {
  const std::vector<Row> layers = rows(model.graph);
  std::size_t wide = 4;
  for (const Row& row : layers) wide = std::max(wide, row.path.size());
  const std::string line = "{:<{}}  {:<16} {:<20} {:>13} {:>17} {:>13}\n";
  std::string text = fmt::format(fmt::runtime(line), "path", wide, "operator", "output", "parameters", "multiply-adds",
                                 "output bytes");
  text += std::string(text.size() - 1, '-') + "\n";
  for (const Row& row : layers) {
    text += fmt::format(fmt::runtime(line), row.path, wide, row.op, to_string(row.shape), grouped(row.parameters),
                        grouped(row.macs), grouped(row.bytes));
  }
  const MemoryBill bill = memory_bill(model, batch, Device::cpu);
  text += fmt::format("\n{}: {} -> {}\n", model.graph.name, describe(model.graph, model.graph.inputs),
                      describe(model.graph, model.graph.outputs));
  text += fmt::format("parameters {}, multiply-adds an example {}\n", grouped(total(layers, &Row::parameters)),
                      grouped(total(layers, &Row::macs)));
  text += fmt::format("memory for a batch of {}: {}\n", batch, bill_text(bill));
  if (const Repetition again = repetition(model); !again.layers.empty()) {
    text += fmt::format("computed again in the backward pass, {} multiply-adds an example: {}\n", grouped(again.macs),
                        fmt::join(again.layers, ", "));
  }
  return model.kernels.cuda ? text + gpu_text(model, batch) : text;
}

std::string summary_json(const CompiledModel& model, std::int64_t batch) {
  const std::vector<Row> layers = rows(model.graph);
  nlohmann::ordered_json json{{"model", model.graph.name},
                              {"inputs", tensors_json(model.graph, model.graph.inputs)},
                              {"outputs", tensors_json(model.graph, model.graph.outputs)},
                              {"parameters", total(layers, &Row::parameters)},
                              {"macs", total(layers, &Row::macs)},
                              {"batch", batch},
                              {"memory", memory_json(model, batch)},
                              {"layers", nlohmann::ordered_json::array()}};
  if (model.kernels.cuda) json["gpu"] = gpu_json(model, batch);
  for (const Row& row : layers) {
    json["layers"].push_back({{"path", row.path},
                              {"op", row.op},
                              {"shape", to_string(row.shape)},
                              {"parameters", row.parameters},
                              {"macs", row.macs}});
  }
  return json.dump(2) + "\n";
}

}  // namespace netc
