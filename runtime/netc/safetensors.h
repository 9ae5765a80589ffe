// The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netc/file.h"
#include "netc/tensor.h"

namespace netc {

/// One tensor of a file.
struct StoredTensor {
  std::string dtype;  // the format's name: "F32", "I64", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little-endian
};

/// A file that has been checked. Stricter than the published reader: no duplicate keys, no space before the
/// header, no unknown fields, no holes, no overlaps, nothing behind the last tensor.
class SafetensorsReader {
 public:
  /// Throws Error (io, format) naming the file and the tensor.
  explicit SafetensorsReader(const std::filesystem::path& file);
  SafetensorsReader(std::vector<std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// Throws Error (mismatch) naming file, tensor, what was expected and what was found, unless there is such a tensor
  /// of floats.
  const StoredTensor& require(std::string_view tensor, const std::vector<std::int64_t>& shape) const;
  /// Copies tensors' elements to views of their shapes, on all threads; throws like `require`, with nothing copied
  /// then.
  void copy_to(std::span<const std::pair<std::string, View<float>>> views) const;
  void copy_to(View<float> view, std::string_view tensor) const;

 private:
  void parse();

  std::string name_;
  MappedFile file_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// A tensor to be written, in whatever layout it lies in memory.
struct NamedTensor {
  std::string name;
  View<const float> values;
};

/// Writes tensors in the given order, row-major, atomically. Throws Error (io).
void write_safetensors(const std::filesystem::path& file, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace netc
