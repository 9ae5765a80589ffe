// The data sets that a `train` clause can name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netc/recipe.h"

namespace netc {

/// What is known of a data set before it is read: square gray images and their classes.
struct DataSet {
  const char* name;
  const char* doc;
  int channels;
  int pixels;  // a side
  int classes;
  std::int64_t examples;  // for training
};

const std::vector<DataSet>& data_sets();
/// nullptr for a name that is not known.
const DataSet* find_data_set(std::string_view name);

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

/// Examples of a training set by their numbers, each part in ascending order.
struct TrainingSplit {
  std::vector<std::int32_t> training;
  std::vector<std::int32_t> validation;
};

/// Holds out a share (below 1) or a number of `count` examples, chosen at random by the seed. Throws Error (usage)
/// where none would be left to train on.
TrainingSplit split_training_data(std::int64_t count, double validation, std::uint64_t seed);

/// Where Debian's package puts Fashion-MNIST.
std::filesystem::path default_data_folder();

/// Reads one half of the data set that the recipe names, or its first `limit` images. Throws Error (io, format) naming
/// the file, and Error (usage) for a name that is not known.
ImageSet load_data(const DataRecipe& recipe, Split split, const std::filesystem::path& folder,
                   std::optional<std::int64_t> limit = std::nullopt);

}  // namespace netc
