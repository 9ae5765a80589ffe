// Reports errors of elaboration together with the imports or block instantiations around the place that it has reached.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dsl/diagnostic.h"
#include "dsl/source.h"

namespace netc {

class Reporter {
 public:
  explicit Reporter(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void error(const std::string& code, const Span& span, const std::string& message, const std::string& help = "");
  void warning(const std::string& code, const Span& span, const std::string& message, const std::string& help = "");
  /// The same for any diagnostic; its own notes stand above those of the block instantiations.
  void report(Diagnostic diagnostic);

  /// What stands in `source` was written on the command line as `option`: its errors name that in place of a location.
  void add_option(const Source& source, std::string option) { options_.emplace_back(&source, std::move(option)); }

  bool has_errors() const { return diagnostics_.has_errors(); }
  /// Calls that reported an error so far, also those that said again what had been said.
  int errors() const { return errors_; }
  /// No further error would be shown.
  bool full() const { return diagnostics_.full(); }

  /// The imports, or block instantiations and loop variables, around the present place, innermost first. Long trails
  /// are cut.
  std::vector<Note> trail() const;

 private:
  friend class ImportTrail;
  friend class BlockTrail;
  friend class LoopTrail;

  /// One file that an import, or list of statements that a block call leads into, and the loop variables in it.
  struct Level {
    std::string note;
    std::vector<std::string> loops;
  };

  std::string loops() const;

  Diagnostics& diagnostics_;
  int errors_ = 0;
  std::vector<std::pair<const Source*, std::string>> options_;
  std::vector<Level> levels_{1};
};

/// While it lives, reports carry "in `file`, imported at …".
class ImportTrail {
 public:
  ImportTrail(Reporter& reporter, const Source& file, const Span& statement);
  ~ImportTrail() { reporter_.levels_.pop_back(); }
  ImportTrail(const ImportTrail&) = delete;
  ImportTrail& operator=(const ImportTrail&) = delete;

 private:
  Reporter& reporter_;
};

/// While it lives, reports carry "in `call`, called at …".
class BlockTrail {
 public:
  BlockTrail(Reporter& reporter, const std::string& call, const Span& span);
  ~BlockTrail() { reporter_.levels_.pop_back(); }
  BlockTrail(const BlockTrail&) = delete;
  BlockTrail& operator=(const BlockTrail&) = delete;

 private:
  Reporter& reporter_;
};

/// While it lives, reports carry the values of a loop's variables, "i = 1".
class LoopTrail {
 public:
  LoopTrail(Reporter& reporter, std::string variables);
  ~LoopTrail() { reporter_.levels_.back().loops.pop_back(); }
  LoopTrail(const LoopTrail&) = delete;
  LoopTrail& operator=(const LoopTrail&) = delete;

 private:
  Reporter& reporter_;
};

}  // namespace netc
