#include "netc/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace netc {

namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;

std::size_t page_for(std::size_t bytes) {
  return bytes >= huge_page ? huge_page : vector_alignment;
}

}  // namespace

std::size_t whole_pages(std::size_t bytes) {
  const std::size_t page = page_for(bytes);
  return (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
}

void* allocate_pages(std::size_t bytes) {
  if (bytes > SIZE_MAX - huge_page) return nullptr;
  const std::size_t page = page_for(bytes);
  const std::size_t rounded = whole_pages(bytes);
  void* memory = std::aligned_alloc(page, rounded);
  if (memory != nullptr && page == huge_page) ::madvise(memory, rounded, MADV_HUGEPAGE);  // a refusal costs only speed
  return memory;
}

}  // namespace netc
