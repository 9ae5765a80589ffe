// Whole files in and out of memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace netc {

/// The file's bytes. Throws Error (io) naming the file.
std::vector<std::byte> read_file(const std::filesystem::path& file);

/// Gives a mapping of so many bytes back.
struct UnmapFile {
  std::size_t bytes = 0;
  void operator()(void* mapped) const;
};

/// A file's bytes for reading. They stay where the system keeps files and are not copied, so that nothing else should
/// write into the file meanwhile (replacing it is no harm); what is no regular file (a pipe) is read into memory.
class MappedFile {
 public:
  /// Throws Error (io) naming the file.
  explicit MappedFile(const std::filesystem::path& file);
  explicit MappedFile(std::vector<std::byte> bytes) : copy_(std::move(bytes)), bytes_(copy_) {}

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, UnmapFile> mapped_;
  std::vector<std::byte> copy_;
  std::span<const std::byte> bytes_;
};

/// Whether a file is to be found as it was written when the power fails, for which the disk is waited for.
enum class Durable { no, yes };

/// Writes a file that appears under its name complete or not at all: the bytes go to a temporary file in its folder,
/// which is synchronised, renamed, and its folder synchronised. Permissions stay as they were, and so do symbolic
/// links: the file that they lead to is written, or made. What is no regular file (a pipe, a device) is written in
/// place. Every member throws Error (io) naming the file.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& file);
  /// Removes the temporary file unless `commit` succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit(Durable durable = Durable::yes);

 private:
  AtomicFile(std::filesystem::path shown, std::filesystem::path target);

  void check(int result, const char* action) const;
  void open_temporary();
  void name_temporary();
  void close();

  std::filesystem::path shown_;      // what the caller named
  std::filesystem::path target_;     // behind symbolic links
  std::filesystem::path temporary_;  // empty while it has no name
  bool nameless_ = false;            // it is written without one
  int descriptor_ = -1;
};

/// Replaces the file's content by `text`, atomically. Throws Error (io).
void write_file(const std::filesystem::path& file, std::string_view text, Durable durable = Durable::yes);

/// Throws Error (io) where `AtomicFile` could not write the file. What is no regular file is not looked at.
void check_writable(const std::filesystem::path& file);

/// Makes a folder, and those above it, where there is none. Throws Error (io).
void make_folder(const std::filesystem::path& folder);

/// Text from a file as a part of a message: without control characters, and not too long.
std::string printable(std::string_view text);

}  // namespace netc
