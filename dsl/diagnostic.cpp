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

constexpr std::size_t excerpt_width = 160;  // bytes; longer lines are cut around the caret
constexpr std::size_t excerpt_before = 60;  // how many of them may stand before the caret

using Line = std::vector<std::string_view>;  // its code points

/// The code points of `text`, safe on a terminal: nothing that moves the cursor or reorders the line.
Line printable(std::string_view text) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  Line result;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    const bool hidden = is_control(point.value) || is_bidi_control(point.value);
    const std::size_t length = std::max<std::size_t>(point.length, 1);
    result.push_back(point.length == 0 || (hidden && text[0] != '\t') ? replacement : text.substr(0, length));
    text.remove_prefix(length);
  }
  return result;
}

/// The nearest offset from `offset` on where no code point of `text` is cut.
std::size_t whole_code_points(std::string_view text, std::size_t offset) {
  while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xc0) == 0x80) ++offset;
  return std::min(offset, text.size());
}

/// How many columns of a terminal `line` takes.
std::size_t width(const Line& line) {
  const auto wide = std::count_if(line.begin(), line.end(), [](auto point) { return is_wide(decode(point).value); });
  return line.size() + static_cast<std::size_t>(wide);
}

/// How many columns `span` marks in its line. One that ends on a later line is marked by its first word.
std::size_t marked_width(const Span& span, std::size_t shown) {
  const std::string_view text = span.text();
  const bool one_line = text.find('\n') == std::string_view::npos;
  const auto is_word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  const auto word_end = std::find_if_not(text.begin(), text.end(), is_word);
  return one_line ? width(printable(text.substr(0, shown))) : static_cast<std::size_t>(word_end - text.begin());
}

/// The line of `span`, and below it a caret with tildes and `label`.
std::string excerpt(const Span& span, std::string_view label) {
  const std::string_view line = line_text(span);
  const auto line_begin = static_cast<std::size_t>(line.data() - span.source->text.data());
  const std::size_t caret = std::min(span.begin > line_begin ? span.begin - line_begin : 0, line.size());
  const bool cut = line.size() > excerpt_width && caret > excerpt_before;
  const std::size_t begin = cut ? whole_code_points(line, caret - excerpt_before) : 0;
  const std::size_t end = whole_code_points(line, begin + excerpt_width);

  std::string marks = cut ? " " : "";
  for (const std::string_view point : printable(line.substr(begin, caret - begin))) {
    marks += point == "\t" ? "\t" : std::string(width({point}), ' ');
  }
  const std::size_t marked = marked_width(span, end - caret);
  marks += '^' + std::string(marked > 1 ? marked - 1 : 0, '~');
  if (!label.empty()) marks += fmt::format(" {}", label);

  const std::string number = std::to_string(position(span).line);
  const std::string text = fmt::format("{}", fmt::join(printable(line.substr(begin, end - begin)), ""));
  return fmt::format("{} | {}{}{}\n{} | {}\n", number, cut ? "…" : "", text, end < line.size() ? "…" : "",
                     std::string(number.size(), ' '), marks);
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
  const std::string code = diagnostic.code.empty() ? "" : fmt::format("[{}]", diagnostic.code);
  std::string result = fmt::format("{}{}: {}", severity_name(diagnostic), code, diagnostic.message);
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
  // Two edits would turn a short name into any other, one edit a name of one letter.
  std::size_t fewest = std::min<std::size_t>(name.size() > 3 ? 3 : 2, name.size());
  const std::string* nearest = nullptr;
  for (const std::string& candidate : candidates) {
    const std::size_t longer = std::max(wanted.size(), candidate.size()) - std::min(wanted.size(), candidate.size());
    if (longer >= fewest) continue;  // a name may be as long as a file
    const std::size_t distance = edits(wanted, lower_case(candidate));
    if (candidate == name || distance >= fewest) continue;
    fewest = distance;
    nearest = &candidate;
  }
  return nearest == nullptr ? "" : fmt::format("did you mean `{}`?", *nearest);
}

}  // namespace netc
