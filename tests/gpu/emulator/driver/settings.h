// What the environment asks of the emulator: see README.md.
#pragma once

#include <cstdint>
#include <string>

namespace netc::emulator {

struct Settings {
  std::int64_t devices = 1;
  std::int64_t driver = 13000;                  ///< 1000 x major + 10 x minor
  std::int64_t capability = 80;                 ///< 10 x major + minor
  std::int64_t memory = std::int64_t{1} << 34;  ///< bytes
  std::int64_t lost_after = -1;                 ///< launches; never for -1
  bool execute = true;
  bool lazy = false;    ///< streams
  bool managed = true;  ///< host and kernels may use managed memory at the same time
  std::string log;
  std::string totals;  ///< a file that every process adds a line to

  static Settings from_environment();
};

}  // namespace netc::emulator
