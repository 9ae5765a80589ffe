// The straight line: Source -> ast -> Graph -> training Graph -> laid out -> Groups -> Plan -> Kernels -> Files.
#include "compiler/compile.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>

#include "compiler/commands/build_program.h"
#include "compiler/commands/tune_kernels.h"
#include "compiler/cpp_writer.h"
#include "compiler/differentiate.h"
#include "compiler/elaborate.h"
#include "compiler/emit.h"
#include "compiler/examples.h"
#include "compiler/fit_memory.h"
#include "compiler/fuse.h"
#include "compiler/gpu_binary.h"
#include "compiler/imports.h"
#include "compiler/inline_pointwise.h"
#include "compiler/kernel_cache.h"
#include "compiler/lay_out.h"
#include "compiler/lower.h"
#include "compiler/modes.h"
#include "compiler/plan_memory.h"
#include "compiler/summary.h"
#include "compiler/verify.h"
#include "dsl/ast.h"
#include "netc/progress.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// The sources of a run; spans point into them.
struct Compilation {
  std::vector<std::unique_ptr<Source>> sources;
  Diagnostics diagnostics;
};

std::optional<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path)) return {};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// A file that the user names; a message where it cannot be read.
const Source* read_source(const std::string& path, Compilation& compilation) {
  const std::optional<std::string> text = read_file(path);
  if (!text) {
    fmt::print(stderr, "error: cannot read {}: {}\n", path, std::strerror(fs::is_directory(path) ? EISDIR : errno));
    return nullptr;
  }
  return compilation.sources.emplace_back(std::make_unique<Source>(path, *text)).get();
}

/// The text of a stage is wanted instead of the stages behind it.
struct Dump {
  std::string after;
  std::string text;

  /// Whether this was the stage; `print` makes its text.
  template <class Print>
  bool stop(const char* stage, Print print) {
    if (after != stage) return false;
    text = print();
    return true;
  }
};

/// From a graph of one mode, laid out, to its plan. On a GPU the images that a pool reads would be memory of its
/// kernel's own: there it is a group by itself.
Plan plan(LaidOutGraph laid_out, const Options& options, bool few = false) {
  verify(laid_out.graph, "layout");
  std::vector<Group> groups = fuse(laid_out.graph, laid_out.layouts, few, !options.cuda);
  Plan plan = plan_memory(std::move(laid_out), std::move(groups));
  verify(plan, "plan");
  return plan;
}

/// The examples that memory is planned for.
int batch_of(const Options& options, const Graph& graph) {
  return options.batch > 0 ? options.batch : graph.recipe.batch;
}

/// The graph of an evaluation pass: what the outputs and the loss need.
Graph evaluation_graph(const Graph& graph) {
  Graph evaluation = for_evaluation(graph);
  std::vector<ValueId> wanted = evaluation.outputs;
  if (evaluation.loss != no_value) wanted.push_back(evaluation.loss);
  prune(evaluation, wanted);
  verify(evaluation, "evaluation");
  return evaluation;
}

Graph training_graph(const Graph& graph, Diagnostics& diagnostics) {
  Graph training = differentiate(for_training(graph), diagnostics);
  if (!diagnostics.has_errors()) verify(training, "differentiate");
  return training;
}

std::string emitted(const CompiledModel& model, const Options& options) {
  std::string text;
  for (const GeneratedFile& file : emit(model, fs::path(options.file).filename().string()))
    text += fmt::format("==== {}\n{}", file.name, file.text);
  return text;
}

/// Functions over tensors, which are functions of C++ beside the model.
void read_tensor_functions(const ast::Node& file, const Source& source, Compilation& compilation,
                           std::vector<TensorFunction>& functions, const Options& options) {
  const bool defines = std::any_of(file.children.begin(), file.children.end(), [](const ast::Node& node) {
    return node.kind == ast::Kind::fn || node.kind == ast::Kind::example;
  });
  if (!defines) return;
  Reporter reporter(compilation.diagnostics);
  Imports imports(installation().std.string(), compilation.sources, compilation.diagnostics, reporter);
  const Environment& environment = imports.load(file, source);
  if (compilation.diagnostics.has_errors()) return;
  functions = read_functions(file, environment, reporter);
  if (options.examples) check_examples(file, environment, functions, reporter);
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
  return cpp::is_identifier(name) ? name : "functions_" + name;
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

/// All stages that need no kernels. Returns false when there were errors, or when `dump` has what it wants.
bool compile(const Options& options, Compilation& compilation, Dump& dump, CompiledModel& model) {
  const Source* read = read_source(options.file, compilation);
  if (read == nullptr) return false;
  const Source& source = *read;
  Diagnostics& diagnostics = compilation.diagnostics;

  // What the text says.
  const ast::Node file = parse(source, diagnostics);
  if (diagnostics.has_errors() || dump.stop("parse", [&] { return print(file); })) return false;

  read_tensor_functions(file, source, compilation, model.functions, options);
  if (diagnostics.has_errors()) return false;
  if (!model.functions.empty() && !has_model(file)) {
    refuse_settings(options, diagnostics);
    if (diagnostics.has_errors()) return false;
    model.graph.name = library_name(options.file);
    list_functions(model.functions, model.kernels);
    return true;
  }

  // One node an operator: blocks and repeats are unrolled, shapes inferred, parameters named.
  model.graph = elaborate(file, source, {options.set, installation().std.string(), options.model}, compilation.sources,
                          diagnostics);
  if (diagnostics.has_errors()) return false;
  verify(model.graph, "elaborate");
  if (dump.stop("elaborate", [&] { return print(model.graph); })) return false;

  // Gradients are nodes too.
  Graph training;
  const bool trains = model.graph.loss != no_value;
  if (trains) training = training_graph(model.graph, diagnostics);
  if (diagnostics.has_errors()) return false;
  Graph evaluation = evaluation_graph(model.graph);
  if (options.precision == Precision::bf16) multiply_bf16(training);
  round_in_evaluation(evaluation, options.precision, options.cuda);
  const Graph& shown = trains ? training : evaluation;
  if (dump.stop("differentiate", [&] { return print(shown); })) return false;

  // What is cheap to compute again is computed where it is read.
  inline_pointwise(training);
  verify(training, "inline");
  if (dump.stop("inline", [&] { return print(shown); })) return false;

  // Each mode by itself: views become names of other memory, nodes become groups, values get places.
  if (dump.stop("layout", [&] { return print(lay_out(shown)); })) return false;
  model.evaluation = plan(lay_out(evaluation), options);
  model.few = plan(lay_out(evaluation, 1), options, true);
  if (trains) model.training = plan(lay_out(training), options);
  const Plan& planned = trains ? *model.training : model.evaluation;
  if (dump.stop("fuse", [&] { return print(planned.graph, planned.groups); })) return false;
  if (dump.stop("plan", [&] { return print(planned); })) return false;

  // What does not fit is computed again.
  const Precision products = cuda_products(options);
  if (options.cuda) plan_scratch(model, products);
  if (options.max_memory > 0) {
    const Device device = options.cuda ? Device::cuda : Device::cpu;  // which holds more than the CPU
    fit_memory(model, batch_of(options, model.graph), options.max_memory, device, diagnostics);
  }
  if (diagnostics.has_errors() || dump.stop("recompute", [&] { return print(planned); })) return false;

  // A kernel a group; equal groups share one.
  model.kernels = list_kernels(model.plans());
  model.kernels.cuda = options.cuda;
  model.kernels.cuda_products = products;
  list_functions(model.functions, model.kernels);
  return true;
}

/// Those that netc brings along, then the user's. Returns false when that cannot be read.
bool read_tiles(const Options& options, Compilation& compilation, Tiles& tiles) {
  for (const Isa isa : all_isas) {
    const fs::path path = installation().tiles / fmt::format("{}.tiles", isa_name(isa));
    if (fs::exists(path)) tiles.add(*read_source(path.string(), compilation), compilation.diagnostics);
  }
  if (options.tiles.empty()) return true;
  const Source* source = read_source(options.tiles, compilation);
  if (source != nullptr) tiles.add(*source, compilation.diagnostics);
  return source != nullptr && !compilation.diagnostics.has_errors();
}

/// Lines of the user's tiles file that no kernel of the model goes by would be passed over in silence.
void note_unused_tiles(const Options& options, const Compilation& compilation, const CompiledModel& model) {
  const auto source = std::find_if(compilation.sources.begin(), compilation.sources.end(),
                                   [&](const auto& file) { return file->path == options.tiles; });
  if (options.tiles.empty() || source == compilation.sources.end()) return;
  std::set<std::string> names;
  for (const KernelEntry& entry : model.kernels.entries) {
    if (entry.group != nullptr) names.insert(tuned_name(entry.plan->graph, *entry.group, entry.plan->layouts));
  }
  const auto lines = model.kernels.tiles.lines(**source);
  std::set<int> unused;
  for (const auto& [kernel, written] : lines) {
    if (!names.contains(kernel)) unused.insert(position(written).line);
  }
  if (unused.empty()) return;
  fmt::print(stderr, "note: {}: {} of {} lines name no kernel of {}; the first is line {}\n", options.tiles,
             unused.size(), lines.size(), model.graph.name, *unused.begin());
}

/// Choices are checked by the schedules that ask for them.
template <class Use>
int with_tiles_checked(Use use) try {
  return use();
} catch (const WrongChoice& wrong) {
  Diagnostics diagnostics;
  diagnostics.add(wrong.diagnostic());
  fmt::print(stderr, "{}", diagnostics.text());
  return 1;
}

/// What is prepared takes memory that --max-memory did not count on.
void plan_preparations(const Options& options, CompiledModel& model) {
  if (model.has_model() && options.max_memory == 0) model.plan_preparations();
}

/// Compiles, prints the diagnostics, and passes a complete model on to `use`, which returns the exit status.
template <class Use>
int with_model(const Options& options, Use use) {
  Compilation compilation;
  Dump none;
  CompiledModel model;
  const bool complete =
      compile(options, compilation, none, model) && read_tiles(options, compilation, model.kernels.tiles);
  fmt::print(stderr, "{}", compilation.diagnostics.text());
  if (options.native) model.kernels.only = best_isa();
  if (complete) note_unused_tiles(options, compilation, model);
  if (complete) plan_preparations(options, model);
  return complete ? with_tiles_checked([&] { return use(model, compilation); }) : 1;
}

/// Of commands that need a model, where the file has functions alone.
int no_model(const Options& options) {
  fmt::print(stderr, "error: {0} defines functions, but no model\nhelp: netc {0} generates them as C++\n",
             options.file);
  return 1;
}

/// `with_model` for such commands.
template <class Use>
int with_network(const Options& options, Use use) {
  return with_model(options, [&](const CompiledModel& model, Compilation& compilation) {
    return model.has_model() ? use(model, compilation) : no_model(options);
  });
}

/// Writes `text` unless the file has it already, so that builds see what really changed.
bool update(const fs::path& path, const std::string& text) {
  if (read_file(path) == text) return true;
  const fs::path temporary = path.string() + fmt::format(".{}.tmp", getpid());
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  std::error_code error;
  if (file) fs::rename(temporary, path, error);
  if (file && !error) return true;
  const int reason = errno;
  fmt::print(stderr, "error: cannot write {}: {}\n", path.string(), error ? error.message() : std::strerror(reason));
  fs::remove(temporary, error);
  return false;
}

/// The kernels' objects, from the cache where they are there.
bool update_library(const CompiledModel& model, const Options& options, const fs::path& library) {
  std::optional<Progress> progress;
  const auto show = [&](int done, int all) {
    if (options.quiet) return;
    if (!progress) progress.emplace("compiling kernels", all, 0, "kernels");
    progress->update(done, "");
  };
  const auto objects = compile_kernels(model.kernels, KernelCache(KernelCache::default_folder()), show);
  const fs::path temporary = library.string() + fmt::format(".{}.tmp", getpid());
  write_library(objects, temporary);
  const std::optional<std::string> archive = read_file(temporary);
  fs::remove(temporary);
  return archive && update(library, *archive);
}

std::string loop_nests(const CompiledModel& model) {
  const Plan& plan = model.training ? *model.training : model.evaluation;
  std::string text;
  for (const Group& group : plan.groups)
    text += fmt::format("==== {}\n{}", group.name, loop_nest(plan, group, model.kernels));
  return text;
}

/// make's form: TARGET: SOURCES.
std::string dependencies(const fs::path& target, const Compilation& compilation) {
  std::string text = target.string() + ":";
  std::set<std::string> seen;
  for (const auto& source : compilation.sources) {
    if (source->path.starts_with("--set ")) continue;  // an option, which is a source so that errors can point into it
    if (!seen.insert(source->path).second) continue;
    text += " ";
    for (char c : source->path) text += c == ' ' ? std::string("\\ ") : std::string(1, c);
  }
  return text + "\n";
}

fs::path output_folder(const Options& options, const CompiledModel& model) {
  return options.output.empty() ? fs::path("generated") / model.graph.name : options.output;
}

int write_files(const CompiledModel& model, const Options& options, const Compilation& compilation,
                const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    fmt::print(stderr, "error: cannot make the folder {}: {}\n", folder.string(), error.message());
    return 1;
  }
  for (const GeneratedFile& file : emit(model, fs::path(options.file).filename().string())) {
    if (!update(folder / file.name, file.text)) return 1;
  }
  if (!update_library(model, options, folder / fmt::format("lib{}_kernels.a", model.graph.name))) return 1;
  const fs::path first = folder / (model.graph.name + (model.has_model() ? ".hpp" : "_functions.hpp"));
  if (!options.depfile.empty() && !update(options.depfile, dependencies(first, compilation))) return 1;
  return 0;
}

}  // namespace

int generate(const Options& options) {
  return with_model(options, [&](const CompiledModel& model, const Compilation& compilation) {
    const fs::path folder = output_folder(options, model);
    const int status = write_files(model, options, compilation, folder);
    if (status == 0 && !options.quiet) {
      fmt::print("{}: {} kernels in {}\n", model.graph.name, model.kernels.entries.size(), folder.string());
    }
    return status;
  });
}

int check(const Options& options) {
  Compilation compilation;
  Dump none;
  CompiledModel model;
  const bool complete = compile(options, compilation, none, model);
  if (options.json) {
    fmt::print("{}\n", compilation.diagnostics.json());
  } else {
    fmt::print(stderr, "{}", compilation.diagnostics.text());
  }
  return complete ? 0 : 1;
}

int summary(const Options& options) {
  return with_network(options, [&](const CompiledModel& model, const Compilation&) {
    const int batch = batch_of(options, model.graph);
    fmt::print("{}", options.json ? summary_json(model, batch) : summary_text(model, batch));
    return 0;
  });
}

int dump(const Options& options, const std::string& stage) {
  Compilation compilation;
  Dump dump{stage, ""};
  CompiledModel model;
  const bool complete =
      compile(options, compilation, dump, model) && read_tiles(options, compilation, model.kernels.tiles);
  fmt::print(stderr, "{}", compilation.diagnostics.text());
  if (complete && stage == "emit") plan_preparations(options, model);
  if (complete && stage == "emit") dump.text = emitted(model, options);
  if (complete && stage != "emit" && !model.has_model()) return no_model(options);
  return with_tiles_checked([&] {
    if (complete && stage == "lower") dump.text = loop_nests(model);
    fmt::print("{}", dump.text);
    return dump.text.empty() ? 1 : 0;
  });
}

int build(const Options& options) {
  return with_network(options, [&](const CompiledModel& model, const Compilation& compilation) {
    const fs::path folder = output_folder(options, model);
    int status = write_files(model, options, compilation, folder);
    if (status == 0) status = build_program({folder, model.graph.name});
    if (status == 0 && options.shared) status = build_shared_library({folder, model.graph.name});
    if (status == 0 && !options.quiet) fmt::print("built {}\n", (folder / model.graph.name).string());
    return status;
  });
}

int tune(const Options& options) {
  return with_network(options, [&](const CompiledModel& model, Compilation& compilation) {
    const fs::path file =
        options.output.empty() ? fmt::format("{}.tiles", isa_name(tuned_isa(model.kernels))) : options.output.string();
    Tiles tiles;
    if (fs::exists(file)) {
      const Source* source = read_source(file.string(), compilation);
      if (source == nullptr) return 1;
      tiles.add(*source, compilation.diagnostics);
    }
    if (compilation.diagnostics.has_errors()) {
      fmt::print(stderr, "{}", compilation.diagnostics.text());
      return 1;
    }
    const int batch = options.batch > 0 ? options.batch : model.graph.recipe.batch;
    return tune_kernels(model.kernels, std::move(tiles), {file, batch, options.threads, options.seconds});
  });
}

int run(const Options& options, const std::vector<std::string>& arguments) {
  Options native = options;
  native.quiet = true;
  native.native = true;
  return with_network(native, [&](const CompiledModel& model, const Compilation& compilation) {
    const auto write = [&](const fs::path& folder) { return write_files(model, native, compilation, folder); };
    return run_program(model.graph.name, write, arguments);
  });
}

}  // namespace netc
