// Files and folders that do not outlive a block.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace netc {

/// Files that begin with `stem`, removed at the end.
class ScratchFiles {
 public:
  explicit ScratchFiles(std::filesystem::path stem) : stem_(std::move(stem)) {}
  ~ScratchFiles() {
    std::error_code ignored;
    for (const std::string& file : files_) std::filesystem::remove(file, ignored);
  }
  ScratchFiles(const ScratchFiles&) = delete;
  ScratchFiles& operator=(const ScratchFiles&) = delete;

  std::string file(const std::string& extension) { return files_.emplace_back(stem_.string() + extension); }

 private:
  std::filesystem::path stem_;
  std::vector<std::string> files_;
};

/// A new folder in `parent`, which is made where there is none, of a name that begins with `stem`; removed at the end
/// with all that is in it, unless it was given another name. Throws std::filesystem::filesystem_error.
class ScratchFolder {
 public:
  ScratchFolder(const std::filesystem::path& parent, const std::string& stem) {
    std::filesystem::create_directories(parent);
    std::string pattern = (parent / (stem + "-XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw std::filesystem::filesystem_error("cannot create a folder", parent,
                                              std::error_code(errno, std::generic_category()));
    }
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace netc
