// Memory for many numbers.
#pragma once

#include <cstddef>
#include <cstdlib>

namespace netc {

/// What Halide's vectors ask for.
constexpr std::size_t vector_alignment = 128;

/// What `allocate_pages` takes for so many bytes: whole cache lines, and from 2 MB on whole huge pages.
std::size_t whole_pages(std::size_t bytes);

/// Aligned for vectors, uninitialised. Large memory lies on huge pages: fewer misses of the address translation, faster
/// first touch. nullptr where there is none.
void* allocate_pages(std::size_t bytes);

/// Gives back what `allocate_pages` returned.
struct FreePages {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace netc
