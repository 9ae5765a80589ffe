// Where what belongs to this netc lies.
#pragma once

#include <filesystem>

namespace netc {

/// What belongs to this netc. An installation and a build folder have the same layout around `bin/netc`.
struct Installation {
  std::filesystem::path include;  // the runtime's headers, as "netc/network.h"
  std::filesystem::path library;  // libnetc_runtime.a
  std::filesystem::path std;      // std/*.net
  std::filesystem::path tiles;    // avx512.tiles and their like
};

/// Found from the place of the running executable.
Installation installation();

}  // namespace netc
