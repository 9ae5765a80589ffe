#include "compiler/elaborate/report.h"

#include <fmt/format.h>

namespace netc {
namespace {

constexpr std::size_t longest_trail = 8;  // as many notes as a person reads

}  // namespace

void Reporter::error(const std::string& code, const Span& span, const std::string& message, const std::string& help) {
  report({.code = code, .span = span, .message = message, .label = "", .notes = {}, .help = help});
}

void Reporter::warning(const std::string& code, const Span& span, const std::string& message, const std::string& help) {
  report({.code = code, .span = span, .message = message, .label = "", .notes = {}, .help = help});
}

void Reporter::report(Diagnostic diagnostic) {
  if (diagnostic.severity() == Severity::error) ++errors_;
  for (const auto& [source, option] : options_) {
    if (diagnostic.span.source != source) continue;
    diagnostic.span = {};
    diagnostic.message = fmt::format("{}: {}", option, diagnostic.message);
  }
  for (Note& note : trail()) diagnostic.notes.push_back(std::move(note));
  diagnostics_.add(std::move(diagnostic));
}

std::vector<Note> Reporter::trail() const {
  std::vector<Note> notes;
  if (!levels_.back().loops.empty()) notes.push_back({"here " + loops(), {}});
  for (auto level = levels_.rbegin(); level + 1 != levels_.rend() && notes.size() < longest_trail; ++level) {
    notes.push_back({level->note, {}});
  }
  if (levels_.size() - 1 > longest_trail) notes.push_back({fmt::format("{} levels in all", levels_.size() - 1), {}});
  return notes;
}

std::string Reporter::loops() const {
  return fmt::format("{}", fmt::join(levels_.back().loops, ", "));
}

ImportTrail::ImportTrail(Reporter& reporter, const Source& file, const Span& statement) : reporter_(reporter) {
  reporter.levels_.push_back({fmt::format("in {}, imported at {}", file.path, location(statement)), {}});
}

BlockTrail::BlockTrail(Reporter& reporter, const std::string& call, const Span& span) : reporter_(reporter) {
  std::string note = fmt::format("in {}, called at {}", call, location(span));
  if (!reporter.levels_.back().loops.empty()) note += ", " + reporter.loops();
  reporter.levels_.push_back({std::move(note), {}});
}

LoopTrail::LoopTrail(Reporter& reporter, std::string variables) : reporter_(reporter) {
  reporter.levels_.back().loops.push_back(std::move(variables));
}

}  // namespace netc
