// The data sets that a `train` clause can name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "netc/recipe.h"

namespace netc {

/// Grey images of one size and their classes.
struct ImageSet {
  std::int64_t count = 0;
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> pixels;  // [count, height, width]
  std::vector<std::int32_t> labels;  // [count]

  /// Keeps the first `limit` images.
  void truncate(std::int64_t limit);
};

/// One half of a data set.
enum class Split { train, test };

/// Where Debian's package puts Fashion-MNIST.
std::filesystem::path default_data_folder();

/// Reads one half of the data set that the recipe names. Throws Error (io, format) naming the file, and Error (usage)
/// for a name that is not known.
ImageSet load_data(const DataRecipe& recipe, Split split, const std::filesystem::path& folder);

}  // namespace netc
