// netc's commands, and the straight line that all of them follow.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "compiler/precision.h"

namespace netc {

struct Options {
  std::string file;                                      // the `.net` file
  std::string model;                                     // which model of the file; empty: the last
  std::filesystem::path output;                          // folder of the generated files; empty: generated/MODEL
  std::vector<std::pair<std::string, std::string>> set;  // --set PATH=VALUE, in order
  std::string tiles;                                     // a tiles file (see tiles.h) that goes before netc's own
  std::string depfile;                                   // where to write what the files depend on, for make and ninja
  Precision precision = Precision::f32;                  // of what convolutions and linear layers multiply
  bool native = false;                                   // of processors, kernels for this one alone
  bool cuda = false;                                     // kernels for CUDA, too
  bool quiet = false;
  bool json = false;
  int batch = 0;  // examples that memory is planned and kernels are tuned for; 0: the recipe's
  int threads = 0;
  double seconds = 0;
  std::int64_t max_memory = 0;  // bytes that a run may hold; 0: any
  bool shared = false;
  bool examples = false;  // whether `check` computes the file's examples
};

// Every command prints diagnostics to standard error and returns the exit status: 0, or 1 when the input is wrong.

/// Writes the generated files and the kernels' library; what is unchanged is not touched.
int generate(const Options& options);
/// Reports what is wrong with the model, and, on request, examples that do not hold; nothing else.
int check(const Options& options);
/// A row a layer: path, operator, output shape, parameters, multiply-adds; and the memory of a batch.
int summary(const Options& options);
/// The stages that `dump` knows, in order.
inline constexpr std::array<const char*, 10> stages{"parse", "elaborate", "differentiate", "inline", "layout",
                                                    "fuse",  "plan",      "recompute",     "lower",  "emit"};
/// One of `stages` as text.
int dump(const Options& options, const std::string& stage);
/// `generate`, then the system's C++ compiler.
int build(const Options& options);
/// Times what the schedules of the model's kernels let choose, and writes the best to the tiles file `output`, for
/// `batch` examples and `threads`, in about so many `seconds`.
int tune(const Options& options);
/// Builds the model's program in a cache and becomes it, with `arguments` behind `run`.
int run(const Options& options, const std::vector<std::string>& arguments);

}  // namespace netc
