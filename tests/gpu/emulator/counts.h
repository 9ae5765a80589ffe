// What the emulator counts, for tests: they find `netc_emulator_counts` with dlsym in the library that stands in for
// libcuda.so.1.
#pragma once

#include <cstdint>

namespace netc::emulator {

struct Counts {
  std::int64_t allocations;
  std::int64_t allocated_bytes;
  std::int64_t frees;
  std::int64_t pinned_allocations;  ///< of the host's memory, page-locked
  std::int64_t live_bytes;
  std::int64_t peak_bytes;
  std::int64_t copies_to_device;
  std::int64_t bytes_to_device;
  std::int64_t copies_to_host;
  std::int64_t bytes_to_host;
  std::int64_t copies_on_device;
  std::int64_t bytes_on_device;
  std::int64_t sets;  ///< cuMemset...
  std::int64_t modules;
  std::int64_t launches;
  std::int64_t graph_launches;
  std::int64_t launches_in_graphs;  ///< of all launches
  std::int64_t synchronizations;
  std::int64_t instructions;         ///< of single threads
  std::int64_t multiply_adds;        ///< of floats, fused
  std::int64_t uninitialized_reads;  ///< of shared memory that the block never wrote
  std::int64_t register_cap;         ///< the least that a module was loaded with; 0 where none had one
};

/// The type of the exported function `netc_emulator_counts`: counts since the process began.
using CountsFunction = void (*)(Counts*);

}  // namespace netc::emulator
