// NumPy's .npy files: one array a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "netc/tensor.h"

namespace netc {

enum class NpyType { f32, i32, i64, u8 };

/// NumPy's name: "float32".
std::string to_string(NpyType type);

/// An array as the file holds it: row-major, in memory aligned for its type.
struct NpyArray {
  NpyType type = NpyType::f32;
  Extents shape;
  std::vector<std::byte> bytes;

  template <class T>
  View<const T> view() const {
    return {reinterpret_cast<const T*>(bytes.data()), shape};
  }
};

/// Throws Error (io, format) naming the file: only little-endian, row-major arrays of the types above are read.
NpyArray read_npy(const std::filesystem::path& file);

/// Atomic. Throws Error (io).
void write_npy(const std::filesystem::path& file, View<const float> values);

}  // namespace netc
