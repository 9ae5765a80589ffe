// Schedules as data: what tuning found to be fastest for single kernels on a kind of machine, as a text file.
//
//   netc tiles 1 avx512
//   # a comment
//   linear [N,400] [120,400] [120] -> [N,120] bias=true features=120 : vectors=4 images=7  # 1.31 times as fast
//
// A kernel is named by its operator, the shapes of what it reads and writes, and its attributes (`few`: its schedule
// for a few examples); behind the colon stand choices of its schedule (see KernelBuilder::choice). What is not listed
// is chosen by the schedules' rules.
#pragma once

#include <array>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/graph/graph.h"
#include "compiler/graph/layout.h"
#include "compiler/passes/fuse.h"
#include "dsl/diagnostic.h"
#include "netc/kernel.h"

namespace netc {

/// "sse41", "avx2", "avx512", "avx512_bf16"
std::string_view isa_name(Isa isa);

struct Choice {
  int value = 0;
  Span span{};  // where it is written, if it is
};

/// By their names in the schedule.
using Choices = std::map<std::string, Choice>;

/// "columns=6 vectors=2"
std::string to_string(const Choices& choices);

/// What a schedule lets choose.
struct Offer {
  std::string name;
  int value;                    // that is chosen
  std::vector<int> candidates;  // in the order of their values, `value` among them
};

/// A line of a tiles file.
struct TunedKernel {
  Choices choices{};
  std::string note{};  // what stands behind the `#`
};

class Tiles {
 public:
  /// Adds the lines of a file; they replace those of the same kernels. `file` must outlive the tiles. Returns what
  /// instruction set the file is for; nothing where its first line does not say.
  std::optional<Isa> add(const Source& file, Diagnostics& diagnostics);
  void set(Isa isa, const std::string& kernel, TunedKernel tuned);

  /// Empty for a kernel that is not listed.
  const Choices& choices(Isa isa, const std::string& kernel) const;

  bool contains(Isa isa, const std::string& kernel) const;

  /// The kernels that lines of this file choose for, and where their first choices are written.
  std::vector<std::pair<std::string, Span>> lines(const Source& file) const;

  /// The file for an instruction set, in the order of the kernels' names.
  std::string text(Isa isa) const;

 private:
  std::array<std::map<std::string, TunedKernel>, isa_count> kernels_;
};

/// What the kernel of a group is called in a tiles file.
std::string tuned_name(const Graph& graph, const Group& group, const std::vector<Layout>& layouts);

/// A choice that a kernel's schedule does not have, or a value that it does not take (N322).
class WrongChoice : public std::exception {
 public:
  explicit WrongChoice(Diagnostic diagnostic) : diagnostic_(std::move(diagnostic)) {}
  const Diagnostic& diagnostic() const { return diagnostic_; }
  const char* what() const noexcept override { return diagnostic_.message.c_str(); }

 private:
  Diagnostic diagnostic_;
};

}  // namespace netc
