// Reads and writes tiles files.
#include "compiler/kernels/tiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "compiler/graph/operator.h"
#include "compiler/graph/precision.h"

namespace netc {

namespace {

constexpr std::array<std::string_view, isa_count> isa_names{"sse41", "avx2", "avx512", "avx512_bf16"};
constexpr std::string_view magic = "netc tiles";
constexpr std::string_view version = "1";
constexpr const char* blanks = " \t\r";

/// `text`, a part of the source, without blanks at both ends.
std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return text.substr(text.size());
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// Takes off what stands before the first `mark`, or everything.
std::string_view take(std::string_view& text, std::string_view marks) {
  const std::size_t end = std::min(text.find_first_of(marks), text.size());
  const std::string_view head = trimmed(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return head;
}

std::vector<std::string> operator_names() {
  std::vector<std::string> names;
  for (const Operator* op : operators()) names.emplace_back(op->name);
  return names;
}

class TilesReader {
 public:
  TilesReader(const Source& file, Diagnostics& diagnostics) : file_(file), diagnostics_(diagnostics) {}

  /// The instruction set that the first line names.
  std::optional<Isa> header(std::string_view line) {
    std::string_view rest = line;
    if (rest.starts_with(magic)) rest.remove_prefix(magic.size());
    if (rest.size() == line.size()) {
      report("N320", line, "this is no tiles file", "its first line is `netc tiles 1 avx512`; `netc tune` writes one");
      return std::nullopt;
    }
    rest = trimmed(rest);
    if (const std::string_view found = take(rest, blanks); found != version) {
      report("N321", line, fmt::format("a tiles file of version {}; this netc reads version {}", found, version),
             "write it anew: netc tune MODEL -o FILE");
      return std::nullopt;
    }
    rest = trimmed(rest);
    const auto isa = std::find(isa_names.begin(), isa_names.end(), rest);
    if (isa == isa_names.end()) {
      report("N320", line, fmt::format("'{}' is no instruction set that netc has", rest),
             "one of sse41, avx2, avx512, avx512_bf16 ends the first line");
      return std::nullopt;
    }
    return static_cast<Isa>(isa - isa_names.begin());
  }

  /// A line behind the first one: a kernel's name and choices; nothing for one that says nothing or is wrong.
  std::optional<std::pair<std::string, TunedKernel>> kernel(std::string_view line) {
    std::string_view rest = line;
    std::string_view said = take(rest, "#");
    TunedKernel tuned{{}, std::string(trimmed(rest))};
    if (said.empty()) return std::nullopt;
    const bool chooses = said.find(':') != std::string_view::npos;
    const std::string_view name = take(said, ":");
    if (!chooses || trimmed(said).empty()) {
      report("N320", name, "no choices for this kernel", "write them behind a colon: `… : columns=6 vectors=2`");
      return std::nullopt;
    }
    const std::string op(name.substr(0, name.find_first_of(blanks)));
    const std::vector<std::string> known = operator_names();
    if (std::find(known.begin(), known.end(), op) == known.end()) {
      report("N320", name.substr(0, op.size()), fmt::format("netc has no operator '{}'", op), did_you_mean(op, known));
      return std::nullopt;
    }
    if (!choices(said, tuned.choices)) return std::nullopt;
    if (!seen_.emplace(name).second) {
      report("N320", name, "a second line for this kernel", "remove one of them");
      return std::nullopt;
    }
    return std::pair(std::string(name), tuned);
  }

 private:
  bool choices(std::string_view text, Choices& all) {
    for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
      const std::string_view word = take(text, blanks);
      std::string_view value = word;
      const std::string name(take(value, "="));
      int number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (name.empty() || value.empty() || error != std::errc() || end != value.data() + value.size()) {
        report("N320", word, fmt::format("expected a choice such as columns=6, found '{}'", word), "");
        return false;
      }
      if (!all.emplace(name, Choice{number, span(word)}).second) {
        report("N320", word, fmt::format("'{}' is chosen twice", name), "remove one of them");
        return false;
      }
    }
    return true;
  }

  Span span(std::string_view part) const {
    const auto begin = static_cast<std::uint32_t>(part.data() - file_.text.data());
    return {&file_, begin, begin + static_cast<std::uint32_t>(part.size())};
  }

  void report(const char* code, std::string_view part, std::string message, std::string help) {
    diagnostics_.add({code, span(part), std::move(message), "", {}, std::move(help)});
  }

  const Source& file_;
  Diagnostics& diagnostics_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace

std::string_view isa_name(Isa isa) {
  return isa_names[static_cast<std::size_t>(isa)];
}

std::string to_string(const Choices& choices) {
  std::string text;
  for (const auto& [name, choice] : choices)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, choice.value);
  return text;
}

std::optional<Isa> Tiles::add(const Source& file, Diagnostics& diagnostics) {
  TilesReader reader(file, diagnostics);
  std::string_view rest = file.text;
  const std::optional<Isa> isa = reader.header(take(rest, "\n"));
  while (isa && !rest.empty()) {
    if (auto kernel = reader.kernel(take(rest, "\n"))) set(*isa, kernel->first, std::move(kernel->second));
  }
  return isa;
}

void Tiles::set(Isa isa, const std::string& kernel, TunedKernel tuned) {
  kernels_[static_cast<std::size_t>(isa)][kernel] = std::move(tuned);
}

const Choices& Tiles::choices(Isa isa, const std::string& kernel) const {
  static const Choices none;
  const auto& kernels = kernels_[static_cast<std::size_t>(isa)];
  const auto found = kernels.find(kernel);
  return found == kernels.end() ? none : found->second.choices;
}

bool Tiles::contains(Isa isa, const std::string& kernel) const {
  return kernels_[static_cast<std::size_t>(isa)].contains(kernel);
}

std::vector<std::pair<std::string, Span>> Tiles::lines(const Source& file) const {
  std::vector<std::pair<std::string, Span>> lines;
  for (const auto& kernels : kernels_) {
    for (const auto& [name, tuned] : kernels) {
      if (tuned.choices.empty()) continue;
      const Span written = tuned.choices.begin()->second.span;
      if (written.source == &file) lines.emplace_back(name, written);
    }
  }
  return lines;
}

std::string Tiles::text(Isa isa) const {
  std::string text = fmt::format("{} {} {}\n", magic, version, isa_name(isa));
  for (const auto& [name, tuned] : kernels_[static_cast<std::size_t>(isa)]) {
    text += fmt::format("{} : {}{}{}\n", name, to_string(tuned.choices), tuned.note.empty() ? "" : "  # ", tuned.note);
  }
  return text;
}

namespace {

/// Numbers and what else is whole; how much is added to a variance, and how long parts of sums are, changes no
/// schedule.
std::string whole_attributes(const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes.all()) {
    if (std::holds_alternative<double>(value) || std::holds_alternative<Comprehension>(value)) continue;
    if (name == fast_transforms) continue;
    const IntPair* pair = std::get_if<IntPair>(&value);
    const bool square = pair != nullptr && pair->first == pair->second;
    text += fmt::format(" {}={}", name, to_string(square ? Attribute(pair->first) : value));
  }
  return text;
}

}  // namespace

/// Beside the node itself, images in the lanes of vectors and rows of pixels in memory make other schedules; whether a
/// bias has a gradient beside the weights' does not.
std::string tuned_name(const Graph& graph, const Group& group, const std::vector<Layout>& layouts) {
  const Node& node = group.anchor_in(graph);
  const auto shapes = [&](const std::vector<ValueId>& values) {
    std::string text;
    for (ValueId value : values) text += " " + (value == no_value ? "-" : to_string(graph[value].shape));
    return text;
  };
  std::string text(node.op->name);
  const bool weights = !graph[node.outputs[0]].shape.has_batch();
  const std::vector<ValueId> outputs = weights ? std::vector{node.outputs[0]} : node.outputs;
  text += shapes(node.inputs) + " ->" + shapes(outputs) + whole_attributes(node.attributes);
  int lanes = 1;
  for (const std::vector<ValueId>& values : {group.inputs, group.outputs}) {
    for (ValueId value : values) lanes = std::max(lanes, layouts[static_cast<std::size_t>(value)].lanes);
  }
  if (lanes > 1) text += fmt::format(" lanes={}", lanes);
  if (group.few) text += " few";
  const Layout& written = layouts[static_cast<std::size_t>(group.outputs[0])];
  const bool image = graph[group.outputs[0]].shape.has_batch() && written.strides.size() == 3;
  if (image && lanes == 1 && written.strides[0] != 1) text += " row-major";
  return text;
}

}  // namespace netc
