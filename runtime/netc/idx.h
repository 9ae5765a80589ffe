// IDX files (the format of MNIST and its relatives), plain or compressed by gzip.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace netc {

/// An array of bytes: [count, height, width] for images, [count] for labels.
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

/// Reads an array of unsigned bytes with `rank` dimensions. Throws Error (io, format) naming the file, what was
/// expected and what was found.
IdxArray read_idx(const std::filesystem::path& file, int rank);

}  // namespace netc
