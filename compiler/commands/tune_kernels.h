// The search of `netc tune`: times what schedules let choose, kernel by kernel, on this machine.
#pragma once

#include <filesystem>
#include <string>

#include "compiler/kernels/lower.h"

namespace netc {

struct TuneOptions {
  std::filesystem::path file;  // where the tiles are written; kernels that it lists already are left as they are
  int batch = 0;               // examples
  int threads = 0;             // 0: one a core
  double seconds = 0;          // after which no other kernel is begun; 0: no limit
  bool check = false;          // search nothing, but time the table's choices beside the rule's
  std::string only{};          // kernels whose names contain this text
};

/// Tunes the kernels of a table for this processor, those with the most arithmetic first, and prints what was gained.
/// `tiles`, which receives them, holds what is in the file. Ctrl-C ends it and keeps what was found. Returns the exit
/// status.
int tune_kernels(const KernelTable& table, Tiles tiles, const TuneOptions& options);

}  // namespace netc
