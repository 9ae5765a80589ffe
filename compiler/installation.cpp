#include "compiler/installation.h"

namespace netc {

namespace fs = std::filesystem;

Installation installation() {
  fs::path prefix = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  const fs::path share = prefix / "share" / "netc";
  return {prefix / "include", prefix / "lib" / "libnetc_runtime.a", share / "std", share / "tiles"};
}

}  // namespace netc
