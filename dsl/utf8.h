// Code points of UTF-8 text: just what the scan and the diagnostics need.
#pragma once

#include <cstddef>
#include <string_view>

namespace netc {

/// May stand at the beginning of a file, where it means nothing.
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;  // in bytes; 0: the bytes are not UTF-8
};

/// The code point with which `text` begins. Overlong forms, surrogates and values past U+10FFFF are not UTF-8.
CodePoint decode(std::string_view text);

/// Control characters of ASCII and Latin-1, tab and line ends among them.
bool is_control(char32_t value);

/// Characters that reorder the text around them, so that a reader sees another program than the parser does.
bool is_bidi_control(char32_t value);

/// Characters that take two columns of a terminal: those of Chinese, Japanese and Korean, and emoji.
bool is_wide(char32_t value);

}  // namespace netc
