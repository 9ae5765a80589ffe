#include "compiler/kernels/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "compiler/emit/cpp_writer.h"
#include "compiler/graph/operator.h"
#include "compiler/graph/precision.h"
#include "compiler/kernels/gpu_binary.h"
#include "compiler/kernels/gpu_stages.h"
#include "compiler/kernels/kernel_builder.h"
#include "compiler/kernels/lower_function.h"
#include "compiler/kernels/object_file.h"
#include "compiler/ops/tensor_cores.h"
#include "netc/cuda_scratch.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

Machine cpu(Isa isa, int vector, int accumulators, const std::string& features) {
  return {.name = std::string(isa_name(isa)),
          .target = Halide::Target("x86-64-linux" + features + "-no_asserts-no_bounds_query-no_runtime"),
          .vector = vector,
          .accumulators = accumulators,
          .bf16 = isa == Isa::avx512_bf16};
}

/// In the order of Isa. Registers: 16 of them up to AVX2, 32 with AVX-512; a few are left for operands.
const std::vector<Machine>& machines() {
  static const std::vector<Machine> all{
      cpu(Isa::sse41, 4, 12, "-sse41"),
      cpu(Isa::avx2, 8, 12, "-sse41-avx-f16c-fma-avx2"),
      cpu(Isa::avx512, 16, 28, "-sse41-avx-f16c-fma-avx2-avx512-avx512_skylake"),
      cpu(Isa::avx512_bf16, 16, 28, "-sse41-avx-f16c-fma-avx2-avx512-avx512_skylake-avx512_zen4"),
  };
  return all;
}

/// PTX for capability 8.0, which drivers compile for whatever GPU there is from then on. Halide's assertions stay: only
/// they see what the driver returns.
const Machine& cuda_machine(Precision products) {
  const auto machine = [](Precision precision) {
    return Machine{.name = precision == Precision::f32 ? "cuda" : fmt::format("cuda_{}", name_of(precision)),
                   .target = Halide::Target("x86-64-linux-sse41-cuda-cuda_capability_80-no_bounds_query-no_runtime"),
                   .vector = 1,
                   .accumulators = 1,
                   .products = precision};
  };
  static const std::array<Machine, 3> all{machine(Precision::f32), machine(Precision::tf32), machine(Precision::bf16)};
  return all[static_cast<std::size_t>(products)];
}

/// Whether tensor cores compute the group's anchor where they are asked for this.
bool suits_tensor_cores(const Plan& plan, const Group& group, Precision products) {
  if (products == Precision::f32) return false;
  const KernelBuilder builder(plan.graph, group, plan.layouts, cuda_machine(products));
  return ops::TensorProduct::of(builder, group.anchor_in(plan.graph)).has_value();
}

/// That of tensor cores only where they compute something: all other kernels are those of f32.
const Machine& cuda_machine_of(const Plan& plan, const Group& group, Precision products) {
  return cuda_machine(suits_tensor_cores(plan, group, products) ? products : Precision::f32);
}

const Machine& cuda_machine_of(const KernelTable& table, const KernelEntry& entry) {
  return cuda_machine_of(*entry.plan, *entry.group, table.cuda_products);
}

GpuStages gpu_stages(const Plan& plan, const Group& group, Precision products) {
  KernelBuilder builder(plan.graph, group, plan.layouts, cuda_machine_of(plan, group, products), {});
  return GpuStages(builder.build());
}

/// The group with its values numbered from 0: groups of one description are computed by one kernel.
std::string describe(const Plan& plan, const Group& group) {
  std::map<ValueId, int> numbers;
  std::string text = group.few ? "kernel v1 few\n" : "kernel v1\n";
  const auto number = [&](ValueId value) {
    if (value == no_value) return std::string("-");
    const auto [entry, inserted] = numbers.emplace(value, static_cast<int>(numbers.size()));
    if (inserted) {
      text += fmt::format("value {}: type {} {} {}\n", entry->second, static_cast<int>(plan.graph[value].type),
                          to_string(plan.graph[value].shape), to_string(plan.layout(value)));
    }
    return std::to_string(entry->second);
  };
  const auto list = [&](const std::vector<ValueId>& values) {
    std::string all;
    for (ValueId value : values) all += (all.empty() ? "" : " ") + number(value);
    return all;
  };
  std::string nodes;
  for (int index : group.nodes) {
    const Node& node = plan.graph.nodes[static_cast<std::size_t>(index)];
    std::string attributes;
    for (const auto& [name, value] : node.attributes.all()) attributes += fmt::format(" {}={}", name, to_string(value));
    const std::string inputs = list(node.inputs);
    nodes += fmt::format("{}{}: {} -> {}\n", node.op->name, attributes, inputs, list(node.outputs));
  }
  const std::string inputs = list(group.inputs);
  const std::string outputs = list(group.outputs);
  return text + nodes + fmt::format("reads {} writes {}\n", inputs, outputs);
}

const Machine& machine_of(Isa isa) {
  return machines()[static_cast<std::size_t>(isa)];
}

std::string symbol_of(const std::string& name, const std::string& description) {
  return fmt::format("netc_{}_{}", name, content_hash(description).substr(0, 12));
}

/// What stands behind an entry's symbol in the name of a function.
std::string suffix(Part part) {
  return part == Part::preparation ? "_preparation" : "";
}

/// Kernels are called by an array of arguments. Descriptions of these, which nobody reads, would be a tenth of a
/// library.
constexpr auto linkage = Halide::LinkageType::ExternalPlusArgv;

void write(const Halide::Module& module, const fs::path& object) {
  module.compile({{Halide::OutputFileType::object, object.string()}});
  if (!module.target().has_gpu_feature()) slim(object);
}

Halide::Module lower_part(const KernelEntry& entry, const Machine& machine, const Choices& choices, Part part) {
  KernelBuilder builder(entry.plan->graph, *entry.group, entry.plan->layouts, machine, choices, part);
  Halide::Pipeline pipeline = builder.build();
  const std::string name = entry.symbol + suffix(part) + "_" + machine.name;
  return pipeline.compile_to_module(builder.pipeline_arguments(), name, machine.target, linkage);
}

void compile_group(const KernelEntry& entry, const Machine& target, const Choices& choices, bool prepares,
                   const fs::path& object) {
  if (prepares) {
    const auto lower = [&](Part part) { return lower_part(entry, target, choices, part); };
    return write(Halide::link_modules(entry.symbol, {lower(Part::rest), lower(Part::preparation)}), object);
  }
  Machine machine = target;
  machine.cuda_image = [&](const std::string& source) { return CudaCompiler::installed()->fat_binary(source, object); };
  const Halide::Module module = lower_part(entry, machine, choices, Part::whole);
  const bool has_binaries = target.is_gpu() && GpuAssembler::installed();
  write(has_binaries ? GpuAssembler::installed()->with_binaries(module, object) : module, object);
}

void compile_function(const KernelEntry& entry, const Machine& target, const fs::path& object) {
  FunctionPipeline lowered = lower_function(*entry.function, *entry.graph, target.target);
  write(
      lowered.pipeline.compile_to_module(lowered.arguments(), entry.symbol + "_" + target.name, target.target, linkage),
      object);
}

/// Kernels run without Halide's assertions: what it warns of ("guaranteed to fail an assertion") would be wrong
/// results. That roundings to bf16 are made of integer arithmetic is expected.
class WarningsAreErrors : public Halide::CompileTimeErrorReporter {
 public:
  void warning(const char* text) override {
    if (std::string_view(text).find("(b)float16 type operation is emulated") == std::string_view::npos)
      throw Halide::CompileError(text);
  }
  void error(const char* text) override { throw Halide::CompileError(text); }
};

void take_warnings_for_errors() {
  static WarningsAreErrors reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
}

/// Halide's errors are no std::exceptions, and say nothing of the kernel.
template <class Action>
auto with_halide(const KernelEntry& entry, const Machine& target, const Choices& choices, Action action) try {
  return action();
} catch (const Halide::Error& error) {
  throw std::runtime_error(fmt::format("Halide refuses a kernel for {}: {}\n{}{}", target.name, error.what(),
                                       entry.description, to_string(choices)));
}

void compile(const KernelEntry& entry, const Machine& target, const Choices& choices, bool prepares,
             const fs::path& object) {
  with_halide(entry, target, choices, [&] {
    if (entry.function != nullptr) return compile_function(entry, target, object);
    compile_group(entry, target, choices, prepares, object);
  });
}

/// A kernel for an instruction set, or for CUDA.
struct Job {
  const KernelEntry* entry;
  const Machine* machine;
  std::optional<Isa> isa;  // none: CUDA
};

Choices choices_of(const KernelEntry& entry, Isa isa, const Tiles& tiles) {
  return tiles.choices(isa, tuned_name(entry.plan->graph, *entry.group, entry.plan->layouts));
}

/// The object of a kernel, from the cache where it is there.
fs::path object_of(const Job& job, const Tiles& tiles, const KernelCache& cache) {
  const KernelEntry& entry = *job.entry;
  const Machine& target = *job.machine;
  Choices choices;
  if (job.isa && entry.group != nullptr) choices = choices_of(entry, *job.isa, tiles);
  std::string key = fmt::format("{}\n{}\n{}{}", target.target.to_string(), entry.symbol, entry.description,
                                choices.empty() ? "" : to_string(choices) + "\n");
  if (target.products != Precision::f32) {
    key += fmt::format("{} by {}\n", name_of(target.products), CudaCompiler::installed()->identity());
  } else if (target.is_gpu() && GpuAssembler::installed()) {
    key += GpuAssembler::installed()->identity() + "\n";
  }
  const bool prepares = job.isa && entry.prepared;
  return cache.object(key, [&](const fs::path& object) { compile(entry, target, choices, prepares, object); });
}

}  // namespace

std::string function_name(const KernelEntry& entry, Isa isa, Part part) {
  return fmt::format("{}{}_{}_argv", entry.symbol, suffix(part), isa_name(isa));
}

bool KernelEntry::multiplies_bf16() const {
  if (group == nullptr) return false;
  const auto multiplies = [&](int node) {
    return netc::multiplies_bf16(plan->graph.nodes[static_cast<std::size_t>(node)]);
  };
  return std::any_of(group->nodes.begin(), group->nodes.end(), multiplies);
}

bool KernelTable::compiles(const KernelEntry& entry, Isa isa) const {
  const Isa best = entry.multiplies_bf16() ? Isa::avx512_bf16 : Isa::avx512;
  return only ? isa == std::min(*only, best) : isa <= best;
}

Isa tuned_isa(const KernelTable& table) {
  const auto bf16 = [](const KernelEntry& entry) { return entry.multiplies_bf16(); };
  const Isa best = std::any_of(table.entries.begin(), table.entries.end(), bf16) ? Isa::avx512_bf16 : Isa::avx512;
  return std::min(best, best_isa());
}

std::optional<std::string> KernelTable::function(const KernelEntry& entry, Isa isa) const {
  if (!compiles(entry, isa)) return std::nullopt;
  return function_name(entry, isa, Part::whole);
}

std::optional<std::string> KernelTable::preparing_function(const KernelEntry& entry, Isa isa) const {
  if (!entry.prepared || !compiles(entry, isa)) return std::nullopt;
  return function_name(entry, isa, Part::preparation);
}

std::optional<std::string> KernelTable::cuda_function(const KernelEntry& entry) const {
  if (!cuda || entry.function != nullptr) return std::nullopt;
  return fmt::format("{}_{}_argv", entry.symbol, cuda_machine_of(*this, entry).name);
}

int cuda_launches(const KernelTable& table, const KernelEntry& entry) {
  return gpu_stages(*entry.plan, *entry.group, table.cuda_products).launches();
}

namespace {

/// Stages grow by equal steps from batch to batch; each may take up to a line more than it needs.
ScratchPlan scratch_of(const GpuStages& stages, std::int64_t multiple) {
  const std::vector<std::int64_t> of_some = stages.scratch(multiple);
  const std::vector<std::int64_t> of_more = stages.scratch(2 * multiple);
  ScratchPlan plan;
  for (std::size_t i = 0; i < of_some.size(); ++i) {
    const std::int64_t growth = (of_more[i] - of_some[i]) / multiple;
    plan.per_example += growth;
    plan.fixed += of_some[i] - growth * multiple + cuda::scratch_line;
  }
  return plan;
}

}  // namespace

std::vector<ScratchPlan> cuda_scratch(const Plan& plan, Precision products) {
  std::set<std::string> seen;
  std::vector<ScratchPlan> neediest;
  const auto within = [](const ScratchPlan& a, const ScratchPlan& b) {
    return a.per_example <= b.per_example && a.fixed <= b.fixed;
  };
  for (const Group& group : plan.groups) {
    if (!seen.insert(describe(plan, group)).second) continue;
    const ScratchPlan scratch = scratch_of(gpu_stages(plan, group, products), plan.memory.multiple);
    const auto is_within = [&](const ScratchPlan& other) { return within(scratch, other); };
    if (scratch.fixed == 0 || std::any_of(neediest.begin(), neediest.end(), is_within)) continue;
    std::erase_if(neediest, [&](const ScratchPlan& other) { return within(other, scratch); });
    neediest.push_back(scratch);
  }
  return neediest;
}

KernelTable list_kernels(const std::vector<const Plan*>& plans) {
  KernelTable table;
  std::map<std::string, int> known;
  std::vector<bool> for_few;  // alone
  for (const Plan* plan : plans) {
    table.of.emplace_back();
    for (const Group& group : plan->groups) {
      const std::string description = describe(*plan, group);
      const auto [entry, inserted] = known.emplace(description, static_cast<int>(table.entries.size()));
      if (inserted) {
        for_few.push_back(true);
        table.entries.push_back(
            {.symbol = symbol_of(group.name, description), .description = description, .plan = plan, .group = &group});
      }
      if (!plan->few) for_few[static_cast<std::size_t>(entry->second)] = false;
      table.of.back().push_back(entry->second);
    }
  }
  cpp::Names names;
  for (const char* taken : {"examples", "blocks_of_16", "f32", "i32", "u8", "bf16"}) names.unique(taken);
  for (std::size_t i = 0; i < table.entries.size(); ++i) {
    KernelEntry& entry = table.entries[i];
    entry.name = names.unique(entry.group->name + (for_few[i] ? "_few" : ""));
    names.unique(entry.name + "_preparation");  // if it prepares, that kernel is called so
  }
  return table;
}

std::optional<PreparedInput> find_preparation(const KernelEntry& entry, Isa isa, const Choices& choices) {
  if (!entry.group->prepares) return std::nullopt;
  const Group& group = *entry.group;
  const std::optional<Preparation> found = with_halide(entry, machine_of(isa), choices, [&] {
    KernelBuilder builder(entry.plan->graph, group, entry.plan->layouts, machine_of(isa), choices, Part::rest);
    return builder.find_preparation();
  });
  if (!found || found->bytes > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  const auto input = std::find(group.inputs.begin(), group.inputs.end(), found->parameter);
  return PreparedInput{static_cast<std::size_t>(input - group.inputs.begin()), found->bytes};
}

/// What is prepared depends on the choices, and a kernel that reads it is another than one that reads parameters:
/// models in one program may have both.
void list_preparations(KernelTable& table) {
  for (KernelEntry& entry : table.entries) {
    if (entry.group == nullptr || table.cuda) continue;
    std::string prepared = "prepared\n";
    for (const Isa isa : all_isas) {
      if (!table.compiles(entry, isa)) continue;
      const Choices choices = choices_of(entry, isa, table.tiles);
      const std::optional<PreparedInput> found = find_preparation(entry, isa, choices);
      if (!found) {  // the operands are the same for all
        entry.prepared.reset();
        break;
      }
      const std::int64_t before = entry.prepared ? entry.prepared->bytes : 0;
      entry.prepared = {found->input, std::max(before, found->bytes)};
      prepared += fmt::format("{} bytes {}\n", found->bytes, to_string(choices));
    }
    if (entry.prepared) entry.symbol = symbol_of(entry.group->name, entry.description + prepared);
  }
}

void list_functions(const std::vector<TensorFunction>& functions, KernelTable& table) {
  const auto list = [&](const TensorFunction& function, const Graph& graph, const std::string& part) {
    const std::string description = "function v1\n" + print(graph);
    table.entries.push_back({.name = part + "_kernel",
                             .symbol = symbol_of(function.name + "_" + part, description),
                             .description = description,
                             .function = &function,
                             .graph = &graph});
  };
  for (const TensorFunction& function : functions) {
    list(function, function.value, "value");
    if (function.gradient) list(function, *function.gradient, "gradient");
  }
}

Operand operand(const Plan& plan, ValueId value) {
  const Shape& shape = plan.graph[value].shape;
  const Layout& layout = plan.layout(value);
  const int first = shape.has_batch() ? 1 : 0;
  Operand operand(plan.graph[value].type, {});
  const auto dim = [&](std::int64_t extent, std::int64_t stride) {
    operand.append({static_cast<std::int32_t>(extent), static_cast<std::int32_t>(stride)});
  };
  if (shape.has_batch()) dim(layout.lanes, 1);
  for (std::size_t axis = layout.strides.size(); axis-- > 0;)
    dim(shape[static_cast<int>(axis) + first], layout.strides[axis]);
  if (shape.has_batch()) dim(-layout.lanes, layout.block_stride);
  return operand;
}

/// What an action, even one that throws, prints by std::cerr: Halide prints loop nests there and nowhere else.
std::string standard_error_of(const std::function<void()>& action) {
  std::ostringstream captured;
  const std::unique_ptr<std::streambuf, void (*)(std::streambuf*)> before(
      std::cerr.rdbuf(captured.rdbuf()), [](std::streambuf* buffer) { std::cerr.rdbuf(buffer); });
  action();
  return captured.str();
}

std::string loop_nest(const Plan& plan, const Group& group, const KernelTable& table) {
  const Choices& tuned = table.tiles.choices(Isa::avx512, tuned_name(plan.graph, group, plan.layouts));
  Machine machine = table.cuda ? cuda_machine(table.cuda_products) : machine_of(Isa::avx512);
  std::string source;
  machine.cuda_image = [&](const std::string& text) { return source = text; };
  KernelBuilder builder(plan.graph, group, plan.layouts, machine, table.cuda ? Choices{} : tuned);
  Halide::Pipeline pipeline = builder.build();
  std::string loops = standard_error_of([&] { pipeline.print_loop_nest(); });
  if (source.empty()) return loops;
  return loops + source.substr(ops::tensor_core_prelude(machine.products).size());
}

namespace {

std::vector<Job> list_jobs(const KernelTable& table) {
  std::vector<Job> jobs;
  for (const KernelEntry& entry : table.entries) {
    for (const Isa isa : all_isas) {
      if (table.compiles(entry, isa)) jobs.push_back({&entry, &machine_of(isa), isa});
    }
    if (table.cuda_function(entry)) jobs.push_back({&entry, &cuda_machine_of(table, entry), {}});
  }
  return jobs;
}

}  // namespace

std::vector<fs::path> compile_kernels(const KernelTable& table, const KernelCache& cache,
                                      const std::function<void(int, int)>& progress) {
  const std::vector<Job> jobs = list_jobs(table);
  std::vector<fs::path> objects(jobs.size());
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  int done = 0;
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
  take_warnings_for_errors();
  const auto work = [&] {
    for (std::size_t job; !failed && (job = next++) < objects.size();) {
      std::exception_ptr problem;
      try {
        objects[job] = object_of(jobs[job], table.tiles, cache);
      } catch (...) {
        problem = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      if (problem && !failed.exchange(true)) failure = problem;
      progress(++done, static_cast<int>(objects.size()));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return objects;
}

std::vector<Offer> offers(const KernelEntry& entry, Isa isa, const Choices& choices) {
  const Part part = find_preparation(entry, isa, choices) ? Part::rest : Part::whole;
  return with_halide(entry, machine_of(isa), choices, [&] {
    KernelBuilder builder(entry.plan->graph, *entry.group, entry.plan->layouts, machine_of(isa), choices, part);
    builder.build();
    return builder.offers();
  });
}

void compile_kernel(const KernelEntry& entry, Isa isa, const Choices& choices, bool prepares, const fs::path& object) {
  take_warnings_for_errors();
  compile(entry, machine_of(isa), choices, prepares, object);
}

void write_library(const std::vector<fs::path>& objects, const fs::path& library) try {
  std::vector<std::string> files;
  files.reserve(objects.size());
  for (const fs::path& object : objects) files.push_back(object.string());
  Halide::create_static_library(files, machines()[0].target, library.string(), true);
} catch (const Halide::Error& error) {
  throw std::runtime_error(fmt::format("cannot make {}: {}", library.string(), error.what()));
}

}  // namespace netc
