// Reader of IDX files through zlib, which passes files that are not compressed as they are.
#include "netc/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include "netc/error.h"

namespace netc {

namespace {

constexpr std::int64_t max_bytes = std::int64_t{1} << 31;

class GzipFile {
 public:
  explicit GzipFile(const std::filesystem::path& file) : name_(file.string()), handle_(gzopen(file.c_str(), "rb")) {
    if (!handle_) fail(ErrorKind::io, fmt::format("cannot open: {}", std::strerror(errno)));
    gzbuffer(handle_.get(), 1 << 17);
  }

  [[noreturn]] void fail(ErrorKind kind, const std::string& why) const {
    throw Error(kind, fmt::format("{}: {}", name_, why));
  }

  /// Fills the span; the file must be long enough.
  void read(std::span<std::uint8_t> bytes, const char* what) {
    const std::size_t got = gzfread(bytes.data(), 1, bytes.size(), handle_.get());
    if (got == bytes.size()) return;
    check();
    fail(ErrorKind::format, fmt::format("expected {} bytes of {}, found {}", bytes.size(), what, got));
  }

  void expect_end() {
    if (gzgetc(handle_.get()) >= 0) fail(ErrorKind::format, "expected the end of the file, found more bytes");
    check();
  }

 private:
  void check() {
    int code = Z_OK;
    const char* message = gzerror(handle_.get(), &code);
    if (code == Z_ERRNO) fail(ErrorKind::io, fmt::format("cannot read: {}", std::strerror(errno)));
    if (code != Z_OK) fail(ErrorKind::format, fmt::format("broken gzip data: {}", message));
  }

  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  std::string name_;
  std::unique_ptr<gzFile_s, Close> handle_;
};

std::int64_t big_endian(std::span<const std::uint8_t, 4> bytes) {
  return std::int64_t{bytes[0]} << 24 | std::int64_t{bytes[1]} << 16 | std::int64_t{bytes[2]} << 8 | bytes[3];
}

void read_shape(GzipFile& file, int rank, IdxArray& array, std::int64_t& count) {
  std::array<std::uint8_t, 4> word{};
  for (int i = 0; i < rank; ++i) {
    file.read(word, "header");
    array.shape.push_back(big_endian(word));
    count *= array.shape.back();
    if (count > max_bytes) file.fail(ErrorKind::format, fmt::format("expected at most {} bytes of data", max_bytes));
  }
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& file, int rank) {
  GzipFile reader(file);
  std::array<std::uint8_t, 4> word{};
  reader.read(word, "header");
  const std::array<std::uint8_t, 4> expected{0, 0, 8, static_cast<std::uint8_t>(rank)};
  if (word != expected) {
    reader.fail(ErrorKind::format, fmt::format("expected IDX magic {:#010x} (bytes, {} dimensions), found {:#010x}",
                                               big_endian(expected), rank, big_endian(word)));
  }
  IdxArray array;
  std::int64_t count = 1;
  read_shape(reader, rank, array, count);
  array.bytes.resize(static_cast<std::size_t>(count));
  reader.read(array.bytes, "data");
  reader.expect_end();
  return array;
}

}  // namespace netc
