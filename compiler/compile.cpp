// The straight line: Source -> ast -> Graph -> training Graph -> laid out -> Groups -> Plan -> table of Kernels.
#include "compiler/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "compiler/elaborate/elaborate.h"
#include "compiler/elaborate/imports.h"
#include "compiler/emit/cpp_writer.h"
#include "compiler/formula/examples.h"
#include "compiler/graph/verify.h"
#include "compiler/installation.h"
#include "compiler/kernels/gpu_binary.h"
#include "compiler/passes/differentiate.h"
#include "compiler/passes/fit_memory.h"
#include "compiler/passes/fuse.h"
#include "compiler/passes/inline_pointwise.h"
#include "compiler/passes/lay_out.h"
#include "compiler/passes/modes.h"
#include "dsl/ast.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// Functions over tensors, which are functions of C++ beside the model.
std::vector<TensorFunction> tensor_functions(const ast::Node& file, const Source& source, Compilation& compilation,
                                             const Options& options) {
  const bool defines = std::any_of(file.children.begin(), file.children.end(), [](const ast::Node& node) {
    return node.kind == ast::Kind::fn || node.kind == ast::Kind::example;
  });
  if (!defines) return {};
  Reporter reporter(compilation.diagnostics);
  Imports imports(installation().std.string(), compilation.sources, compilation.diagnostics, reporter);
  const Environment& environment = imports.load(file, source);
  if (compilation.diagnostics.has_errors()) return {};
  std::vector<TensorFunction> functions = read_functions(file, environment, reporter);
  if (options.examples) check_examples(file, environment, functions, reporter);
  return functions;
}

bool has_model(const ast::Node& file) {
  return std::any_of(file.children.begin(), file.children.end(),
                     [](const ast::Node& node) { return node.kind == ast::Kind::model; });
}

/// What chooses and changes models is wrong where there is none.
void refuse_settings(const Options& options, Diagnostics& diagnostics) {
  Reporter reporter(diagnostics);
  const auto refuse = [&](const std::string& option) {
    reporter.error("N133", {}, fmt::format("{}: {} defines functions, but no model", option, options.file),
                   "leave the option out");
  };
  if (!options.model.empty()) refuse("--model " + options.model);
  for (const auto& [path, value] : options.set) refuse(fmt::format("--set {}={}", path, value));
}

/// What C++ calls a file of functions alone: its name, with `_` for what no name has.
std::string library_name(const std::string& file) {
  std::string name = fs::path(file).stem().string();
  for (char& c : name) {
    if (!cpp::is_identifier(std::string("_") + c)) c = '_';
  }
  while (name.find("__") != std::string::npos) name.erase(name.find("__"), 1);  // C++ keeps these names to itself
  return cpp::is_identifier(name) ? name : "functions_" + name;
}

/// The line of a file that has functions but no model ends here.
bool finish_functions(const Options& options, Diagnostics& diagnostics, CompiledModel& model) {
  refuse_settings(options, diagnostics);
  if (diagnostics.has_errors()) return false;
  model.graph.name = library_name(options.file);
  list_functions(model.functions, model.kernels);
  return true;
}

/// One node an operator: blocks and repeats are unrolled, shapes inferred, parameters named.
Graph elaborated_graph(const ast::Node& file, const Source& source, Compilation& compilation, const Options& options) {
  Graph graph = elaborate(file, source, {options.set, installation().std.string(), options.model}, compilation.sources,
                          compilation.diagnostics);
  if (!compilation.diagnostics.has_errors()) verify(graph, "elaborate");
  return graph;
}

/// Leaves out what neither the outputs nor the loss need.
void prune(Graph& graph) {
  std::vector<ValueId> wanted = graph.outputs;
  if (graph.loss != no_value) wanted.push_back(graph.loss);
  prune(graph, wanted);
}

/// The graph of a training pass: gradients are nodes too.
Graph training_graph(const Graph& graph, const Options& options, Diagnostics& diagnostics) {
  Graph forward = for_training(graph);
  prune(forward);
  Graph training = differentiate(forward, diagnostics);
  if (diagnostics.has_errors()) return training;
  verify(training, "differentiate");
  if (options.precision == Precision::bf16) multiply_bf16(training);
  return training;
}

/// The graph of an evaluation pass: what the outputs and the loss need.
Graph evaluation_graph(const Graph& graph, const Options& options) {
  Graph evaluation = for_evaluation(graph);
  prune(evaluation);
  verify(evaluation, "evaluation");
  round_in_evaluation(evaluation, options.precision, options.cuda);
  return evaluation;
}

/// From a graph of one mode, laid out, to its plan. On a GPU the images that a pool reads would be memory of its
/// kernel's own: there it is a group by itself.
Plan plan(LaidOutGraph laid_out, const Options& options, bool few = false) {
  verify(laid_out.graph, "layout");
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts, few, !options.cuda);
  Plan plan = plan_memory(std::move(laid_out), std::move(groups));
  plan.few = few;
  verify(plan, "plan");
  return plan;
}

/// What CUDA kernels multiply: what was asked for, if there is a compiler for kernels that use tensor cores. Says what
/// tools that fail, or are not there, make of them.
Precision cuda_products(const Options& options) {
  if (!options.cuda) return options.precision;
  if (const std::string& problem = GpuAssembler::problem(); !problem.empty()) {
    fmt::print(stderr, "note: kernels for CUDA are PTX alone, without binaries: {}\n", problem);
  }
  if (options.precision == Precision::f32 || CudaCompiler::installed()) return options.precision;
  fmt::print(stderr, "note: kernels for CUDA multiply f32: {} takes CUDA's compiler, and {}\n",
             name_of(options.precision), CudaCompiler::problem());
  return Precision::f32;
}

/// What kernels for CUDA use between their own launches belongs to the memory that is planned.
void plan_scratch(CompiledModel& model, Precision products) {
  model.evaluation.memory.scratch = cuda_scratch(model.evaluation, products);
  model.few.memory.scratch = cuda_scratch(model.few, products);
  if (model.training) model.training->memory.scratch = cuda_scratch(*model.training, products);
}

}  // namespace

int batch_of(const Options& options, const Graph& graph) {
  return options.batch > 0 ? options.batch : graph.recipe.batch;
}

bool compile(const Options& options, Compilation& compilation, Dump& dump, CompiledModel& model) {
  const Source* source = read_source(options.file, compilation);
  if (source == nullptr) return false;
  Diagnostics& diagnostics = compilation.diagnostics;
  const auto ends_after = [&](const char* stage, const auto& text) {
    return diagnostics.has_errors() || dump.stop(stage, text);
  };

  // What the text says.
  const ast::Node file = parse(*source, diagnostics);
  if (ends_after("parse", [&] { return print(file); })) return false;
  model.functions = tensor_functions(file, *source, compilation, options);
  if (diagnostics.has_errors()) return false;
  if (!model.functions.empty() && !has_model(file)) return finish_functions(options, diagnostics, model);

  // The network, then a graph a mode.
  model.graph = elaborated_graph(file, *source, compilation, options);
  if (ends_after("elaborate", [&] { return print(model.graph); })) return false;
  const bool trains = model.graph.loss != no_value;
  Graph training = trains ? training_graph(model.graph, options, diagnostics) : Graph{};
  const Graph evaluation = evaluation_graph(model.graph, options);
  const Graph& shown = trains ? training : evaluation;
  if (ends_after("differentiate", [&] { return print(shown); })) return false;

  // What is cheap to compute again is computed where it is read.
  inline_pointwise(training);
  verify(training, "inline");
  if (ends_after("inline", [&] { return print(shown); })) return false;

  // Views become names of other memory, nodes become groups, values get places.
  if (ends_after("layout", [&] { return print(lay_out(shown)); })) return false;
  model.evaluation = plan(lay_out(evaluation), options);
  model.few = plan(lay_out(evaluation, 1), options, true);
  if (trains) model.training = plan(lay_out(training), options);
  const Plan& planned = trains ? *model.training : model.evaluation;
  if (ends_after("fuse", [&] { return print(planned.graph, planned.groups); })) return false;
  if (ends_after("plan", [&] { return print(planned); })) return false;

  // What does not fit is computed again.
  const Precision products = cuda_products(options);
  if (options.cuda) plan_scratch(model, products);
  if (options.max_memory > 0) {
    const Device device = options.cuda ? Device::cuda : Device::cpu;  // which holds more than the CPU
    fit_memory(model, batch_of(options, model.graph), options.max_memory, device, diagnostics);
  }
  if (ends_after("recompute", [&] { return print(planned); })) return false;

  // A kernel a group; equal groups share one.
  model.kernels = list_kernels(model.plans());
  model.kernels.cuda = options.cuda;
  model.kernels.cuda_products = products;
  list_functions(model.functions, model.kernels);
  return true;
}

}  // namespace netc
