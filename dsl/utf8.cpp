// Decodes UTF-8, strictly.
#include "dsl/utf8.h"

#include <algorithm>

namespace netc {
namespace {

struct Lead {
  unsigned char mask, pattern;  // a byte with this pattern under this mask leads …
  std::size_t length;           // … a sequence of so many bytes …
  char32_t smallest;            // … which stands for no smaller value
};

constexpr Lead leads[] = {
    {0x80, 0x00, 1, 0},
    {0xe0, 0xc0, 2, 0x80},
    {0xf0, 0xe0, 3, 0x800},
    {0xf8, 0xf0, 4, 0x10000},
};

bool is_scalar(char32_t value) {
  return value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

}  // namespace

CodePoint decode(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead =
      std::find_if(std::begin(leads), std::end(leads), [&](const Lead& l) { return (byte(0) & l.mask) == l.pattern; });
  if (lead == std::end(leads) || text.size() < lead->length) return {};
  char32_t value = byte(0) & static_cast<unsigned char>(~lead->mask);
  for (std::size_t i = 1; i < lead->length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3f);
  }
  if (value < lead->smallest || !is_scalar(value)) return {};
  return {value, lead->length};
}

bool is_control(char32_t value) {
  return value < 0x20 || (value >= 0x7f && value < 0xa0);
}

bool is_bidi_control(char32_t value) {
  return value == 0x61c || value == 0x200e || value == 0x200f || (value >= 0x202a && value <= 0x202e) ||
         (value >= 0x2066 && value <= 0x2069);
}

}  // namespace netc
