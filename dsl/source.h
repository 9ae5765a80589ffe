// A `.net` file in memory and places in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace netc {

/// One `.net` file: its path as the user wrote it, and its bytes. Spans point into `text`, so a Source stays where it
/// is.
struct Source {
  std::string path;
  std::string text;

  Source(std::string file_path, std::string contents) : path(std::move(file_path)), text(std::move(contents)) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
};

/// A line and a column, both from 1; columns count code points.
struct Position {
  int line = 1;
  int column = 1;
};

/// Bytes [begin, end) of a source; a default Span is nowhere (nodes that netc made itself).
struct Span {
  const Source* source = nullptr;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  explicit operator bool() const { return source != nullptr; }
  std::string_view text() const;
};

/// Where `span` begins.
Position position(const Span& span);

/// "lenet.net:4:3", or "" for a span that is nowhere.
std::string location(const Span& span);

/// The text of the line in which `span` begins, without its end of line.
std::string_view line_text(const Span& span);

}  // namespace netc
