// Memory for many numbers.
#pragma once

#include <cstddef>
#include <memory>

namespace netc {

/// What Halide's vectors ask for.
constexpr std::size_t vector_alignment = 128;

/// Bytes.
constexpr std::size_t huge_page = std::size_t{1} << 21;

/// What `allocate_pages` takes for so many bytes: whole cache lines, and from 2 MB on whole huge pages.
std::size_t whole_pages(std::size_t bytes);

/// Aligned for vectors, all zero. Large memory lies on huge pages: fewer misses of the address translation, faster
/// first touch; the system clears each when it is touched first, on the thread that does. nullptr where there is none.
void* allocate_pages(std::size_t bytes);

/// Gives back what `allocate_pages` returned for so many bytes.
struct FreePages {
  std::size_t bytes = 0;
  void operator()(void* memory) const;
};

/// So many elements, all zero; empty where there is no memory.
template <class T>
std::unique_ptr<T[], FreePages> make_pages(std::size_t count) {
  return {static_cast<T*>(allocate_pages(count * sizeof(T))), {count * sizeof(T)}};
}

}  // namespace netc
