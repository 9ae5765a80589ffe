// Collects diagnostics and renders them: in clang's form for people, as JSON for programs.
#include "dsl/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "dsl/utf8.h"

namespace netc {
namespace {

// ---- Excerpts -------------------------------------------------------------------------------------------------------

constexpr std::size_t excerpt_width = 160;  // code points; longer lines are cut around the caret
constexpr std::size_t excerpt_before = 60;  // how many of them may stand before the caret

/// The code points of `line` as text that is safe on a terminal: nothing that moves the cursor or reorders the line.
std::vector<std::string_view> printable(std::string_view line) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  std::vector<std::string_view> result;
  while (!line.empty()) {
    const CodePoint point = decode(line);
    const bool hidden = is_control(point.value) || is_bidi_control(point.value);
    const std::size_t length = std::max<std::size_t>(point.length, 1);
    result.push_back(point.length == 0 || (hidden && line[0] != '\t') ? replacement : line.substr(0, length));
    line.remove_prefix(length);
  }
  return result;
}

/// How much of its line `span` marks. One that ends on a later line is marked by its first word.
std::size_t marked_length(const Span& span) {
  const std::string_view text = span.text();
  if (text.find('\n') == std::string_view::npos) return printable(text).size();
  const auto is_word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_word) - text.begin());
}

/// The line of `span`, and below it a caret with tildes and `label`.
std::string excerpt(const Span& span, std::string_view label) {
  const Position at = position(span);
  const std::vector<std::string_view> points = printable(line_text(span));
  const auto caret = static_cast<std::size_t>(at.column) - 1;
  const std::size_t begin = points.size() > excerpt_width && caret > excerpt_before ? caret - excerpt_before : 0;
  const std::size_t end = std::min(points.size(), begin + excerpt_width);

  std::string text = begin > 0 ? "…" : "";
  std::string marks = begin > 0 ? " " : "";
  for (std::size_t i = begin; i < end; ++i) text += points[i];
  if (end < points.size()) text += "…";
  for (std::size_t i = begin; i < caret; ++i) marks += i < end && points[i] == "\t" ? '\t' : ' ';
  const std::size_t tildes = std::min(marked_length(span), end > caret ? end - caret : 0);
  marks += '^' + std::string(tildes > 1 ? tildes - 1 : 0, '~');
  if (!label.empty()) marks += fmt::format(" {}", label);

  const std::string number = std::to_string(at.line);
  return fmt::format("{} | {}\n{} | {}\n", number, text, std::string(number.size(), ' '), marks);
}

// ---- Text -----------------------------------------------------------------------------------------------------------

std::string_view severity_name(const Diagnostic& diagnostic) {
  return diagnostic.severity() == Severity::error ? "error" : "warning";
}

std::string render(const Note& note) {
  if (!note.span) return fmt::format("note: {}\n", note.message);
  return fmt::format("{}: note: {}\n{}", location(note.span), note.message, excerpt(note.span, ""));
}

std::string render(const Diagnostic& diagnostic) {
  std::string result = fmt::format("{}[{}]: {}", severity_name(diagnostic), diagnostic.code, diagnostic.message);
  if (diagnostic.span) {
    result = fmt::format("{}: {}\n{}", location(diagnostic.span), result, excerpt(diagnostic.span, diagnostic.label));
  } else {
    result += diagnostic.label.empty() ? "\n" : fmt::format(": {}\n", diagnostic.label);
  }
  for (const Note& note : diagnostic.notes) result += render(note);
  if (!diagnostic.help.empty()) result += fmt::format("help: {}\n", diagnostic.help);
  return result;
}

/// By place; files in the order in which they were first reported, what has no place last.
std::vector<const Diagnostic*> in_order(const std::vector<Diagnostic>& all) {
  std::map<const Source*, std::size_t> files;
  std::vector<const Diagnostic*> result;
  for (const Diagnostic& diagnostic : all) {
    files.emplace(diagnostic.span.source, diagnostic.span ? files.size() : all.size());
    result.push_back(&diagnostic);
  }
  std::stable_sort(result.begin(), result.end(), [&](const Diagnostic* a, const Diagnostic* b) {
    return std::pair(files[a->span.source], a->span.begin) < std::pair(files[b->span.source], b->span.begin);
  });
  return result;
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

void put_place(nlohmann::ordered_json& object, const Span& span) {
  if (!span) return;
  const Position at = position(span);
  object["file"] = span.source->path;
  object["line"] = at.line;
  object["column"] = at.column;
}

nlohmann::ordered_json to_json(const Diagnostic& diagnostic) {
  nlohmann::ordered_json object = {{"code", diagnostic.code}, {"severity", severity_name(diagnostic)}};
  put_place(object, diagnostic.span);
  object["message"] = diagnostic.message;
  object["label"] = diagnostic.label;
  object["notes"] = nlohmann::ordered_json::array();
  for (const Note& note : diagnostic.notes) {
    nlohmann::ordered_json& item = object["notes"].emplace_back();
    item["message"] = note.message;
    put_place(item, note.span);
  }
  object["help"] = diagnostic.help;
  return object;
}

// ---- Near misses ----------------------------------------------------------------------------------------------------

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// Levenshtein's distance, one row of its table at a time.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (const char c : a) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (c != b[j])});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

void Diagnostics::add(Diagnostic diagnostic) {
  const bool is_error = diagnostic.severity() == Severity::error;
  if (is_error && full()) return;
  const Span& span = diagnostic.span;
  // Without a place the message tells reports apart.
  const Key key{span.source, span.begin, span ? diagnostic.code : diagnostic.code + diagnostic.message};
  if (!seen_.insert(key).second) return;
  errors_ += is_error;
  all_.push_back(std::move(diagnostic));
}

std::string Diagnostics::text() const {
  std::string result;
  for (const Diagnostic* diagnostic : in_order(all_)) result += render(*diagnostic);
  return result;
}

std::string Diagnostics::json() const {
  nlohmann::ordered_json result = nlohmann::ordered_json::array();
  for (const Diagnostic* diagnostic : in_order(all_)) result.push_back(to_json(*diagnostic));
  // A path may hold any bytes.
  return result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string wanted = lower_case(name);
  std::size_t fewest = name.size() > 3 ? 3 : 2;  // two edits would turn a short name into any other
  const std::string* nearest = nullptr;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edits(wanted, lower_case(candidate));
    if (candidate == name || distance >= fewest) continue;
    fewest = distance;
    nearest = &candidate;
  }
  return nearest == nullptr ? "" : fmt::format("did you mean `{}`?", *nearest);
}

}  // namespace netc
