// Files for other programs, which do not outlive a block.
#pragma once

#include <filesystem>
#include <string>
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

}  // namespace netc
