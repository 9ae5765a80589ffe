#include "compiler/commands/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "compiler/commands/build_program.h"
#include "compiler/commands/generated_files.h"
#include "compiler/commands/summary.h"
#include "compiler/commands/tune_kernels.h"
#include "compiler/emit/emit.h"
#include "compiler/installation.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

/// Those that netc brings along, then the user's. Returns false when that cannot be read.
bool read_tiles(const Options& options, Compilation& compilation, Tiles& tiles) {
  for (const Isa isa : all_isas) {
    const fs::path path = installation().tiles / fmt::format("{}.tiles", isa_name(isa));
    if (!fs::exists(path)) continue;
    const Source* source = read_source(path.string(), compilation);
    if (source == nullptr) return false;
    tiles.add(*source, compilation.diagnostics);
  }
  if (options.tiles.empty()) return true;
  const Source* source = read_source(options.tiles, compilation);
  if (source != nullptr) tiles.add(*source, compilation.diagnostics);
  return source != nullptr && !compilation.diagnostics.has_errors();
}

/// The choices that tuning goes on with, and writes anew: a file for another instruction set would lose its own.
void continue_tiles(const fs::path& file, Isa isa, Tiles& tiles, Compilation& compilation) {
  const Source* source = read_source(file.string(), compilation);
  if (source == nullptr) return;
  const std::optional<Isa> of_file = tiles.add(*source, compilation.diagnostics);
  if (!of_file || *of_file == isa) return;
  compilation.diagnostics.add({"",
                               {},
                               fmt::format("{} has choices for {}; the kernels to tune are for {}", file.string(),
                                           isa_name(*of_file), isa_name(isa)),
                               "",
                               {},
                               "write to another file: -o FILE"});
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

/// What is wrong goes where the result would have gone, for programs that read the result.
void print_diagnostics(const Options& options, const Compilation& compilation, bool complete) {
  if (options.json && !complete) {
    fmt::print("{}\n", compilation.diagnostics.json());
  } else {
    fmt::print(stderr, "{}", compilation.diagnostics.text());
  }
}

/// Compiles, prints the diagnostics, and passes a complete model on to `use`, which returns the exit status.
template <class Use>
int with_model(const Options& options, Use use) {
  Compilation compilation;
  Dump none;
  CompiledModel model;
  const bool complete =
      compile(options, compilation, none, model) && read_tiles(options, compilation, model.kernels.tiles);
  print_diagnostics(options, compilation, complete);
  if (!complete) return 1;
  if (options.native) model.kernels.only = best_isa();
  note_unused_tiles(options, compilation, model);
  return with_tiles_checked([&] {
    plan_preparations(options, model);
    return use(model, compilation);
  });
}

/// Of commands that need a model, where the file has functions alone.
int no_model(const Options& options) {
  Compilation compilation;
  compilation.diagnostics.add({"",
                               {},
                               fmt::format("{} defines functions, but no model", options.file),
                               "",
                               {},
                               fmt::format("netc {} generates them as C++", options.file)});
  print_diagnostics(options, compilation, false);
  return 1;
}

/// `with_model` for such commands.
template <class Use>
int with_network(const Options& options, Use use) {
  return with_model(options, [&](const CompiledModel& model, Compilation& compilation) {
    return model.has_model() ? use(model, compilation) : no_model(options);
  });
}

std::string emitted(const CompiledModel& model, const Options& options) {
  std::string text;
  for (const GeneratedFile& file : emit(model, fs::path(options.file).filename().string()))
    text += fmt::format("==== {}\n{}", file.name, file.text);
  return text;
}

std::string loop_nests(const CompiledModel& model) {
  const Plan& plan = model.training ? *model.training : model.evaluation;
  std::string text;
  for (const Group& group : plan.groups)
    text += fmt::format("==== {}\n{}", group.name, loop_nest(plan, group, model.kernels));
  return text;
}

fs::path output_folder(const Options& options, const CompiledModel& model) {
  return options.output.empty() ? fs::path("generated") / model.graph.name : options.output;
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
  if (complete && stage != "emit" && !model.has_model()) return no_model(options);
  return with_tiles_checked([&] {
    if (complete && stage == "emit") {
      plan_preparations(options, model);
      dump.text = emitted(model, options);
    }
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
    const Isa isa = tuned_isa(model.kernels);
    const fs::path file = options.output.empty() ? fmt::format("{}.tiles", isa_name(isa)) : options.output.string();
    Tiles tiles;
    if (fs::exists(file)) continue_tiles(file, isa, tiles, compilation);
    if (compilation.diagnostics.has_errors()) {
      fmt::print(stderr, "{}", compilation.diagnostics.text());
      return 1;
    }
    const int batch = batch_of(options, model.graph);
    return tune_kernels(model.kernels, std::move(tiles),
                        {file, batch, options.threads, options.seconds, options.check, options.only});
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
