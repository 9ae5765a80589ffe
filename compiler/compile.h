// The straight line that all commands follow: from a `.net` file to plans of its model and a table of their kernels.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "compiler/compilation.h"
#include "compiler/compiled_model.h"
#include "compiler/graph/precision.h"

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
  bool check = false;           // whether `tune` only compares the choices that there are
  std::string only{};           // kernels that `tune` tunes: those in whose names this stands
  std::int64_t max_memory = 0;  // bytes that a run may hold; 0: any
  bool shared = false;
  bool examples = false;  // whether `check` computes the file's examples
};

/// The stages that `dump` knows, in order.
inline constexpr std::array<const char*, 10> stages{"parse", "elaborate", "differentiate", "inline", "layout",
                                                    "fuse",  "plan",      "recompute",     "lower",  "emit"};

/// The text of a stage is wanted instead of the stages behind it.
struct Dump {
  std::string after;  // one of `stages`; empty: none
  std::string text;

  /// Whether this was the stage; `print` makes its text.
  template <class Print>
  bool stop(const char* stage, Print print) {
    if (after != stage) return false;
    text = print();
    return true;
  }
};

/// All stages that need no kernels. Returns false when there were errors, or when `dump` has what it wants.
bool compile(const Options& options, Compilation& compilation, Dump& dump, CompiledModel& model);

/// The examples that memory is planned for.
int batch_of(const Options& options, const Graph& graph);

}  // namespace netc
