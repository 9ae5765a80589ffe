#include "fat_binary.h"

#include <cstdint>
#include <cstring>

#include "../fault.h"

namespace netc::emulator {

namespace {

// As they lie in the file; what is not needed is left out of the names.
struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t header_bytes;
  std::uint64_t bytes;  // of all images
};

struct Image {
  std::uint16_t kind;
  std::uint16_t version;
  std::uint32_t header_bytes;
  std::uint64_t bytes;
};

constexpr std::uint32_t fat_magic = 0xba55ed50;
constexpr std::uint16_t ptx_kind = 1;

template <class T>
T read(const char* place) {
  T value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

}  // namespace

std::optional<std::string> ptx_in_fat_binary(const char* image) {
  const auto header = read<Header>(image);
  if (header.magic != fat_magic) return std::nullopt;
  const char* place = image + header.header_bytes;
  for (const char* end = place + header.bytes; place < end;) {
    const auto next = read<Image>(place);
    const std::string text(place + next.header_bytes, next.bytes);
    if (next.kind == ptx_kind && text.find(".version") != std::string::npos) return text.substr(0, text.find('\0'));
    place += next.header_bytes + next.bytes;
  }
  throw Fault(Result::no_binary_for_gpu, "a fat binary without PTX, or with compressed PTX");
}

}  // namespace netc::emulator
