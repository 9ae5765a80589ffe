// Decodes UTF-8, strictly.
#include "dsl/utf8.h"

#include <algorithm>
#include <iterator>

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

struct Range {
  char32_t first, last;
};

constexpr Range wide_ranges[] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
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

bool is_wide(char32_t value) {
  return std::any_of(std::begin(wide_ranges), std::end(wide_ranges),
                     [&](const Range& range) { return value >= range.first && value <= range.last; });
}

}  // namespace netc
