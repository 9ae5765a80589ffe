// What netc tells a user about a `.net` file: where, what, why, and what to do.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "dsl/source.h"

namespace netc {

enum class Severity { error, warning };

/// A line below the diagnostic: the block instantiation, the opening bracket, the other branch.
struct Note {
  std::string message;
  Span span;  // may be nowhere
};

struct Diagnostic {
  std::string code;     // "N201"; stable, see `netc explain`; "" for a file of the command line that cannot be read
  Span span;            // the caret and its tildes
  std::string message;  // "add: the branches differ in shape"
  std::string label;    // stands behind the caret: the shapes at hand; may be empty
  std::vector<Note> notes;
  std::string help;  // what to do; may be empty

  Severity severity() const { return code.starts_with('W') ? Severity::warning : Severity::error; }
};

/// Everything said about one run, one report a place and code, at most 20 errors.
class Diagnostics {
 public:
  void add(Diagnostic diagnostic);
  bool has_errors() const { return errors_ > 0; }
  bool full() const { return errors_ >= 20; }
  const std::vector<Diagnostic>& all() const { return all_; }

  /// Clang's form, in the order of the places.
  std::string text() const;
  /// A JSON array of {code, severity, file, line, column, message, label, notes, help}.
  std::string json() const;

 private:
  using Key = std::tuple<const Source*, std::uint32_t, std::string>;  // place and code

  std::vector<Diagnostic> all_;
  std::set<Key> seen_;
  int errors_ = 0;
};

/// What `netc explain CODE` prints, or "" for a code that netc does not know.
std::string_view explanation(std::string_view code);

/// "did you mean `relu`?" for the candidate nearest to `name` (at most two edits away), or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace netc
