#include "compiler/kernels/kernel_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>

#include "compiler/scratch_files.h"
#include "compiler/text_file.h"

namespace netc {

namespace fs = std::filesystem;

std::string content_hash(std::string_view text) {
  __extension__ using Wide = unsigned __int128;
  constexpr Wide prime = (Wide{1} << 88) + 0x13b;
  Wide hash = (Wide{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * prime;
  return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash >> 64), static_cast<std::uint64_t>(hash));
}

fs::path KernelCache::default_folder() {
  if (const char* folder = std::getenv("NETC_CACHE")) return folder;
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder != nullptr && *folder != '\0')
    return fs::path(folder) / "netc";
  if (const char* home = std::getenv("HOME")) return fs::path(home) / ".cache" / "netc";
  return fs::temp_directory_path() / fmt::format("netc-{}", getuid());
}

namespace {

/// The compiler that wrote an entry is part of its address: another build of netc compiles other code.
std::string this_compiler() {
  struct stat self {};
  if (stat("/proc/self/exe", &self) != 0) return "unknown";
  return fmt::format("{} {}.{}", self.st_size, self.st_mtim.tv_sec, self.st_mtim.tv_nsec);
}

}  // namespace

fs::path KernelCache::object(const std::string& description,
                             const std::function<void(const fs::path&)>& produce) const {
  static std::atomic<int> serial = 0;
  static const std::string compiler = this_compiler();
  const std::string key = content_hash(compiler + "\n" + description);
  const fs::path entry = fs::absolute(folder_ / key);
  fs::path object = entry.string() + ".o";
  const fs::path text = entry.string() + ".txt";
  if (fs::exists(object) && read_text(text) == description) return object;
  fs::create_directories(folder_);
  ScratchFiles files(fmt::format("{}.{}.{}", entry.string(), getpid(), serial++));
  const std::string produced = files.file(".o");
  const std::string described = files.file(".txt");
  produce(produced);
  std::ofstream(described, std::ios::binary) << description;
  fs::rename(described, text);
  fs::rename(produced, object);
  return object;
}

}  // namespace netc
