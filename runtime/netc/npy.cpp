// Reader and writer of .npy files.
#include "netc/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <span>
#include <string_view>

#include "netc/error.h"
#include "netc/file.h"
#include "netc/round_up.h"

namespace netc {

namespace {

constexpr std::string_view magic = "\x93NUMPY";

struct TypeInfo {
  NpyType type;
  std::string_view name;
  std::string_view descr;
  std::size_t size;
};

constexpr std::array<TypeInfo, 4> types{{{NpyType::f32, "float32", "<f4", 4},
                                         {NpyType::i32, "int32", "<i4", 4},
                                         {NpyType::i64, "int64", "<i8", 8},
                                         {NpyType::u8, "uint8", "|u1", 1}}};

const TypeInfo& info(NpyType type) {
  return types[static_cast<std::size_t>(type)];
}

[[noreturn]] void fail(const std::string& file, const std::string& why) {
  throw Error(ErrorKind::format, fmt::format("{}: not a .npy file that can be read: {}", file, why));
}

/// The header is a Python dictionary with three known keys; this reads just that.
class HeaderParser {
 public:
  HeaderParser(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  void parse(NpyArray& array) {
    expect("{");
    while (!accept("}")) {
      const std::string_view key = quoted();
      expect(":");
      if (key == "descr") {
        array.type = type();
      } else if (key == "fortran_order") {
        if (!accept("False")) fail(file_, "expected a row-major array (fortran_order False)");
      } else if (key == "shape") {
        array.shape = shape();
      } else {
        fail(file_, fmt::format("unknown header key '{}'", printable(key)));
      }
      ++keys_;
      accept(",");
    }
    skip_blanks();
    if (!text_.empty() || keys_ != 3) fail(file_, "the header is not the dictionary that NumPy writes");
  }

 private:
  void skip_blanks() { text_.remove_prefix(std::min(text_.find_first_not_of(" \n"), text_.size())); }

  bool accept(std::string_view token) {
    skip_blanks();
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) fail(file_, fmt::format("expected '{}' in the header", token));
  }

  std::string_view quoted() {
    expect("'");
    const std::size_t end = text_.find('\'');
    if (end == std::string_view::npos) fail(file_, "unclosed quote in the header");
    const std::string_view value = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return value;
  }

  NpyType type() {
    const std::string_view descr = quoted();
    for (const TypeInfo& candidate : types) {
      if (candidate.descr == descr) return candidate.type;
    }
    fail(file_, fmt::format("expected float32, int32, int64 or uint8, found '{}'", printable(descr)));
  }

  Extents shape() {
    Extents extents;
    expect("(");
    while (!accept(")")) {
      if (extents.size() == max_rank) fail(file_, fmt::format("more than {} dimensions", max_rank));
      extents.push_back(integer());
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    return extents;
  }

  std::int64_t integer() {
    skip_blanks();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc{} || value < 0) fail(file_, "the shape is not a tuple of sizes");
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return value;
  }

  const std::string& file_;
  std::string_view text_;
  int keys_ = 0;
};

/// The header's text; what follows it is the data.
std::string_view header_text(const std::string& file, std::string_view bytes) {
  constexpr std::size_t version_end = 8;
  if (!bytes.starts_with(magic) || bytes.size() < version_end) fail(file, "it does not begin with \\x93NUMPY");
  const auto major = static_cast<unsigned char>(bytes[magic.size()]);
  if (major < 1 || major > 3) fail(file, fmt::format("format version {}", major));
  const std::size_t width = major == 1 ? 2 : 4;
  std::uint32_t length = 0;
  if (bytes.size() < version_end + width) fail(file, "it ends inside the header");
  std::memcpy(&length, bytes.data() + version_end, width);
  if (length > bytes.size() - version_end - width) fail(file, "it ends inside the header");
  return bytes.substr(version_end + width, length);
}

std::size_t byte_count(const std::string& file, const NpyArray& array) {
  std::size_t bytes = info(array.type).size;
  for (std::int64_t extent : array.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(extent), &bytes)) fail(file, "the shape overflows");
  }
  return bytes;
}

}  // namespace

std::string to_string(NpyType type) {
  return std::string(info(type).name);
}

NpyArray read_npy(const std::filesystem::path& file) {
  NpyArray array;
  array.bytes = read_file(file);
  const std::string_view bytes(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  const std::string_view header = header_text(file.string(), bytes);
  HeaderParser(file.string(), header).parse(array);
  const auto start = static_cast<std::size_t>(header.data() - bytes.data()) + header.size();
  const std::size_t expected = byte_count(file.string(), array);
  if (bytes.size() - start != expected) {
    fail(file.string(), fmt::format("{} {} takes {} bytes, found {}", to_string(array.type), to_string(array.shape),
                                    expected, bytes.size() - start));
  }
  array.bytes.erase(array.bytes.begin(), array.bytes.begin() + static_cast<std::ptrdiff_t>(start));
  return array;
}

void write_npy(const std::filesystem::path& file, View<const float> values) {
  std::string shape;
  for (std::int64_t extent : values.shape()) shape += fmt::format("{}, ", extent);
  if (values.rank() > 0) shape.resize(shape.size() - (values.rank() > 1 ? 2 : 1));  // "(3,)", "(3, 4)"
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape);
  constexpr std::size_t prefix = 10;
  header.resize(round_up(prefix + header.size() + 1, std::size_t{64}) - prefix - 1,
                ' ');  // NumPy aligns the data to 64 bytes
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  const std::vector<float> elements = values.to_vector();
  AtomicFile out(file);
  out.write(magic);
  out.write("\x01\x00", 2);
  out.write(&length, sizeof length);
  out.write(header);
  out.write(elements.data(), elements.size() * sizeof(float));
  out.commit();
}

}  // namespace netc
