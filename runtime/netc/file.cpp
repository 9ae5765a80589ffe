// File input and output on POSIX calls: streams hide the errors that matter here.
#include "netc/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>
#include <utility>

#include "netc/error.h"

namespace netc {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, const char* action, int error) {
  throw Error(ErrorKind::io, fmt::format("{}: cannot {}: {}", file.string(), action, std::strerror(error)));
}

/// Closes when it goes out of scope; for reading, where closing cannot lose anything.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// Where the file is, or will be: weakly_canonical alone stops at a link to what is not there yet.
fs::path behind_links(const fs::path& file) {
  constexpr int most = 40;  // as many as the system follows
  std::error_code ignored;
  fs::path target = file;
  for (int links = 0; !fs::exists(target, ignored) && fs::is_symlink(target, ignored); ++links) {
    if (links == most) fail(file, "follow its links", ELOOP);
    target = target.parent_path() / fs::read_symlink(target, ignored);
  }
  const fs::path canonical = fs::weakly_canonical(target, ignored);
  return ignored ? target : canonical;
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

void sync_folder(const fs::path& folder) {
  const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) fail(folder, "open the folder", errno);
  // Some file systems cannot synchronise folders and say EINVAL: there the rename is all that can be had.
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) fail(folder, "synchronise the folder", errno);
}

}  // namespace

std::vector<std::byte> read_file(const fs::path& file) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) fail(file, "open", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail(file, "read", errno);
  // One byte more than expected, to see the end; a pipe has no size and grows.
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);
  std::size_t length = 0;
  while (true) {
    const ssize_t got = ::read(descriptor.get(), bytes.data() + length, bytes.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(file, "read", errno);
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
    if (length == bytes.size()) bytes.resize(bytes.size() * 2);
  }
  bytes.resize(length);
  return bytes;
}

MappedFile::MappedFile(const fs::path& file) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) fail(file, "open", errno);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) fail(file, "read", errno);
  const auto length = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  void* mapped = MAP_FAILED;
  if (S_ISREG(status.st_mode) && length > 0) {
    mapped = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  }
  if (mapped == MAP_FAILED) {
    copy_ = read_file(file);
    bytes_ = copy_;
    return;
  }
  mapped_ = {mapped, {length}};
  bytes_ = {static_cast<const std::byte*>(mapped), length};
}

void UnmapFile::operator()(void* mapped) const {
  ::munmap(mapped, bytes);
}

namespace {

/// A name in the folder that nobody else has.
fs::path temporary_name(const fs::path& folder) {
  std::random_device bits;
  return folder / fmt::format(".netc-{:08x}{:08x}.tmp", bits(), bits());
}

}  // namespace

AtomicFile::AtomicFile(fs::path shown, fs::path target) : shown_(std::move(shown)), target_(std::move(target)) {}

/// Behind the other constructor this is an object: where the rest fails, the destructor closes and removes the file.
AtomicFile::AtomicFile(const fs::path& file) : AtomicFile(file, behind_links(file)) {
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(shown_, "write", EISDIR);
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    check(descriptor_, "open for writing");
    return;
  }
  open_temporary();
  check(descriptor_, "open for writing");
  if (exists) check(::fchmod(descriptor_, status.st_mode & 07777U), "keep the permissions of");
}

/// Without a name as long as it is written, so that nothing is left of a process that is killed; with one where the
/// file system, or a system without /proc, has no such files.
void AtomicFile::open_temporary() {
  const fs::path folder = folder_of(target_);
  nameless_ = ::access("/proc/self/fd", X_OK) == 0;
  if (nameless_) descriptor_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor_ >= 0) return;
  nameless_ = false;
  const fs::path name = temporary_name(folder);
  descriptor_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ >= 0) temporary_ = name;
}

/// Gives what was written a name beside the target's.
void AtomicFile::name_temporary() {
  if (!nameless_) return;
  const fs::path name = temporary_name(folder_of(target_));
  const std::string written = fmt::format("/proc/self/fd/{}", descriptor_);
  check(::linkat(AT_FDCWD, written.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW), "name a temporary file for");
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::check(int result, const char* action) const {
  if (result < 0) fail(shown_, action, errno);
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, from, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(shown_, "write", written < 0 ? errno : ENOSPC);
    from += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);  // closed even where close reports an error
  check(::close(descriptor), "close");
}

void AtomicFile::commit(Durable durable) {
  if (temporary_.empty() && !nameless_) return close();  // no regular file
  if (durable == Durable::yes) check(::fsync(descriptor_), "synchronise");
  name_temporary();
  close();
  check(::rename(temporary_.c_str(), target_.c_str()), "rename a temporary file to it");
  temporary_.clear();
  if (durable == Durable::yes) sync_folder(folder_of(target_));
}

void write_file(const fs::path& file, std::string_view text, Durable durable) {
  AtomicFile out(file);
  out.write(text);
  out.commit(durable);
}

void check_writable(const fs::path& file) {
  std::error_code ignored;
  if (fs::is_regular_file(file, ignored) || !fs::exists(file, ignored)) AtomicFile{file};
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(folder, "make the folder", error.value());
  const bool made = fs::is_directory(folder, error);
  if (!made) fail(folder, "make the folder", error ? error.value() : ENOTDIR);
}

namespace {

/// Whether these bytes of UTF-8 are a control character; some terminals obey those of two bytes, too.
bool is_control(unsigned char before, unsigned char byte) {
  return byte < 0x20 || byte == 0x7f || (before == 0xc2 && byte >= 0x80 && byte < 0xa0);
}

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::size_t length = std::min(text.size(), longest);
  while (length > 0 && length < text.size() && continues_character(text[length])) --length;
  std::string shown(text.substr(0, length));
  for (std::size_t i = 0; i < length; ++i) {
    const char before = i > 0 ? text[i - 1] : '\0';
    if (!is_control(static_cast<unsigned char>(before), static_cast<unsigned char>(text[i]))) continue;
    shown[i] = '?';
    if (continues_character(text[i])) shown[i - 1] = '?';
  }
  return length < text.size() ? shown + "…" : shown;
}

}  // namespace netc
