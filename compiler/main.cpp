// The command line of netc: each command reads its options, then one function of the compiler does the work.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compiler/commands/commands.h"
#include "compiler/commands/crash_report.h"
#include "compiler/commands/exit_status.h"
#include "compiler/emit/cpp_writer.h"
#include "compiler/passes/memory_size.h"
#include "dsl/diagnostic.h"
#include "netc/commands.h"

namespace netc {
namespace {

constexpr const char* version = "netc " NETC_VERSION " (Halide " NETC_HALIDE_VERSION ")";

/// What the arguments say, and what to do with it.
struct CommandLine {
  Options options;
  std::vector<std::string> settings;  // PATH=VALUE, not yet divided
  std::string stage;
  std::string code;
  std::vector<std::string> program_arguments;
  std::function<int()> action;
};

std::string check_setting(const std::string& text) {
  std::size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0) return "";
  return fmt::format("'{}' is not of the form PATH=VALUE, such as train.epochs=3", text);
}

std::string check_target(const std::string& target) {
  if (target == "cpu" || target == "cuda") return "";
  return fmt::format("'{}' is not a target of this netc; targets: cpu, cuda", target);
}

std::string check_precision(const std::string& precision) {
  if (find_precision(precision)) return "";
  return fmt::format("'{}' is not a precision; precisions: {}", precision, fmt::join(precision_names, ", "));
}

std::string check_model(const std::string& name) {
  if (cpp::is_identifier(name)) return "";
  return fmt::format("'{}' is not the name of a model", name);
}

std::string check_stage(const std::string& stage) {
  const std::vector<std::string> known(stages.begin(), stages.end());
  if (std::find(known.begin(), known.end(), stage) != known.end()) return "";
  const std::string alike = did_you_mean(stage, known);
  if (!alike.empty()) return fmt::format("'{}' is not a stage: {}", stage, alike);
  return fmt::format("'{}' is not a stage; stages: {}", stage, fmt::join(known, ", "));
}

std::string check_memory_size(const std::string& size) {
  if (parse_memory_size(size)) return "";
  return fmt::format("'{}' is not a size of memory, such as 512M or 2GiB", size);
}

void add_file(CLI::App& command, CommandLine& line) {
  command.add_option("MODEL", line.options.file, "The model, a .net file")->required()->type_name("FILE");
}

/// What chooses and changes the model of a file.
void add_settings(CLI::App& command, CommandLine& line) {
  command.add_option("--model", line.options.model, "Which model of the file (default: the last)")
      ->type_name("NAME")
      ->check(CLI::Validator(check_model, ""));
  command.add_option("--set", line.settings, "Set a `let` of the model, or a setting of `train` as train.NAME")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false)
      ->check(CLI::Validator(check_setting, ""));
}

void add_output(CLI::App& command, CommandLine& line) {
  command.add_option("-o,--output", line.options.output, "Folder of the generated files (default: generated/MODEL)")
      ->type_name("DIR");
}

void add_target(CLI::App& command, CommandLine& line) {
  const auto set = [&line](const std::string& target) { line.options.cuda = target == "cuda"; };
  command
      .add_option_function<std::string>(
          "--target", set, "What the kernels run on: cpu, or cuda, which adds kernels for NVIDIA's GPUs to the CPU's")
      ->type_name("TARGET")
      ->default_str("cpu")
      ->check(CLI::Validator(check_target, ""));
}

void add_native(CLI::App& command, CommandLine& line) {
  command.add_flag("--native", line.options.native,
                   "Compile kernels for this processor alone, in two fifths to a half of the time; the program runs on "
                   "no lesser one");
}

void add_tiles(CLI::App& command, CommandLine& line) {
  command
      .add_option("--tiles", line.options.tiles, "Schedules' choices that `netc tune` wrote; they go before netc's own")
      ->type_name("FILE");
}

/// Of the commands that show or compile kernels.
void add_precision(CLI::App& command, CommandLine& line) {
  const auto set = [&line](const std::string& name) { line.options.precision = *find_precision(name); };
  command
      .add_option_function<std::string>("--precision", set,
                                        "What convolutions and linear layers multiply: f32, or numbers rounded to "
                                        "bf16, or for GPUs to TF32, added up "
                                        "in f32")
      ->type_name("f32|tf32|bf16")
      ->default_str("f32")
      ->check(CLI::Validator(check_precision, ""));
}

void add_batch(CLI::App& command, CommandLine& line, const std::string& what) {
  command.add_option("--batch", line.options.batch, what)
      ->type_name("B")
      ->check(CLI::Range(1, 1 << 20).description(""));
}

void add_memory(CLI::App& command, CommandLine& line) {
  const auto set_limit = [&line](const std::string& size) { line.options.max_memory = *parse_memory_size(size); };
  command
      .add_option_function<std::string>("--max-memory", set_limit,
                                        "Train within this memory: what does not fit is computed again")
      ->type_name("SIZE")
      ->check(CLI::Validator(check_memory_size, ""));
  add_batch(command, line, "Examples a batch, for the memory (default: that of `train`)");
}

/// A command that reads a model; `act` runs after the options are read.
CLI::App* add_model_command(CLI::App& app, CommandLine& line, const std::string& name, const std::string& help,
                            std::function<int()> act) {
  CLI::App* command = app.add_subcommand(name, help);
  add_file(*command, line);
  add_settings(*command, line);
  command->callback([&line, act = std::move(act)] { line.action = act; });
  return command;
}

int explain(const std::string& code) {
  std::string upper_case = code;
  for (char& c : upper_case) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string_view text = explanation(upper_case);
  if (!text.empty()) {
    fmt::print("{}", text);
    return 0;
  }
  fmt::print(stderr, "error: netc has no diagnostic '{}'; codes look like N201 or W401\n", code);
  return wrong_input;
}

/// `netc MODEL`: the app itself.
void add_generate(CLI::App& app, CommandLine& line) {
  app.add_option("MODEL", line.options.file, "The model to generate code for, a .net file")->type_name("FILE");
  add_output(app, line);
  add_settings(app, line);
  add_target(app, line);
  app.add_option("--depfile", line.options.depfile,
                 "Write a rule for make or ninja: what the generated files depend on")
      ->type_name("FILE");
  add_native(app, line);
  add_tiles(app, line);
  add_precision(app, line);
  add_memory(app, line);
  app.add_flag("-q,--quiet", line.options.quiet, "Say nothing but warnings and errors");
}

void add_inspection(CLI::App& app, CommandLine& line) {
  Options& options = line.options;
  CLI::App* check_command =
      add_model_command(app, line, "check", "Check a model, generate nothing", [&] { return check(options); });
  check_command->add_flag("--json", options.json, "Print the diagnostics as JSON");
  check_command->add_flag("--examples", options.examples, "Compute the file's examples too");

  CLI::App* summary_command = add_model_command(app, line, "summary", "Show a model's layers, parameters and memory",
                                                [&] { return summary(options); });
  summary_command->add_flag("--json", options.json, "Print JSON");
  add_memory(*summary_command, line);
  add_target(*summary_command, line);
  add_precision(*summary_command, line);

  CLI::App* dump_command = add_model_command(app, line, "dump", "Print a model as it is after a stage of the compiler",
                                             [&] { return dump(options, line.stage); });
  add_memory(*dump_command, line);
  add_target(*dump_command, line);
  dump_command->add_option("--after", line.stage, fmt::format("The stage: {}", fmt::join(stages, ", ")))
      ->required()
      ->type_name("STAGE")
      ->check(CLI::Validator(check_stage, ""));
  add_tiles(*dump_command, line);
  add_precision(*dump_command, line);

  CLI::App* explain_command = app.add_subcommand("explain", "Say what a diagnostic means and how to mend its cause");
  explain_command->add_option("CODE", line.code, "The code, such as N201")->required();
  explain_command->callback([&line] { line.action = [&line] { return explain(line.code); }; });
}

/// What `netc run` passes on to the model's program.
struct ProgramOption {
  const char* name;
  const char* value;
  const char* help;
};

constexpr std::array<ProgramOption, 11> run_options{{
    {"--weights", "FILE", "Read parameters and buffers from a safetensors file"},
    {"--input", "[NAME=]FILE",
     "Read an input from an NPY file; once for each input, NAME may be left out where there is one"},
    {"--label", "FILE", "Read the labels from an NPY file"},
    {"--mode", "eval|train", "How batchnorm and dropout work (default: train with --steps or --gradients, else eval)"},
    {"--steps", "K", "Take K steps of the model's optimizer on this batch (default: none)"},
    {"--seed", "S", "Seed of dropout"},
    {"--threads", "T", "Threads to compute with; 0: one per processor"},
    {"--device", "cpu|cuda|auto", "What to compute on; auto: cuda where it can be used (default: cpu)"},
    {"--output", "[NAME=]FILE", "Write an output to an NPY file; NAME may be left out where there is one"},
    {"--gradients", "FILE", "Write gradients to a safetensors file, of parameters by path and of inputs as input.NAME"},
    {"--save", "FILE", "Write parameters and buffers, as they are afterwards, to a safetensors file"},
}};

void add_programs(CLI::App& app, CommandLine& line) {
  Options& options = line.options;
  CLI::App* build_command = add_model_command(
      app, line, "build", "Generate code and compile the model's program DIR/MODEL", [&] { return build(options); });
  add_output(*build_command, line);
  add_target(*build_command, line);
  add_native(*build_command, line);
  add_tiles(*build_command, line);
  add_precision(*build_command, line);
  add_memory(*build_command, line);
  build_command->add_flag("--shared", options.shared, "Compile a shared library DIR/libMODEL.so too");

  CLI::App* tune_command =
      add_model_command(app, line, "tune", "Find the fastest schedules for a model on this machine", [&] {
        fmt::print(stderr, "{}", thread_warning(options.threads));
        return tune(options);
      });
  tune_command
      ->add_option(
          "-o,--output", options.output,
          "Tiles file to write, or to go on with (default: named after the instruction set, such as avx512.tiles)")
      ->type_name("FILE");
  add_tiles(*tune_command, line);
  add_precision(*tune_command, line);
  add_batch(*tune_command, line, "Examples a batch (default: that of `train`)");
  tune_command->add_option("--threads", options.threads, "Threads to compute with; 0: one per processor")
      ->type_name("T")
      ->check(CLI::Range(0, 1 << 10).description(""));
  tune_command->add_flag(
      "--check", options.check,
      "Search nothing: time the choices of --tiles and netc's own beside the rules', and write those "
      "that are faster here");
  tune_command
      ->add_option(
          "--only", options.only,
          "Only kernels in whose line of a tiles file this text stands, such as \"conv_backward\", \"[N,64,24,24]\" "
          "or \" few\": the kernels for a few examples")
      ->type_name("TEXT");
  tune_command->add_option("--seconds", options.seconds, "Time to spend (default: until all kernels are tuned)")
      ->type_name("S")
      ->check(above_zero());

  CLI::App* run_command = add_model_command(app, line, "run", "Run a model once, or train it for some steps",
                                            [&] { return run(options, line.program_arguments); });
  add_tiles(*run_command, line);
  add_precision(*run_command, line);
  add_memory(*run_command, line);
  for (const ProgramOption& option : run_options) {
    auto forward = [&line, &option](const std::string& value) {
      if (option.name == std::string_view("--device")) line.options.cuda = value != "cpu";
      line.program_arguments.insert(line.program_arguments.end(), {option.name, value});
    };
    run_command->add_option_function<std::string>(option.name, forward, option.help)
        ->type_name(option.value)
        ->allow_extra_args(false)
        ->trigger_on_parse();
  }
  // What the program would refuse only when its kernels are compiled.
  for (const char* name : {"--weights", "--input"}) run_command->get_option(name)->required();
  run_command->get_option("--mode")->check(CLI::IsMember({"eval", "train"}).description(""));
  run_command->get_option("--device")->check(CLI::IsMember({"cpu", "cuda", "auto"}).description(""));
  run_command->get_option("--steps")->check(above_zero());
}

/// Divides PATH=VALUE at the first equals sign.
void divide_settings(CommandLine& line) {
  for (const std::string& setting : line.settings) {
    std::size_t equals = setting.find('=');
    line.options.set.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
}

/// What is wrong with the arguments, in the form of netc's other errors.
std::string usage_error(const CLI::App* app, const CLI::Error& error, const CommandLine& line) {
  const std::string& first = line.options.file;
  std::vector<CLI::App*> command = app->get_subcommands();
  bool extra = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if (!command.empty() || first.empty() || first.ends_with(".net") || !extra) {
    return fmt::format("error: {}\nhelp: netc {}--help\n", error.what(),
                       command.empty() ? "" : command[0]->get_name() + " ");
  }
  std::vector<std::string> commands;
  for (const CLI::App* known : app->get_subcommands({})) commands.push_back(known->get_name());
  std::string suggestion = did_you_mean(first, commands);
  return fmt::format("error: '{}' is neither a command nor a .net file\nhelp: {}\n", first,
                     suggestion.empty() ? "netc --help" : suggestion);
}

std::unique_ptr<CLI::App> make_app(CommandLine& line) {
  auto app = std::make_unique<CLI::App>("netc compiles neural networks, written as .net files, to C++.", "netc");
  app->set_version_flag("--version", version, "Print the version and exit");
  app->get_formatter()->column_width(36);
  app->footer("Exit status: 0 done, 1 the input is wrong, 2 wrong usage, 3 a bug of netc's.");
  app->require_subcommand(0, 1);
  add_generate(*app, line);
  add_inspection(*app, line);
  add_programs(*app, line);
  return app;
}

int main(int argc, char** argv) {
  CommandLine line;
  std::unique_ptr<CLI::App> app = make_app(line);
  try {
    app->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app->exit(error);
    fmt::print(stderr, "{}", usage_error(app.get(), error, line));
    return wrong_usage;
  }
  if (!line.action && line.options.file.empty()) {
    fmt::print(stderr, "{}", app->help());
    return wrong_usage;
  }
  if (!line.options.cuda && line.options.precision == Precision::tf32) {
    fmt::print(stderr,
               "error: --precision tf32 is for kernels for GPUs (--target cuda); those for the CPU multiply f32 or "
               "bf16\nhelp: choose f32 or bf16, or build for GPUs\n");
    return wrong_usage;
  }
  if (!line.action) line.action = [&line] { return generate(line.options); };
  divide_settings(line);
  return with_crash_report({{argv, argv + argc}, line.options.file, version}, line.action);
}

}  // namespace
}  // namespace netc

int main(int argc, char** argv) {
  return netc::main(argc, argv);
}
