// The commands of a generated program; one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netc/network.h"
#include "netc/program.h"

namespace netc {

/// What a command works on.
struct Model {
  const Description& description;
  const MakeNetwork& make;
};

/// Each adds one command, which runs while the command line is parsed and throws Error.
void add_train_command(CLI::App& app, const Model& model);
void add_eval_command(CLI::App& app, const Model& model);
void add_bench_command(CLI::App& app, const Model& model);
void add_profile_command(CLI::App& app, const Model& model);
void add_run_command(CLI::App& app, const Model& model);

/// Checks of an option's number: "must be above 0, found 0".
CLI::Validator above_zero();
CLI::Validator at_least_zero();

/// The options `--threads T` and `--pin`.
struct ThreadOptions {
  int threads = 0;
  bool pin = false;
};
void add_thread_options(CLI::App& command, ThreadOptions& options);

/// Computes with so many threads from now on; warns where they are more than processors. Throws Error (usage, device).
void use_threads(const Model& model, const ThreadOptions& options);
/// A line for a user who asks for more threads than there are processors; empty where these are enough.
std::string thread_warning(int threads);

/// The option `--device cpu|cuda|auto`.
void add_device_option(CLI::App& command, std::string& device);
/// The device that the option names. `auto` is CUDA where the model has kernels for it and there is a GPU; where there
/// is none, a line on standard error says that the CPU computes. Throws Error (device) where CUDA is asked for in vain.
Device choose_device(const std::string& device, const Description& description);

/// Splits "NAME=FILE"; where there is one name only, FILE alone will do. Throws Error (usage) with "did you mean".
std::pair<std::size_t, std::string> split_binding(const std::string& option, const std::string& text,
                                                  const std::vector<TensorSpec>& specs);

}  // namespace netc
