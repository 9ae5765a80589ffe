// Memory for many numbers.
#pragma once

#include <cstddef>

namespace netc {

/// What `allocate_pages` takes for so many bytes: whole cache lines, and from 2 MB on whole huge pages.
std::size_t whole_pages(std::size_t bytes);

/// Aligned to 128 bytes, which Halide's vectors ask for, uninitialised; freed by std::free. Large memory lies on huge
/// pages: fewer misses of the address translation, faster first touch. nullptr where there is none.
void* allocate_pages(std::size_t bytes);

}  // namespace netc
