// Compiled kernels on disk, addressed by what they were compiled from. Several netc processes may share a cache.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace netc {

/// 128 bits of FNV-1a in hexadecimal.
std::string content_hash(std::string_view text);

class KernelCache {
 public:
  /// In `folder`, which is made when needed. All entries lie side by side: Halide archives objects of one folder only.
  explicit KernelCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// $NETC_CACHE, or netc/ in $XDG_CACHE_HOME or ~/.cache.
  static std::filesystem::path default_folder();

  /// The object file for `description`. `produce(path)` makes it where it is not there yet; it appears under its name
  /// only when it is complete, so that a crash or another process leaves nothing half-written.
  std::filesystem::path object(const std::string& description,
                               const std::function<void(const std::filesystem::path&)>& produce) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace netc
