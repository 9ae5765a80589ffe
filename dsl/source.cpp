// Lines, columns and excerpts of a `.net` file.
#include "dsl/source.h"

#include <algorithm>

#include "dsl/utf8.h"

namespace netc {
namespace {

/// Where the line around `offset` begins; the byte order mark belongs to no line.
std::size_t line_begin(std::string_view text, std::size_t offset) {
  const std::size_t newline = offset == 0 ? std::string_view::npos : text.rfind('\n', offset - 1);
  if (newline != std::string_view::npos) return newline + 1;
  return text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
}

bool starts_code_point(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

std::size_t begin_offset(const Span& span) {
  return std::min<std::size_t>(span.begin, span.source->text.size());
}

}  // namespace

std::string_view Span::text() const {
  if (source == nullptr) return {};
  const std::size_t first = begin_offset(*this);
  return std::string_view(source->text).substr(first, end > first ? end - first : 0);
}

Position position(const Span& span) {
  if (!span) return {};
  const std::string_view text = span.source->text;
  const std::size_t offset = begin_offset(span);
  const std::size_t begin = std::min(line_begin(text, offset), offset);
  const auto lines = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
  const std::string_view before = text.substr(begin, offset - begin);
  const auto columns = std::count_if(before.begin(), before.end(), starts_code_point);
  return {static_cast<int>(lines) + 1, static_cast<int>(columns) + 1};
}

std::string location(const Span& span) {
  if (!span) return "";
  const Position at = position(span);
  return span.source->path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

std::string_view line_text(const Span& span) {
  if (!span) return {};
  const std::string_view text = span.source->text;
  const std::size_t begin = line_begin(text, begin_offset(span));
  std::string_view line = text.substr(begin, text.find('\n', begin) - begin);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace netc
