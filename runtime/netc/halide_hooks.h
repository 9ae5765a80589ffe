// How Halide's runtime reports errors, gets memory and runs parallel loops in a netc program.
#pragma once

#include <cstdint>
#include <string>

namespace netc::halide {

/// Replaces Halide's error handler (which aborts), allocator (glibc returns scratch memory to the system after every
/// kernel and faults it in again) and thread pool. Every call of a kernel asks for it; the first one does it. A kernel
/// that gets no memory ends the process, with one line on standard error and status 1.
void install_hooks();

/// The first message since the last call; empty when there was none.
std::string take_error();

/// Bytes that kernels hold or held as scratch memory.
std::int64_t scratch_bytes();

}  // namespace netc::halide
